"""Which octets a response takes: bodies that may not be, lengths that must hold, both ways to send."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import App, Served, answering, echo
from table import table
from wire import CLOSE, Client, ProtocolError, eventually, request

from dualwsgi.gateway.site import Site

Serve = Callable[..., Served]
Said = Callable[[], list[str]]

NO_BODY = ["204 No Content", "304 Not Modified"]
CONTENTS: dict[str, Any] = {
    "nothing": [],
    "empty": [b""],
    "one piece": [b"content"],
    "two pieces": [b"con", b"tent"],
    "a tuple": (b"content",),
    "a generator": lambda: (piece for piece in [b"con", b"", b"tent"]),
    "an empty generator": lambda: iter(()),
    "a generator of one piece": lambda: iter([b"content"]),
    "a large piece": [b"x" * 70_000],
}
REQUESTS = {
    "GET": request(),
    "HEAD": request("HEAD"),
    "POST": request("POST", body=b"read by nobody"),
    "GET, close": request("GET", "/", CLOSE),
    "HTTP/1.0": request(version="1.0"),
    "HTTP/1.0, kept alive": request("GET", "/", "Connection: keep-alive", version="1.0"),
    "HEAD, HTTP/1.0": request("HEAD", version="1.0", host=None),
    "with Upgrade": request("GET", "/", "Connection: Upgrade", "Upgrade: h2c"),
}
HEADERS: dict[str, list[tuple[str, str]]] = {
    "no length": [("Content-Type", "text/plain")],
    "right length": [("Content-Length", "7")],
    "own Date": [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("X", "y")],
}


def each(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(value, id=name) for name, value in table.items()]


@pytest.mark.parametrize("octets", each(REQUESTS))
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", *NO_BODY])
def test_the_short_way_and_the_long_way_send_the_same_octets(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, octets: bytes, status: str
) -> None:
    app, cases = all_contents(status)
    quick = serve(app)
    make = Site.__init__

    def plain(self: Site, *args: Any) -> None:
        make(self, *args)
        self.stamp = None

    monkeypatch.setattr(Site, "__init__", plain)
    slow = serve(app)
    method = octets.split(b" ")[0].decode()
    for case in cases:
        asked = octets.replace(b" / ", f" {case} ".encode())
        answers = [asked_thrice(served, asked, method) for served in (quick, slow)]
        assert answers[0] == answers[1], case
        assert len(set(answers[0])) == 1, f"{case}: the same head gets the same octets again"


def all_contents(status: str) -> tuple[App, list[str]]:
    """An application with a path for each content and each set of headers, and the paths."""
    apps = {}
    for number, content in enumerate(CONTENTS.values()):
        for other, headers in enumerate(HEADERS.values()):
            pieces = content() if callable(content) else content
            if headers == HEADERS["right length"] and sum(map(len, pieces)) != 7:
                continue
            apps[f"/{number}/{other}"] = answering(content, status, headers)
    return lambda environ, start_response: apps[environ["PATH_INFO"]](environ, start_response), list(apps)


def asked_thrice(served: Served, octets: bytes, method: str) -> list[bytes]:
    """The answers to the same request, over again on one connection where it is kept."""
    found = []
    client = Client(served.address)
    for _ in range(3):
        answer = client.send(octets).response(method)
        found.append(answer.octets)
        if answer.get("Connection") == "close" or answer.framing == "close":
            assert client.ended()
            client.close()
            client = Client(served.address)
    client.close()
    return found


@table(
    ("content", "status", "headers"),
    itertools.product(CONTENTS.values(), NO_BODY, ([], [("Content-Length", "7")])),
    ids=map(str, itertools.product(CONTENTS, NO_BODY, ("without a length", "with one"))),
)
def test_204_and_304_have_no_body_and_the_connection_goes_on(
    serve_in_turn: Serve, over: str, content: Any, status: str, headers: list[tuple[str, str]]
) -> None:
    client = serve_in_turn(answering(content, status, headers), over=over).client()
    for _ in range(3):
        answer = client.send(request()).response()
        assert answer.status == int(status[:3])
        assert "Transfer-Encoding" not in answer
        assert answer.get("Content-Length") == ("7" if headers and answer.status == 304 else None)
    assert client.silent(0.001)


@pytest.mark.parametrize("content", each(CONTENTS))
def test_head_gets_the_head_of_get_and_no_body(serve: Serve, content: Any) -> None:
    client = serve(answering(content)).client()
    expected = client.send(request()).response()
    for _ in range(3):
        answer = client.send(request("HEAD")).response("HEAD")
        assert answer.status == 200
        assert "Transfer-Encoding" not in answer
        if not expected.body:
            # An application that knows HEAD may have left the content out: its length is not known.
            assert "Content-Length" not in answer
        elif expected.framing == "sized":
            assert answer["Content-Length"] == str(len(expected.body))
    assert client.silent(0.01)


def test_head_keeps_the_content_length_that_the_application_declares(serve: Serve) -> None:
    client = serve(answering([], headers=[("Content-Length", "12345")])).client()
    assert client.send(request("HEAD")).response("HEAD")["Content-Length"] == "12345"
    assert client.send(request("HEAD")).response("HEAD").status == 200


def test_what_is_written_for_head_or_304_is_not_sent(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response(environ["PATH_INFO"][1:] + " x", [])
        write(b"written")
        write(b"more")
        return [b"and returned"]

    client = serve(app).client()
    for method, path in [("HEAD", "/200"), ("GET", "/304"), ("GET", "/204"), ("HEAD", "/404")]:
        assert client.send(request(method, path)).response(method).status == int(path[1:])
    assert client.silent(0.01)


def test_content_that_nobody_gets_is_not_made(serve: Serve) -> None:
    made: list[int] = []

    def content() -> Iterator[bytes]:
        for number in range(1000):
            made.append(number)
            yield b"x"

    served = serve(answering(content))
    assert served.ask(request("HEAD"), "HEAD").status == 200
    served.stop()
    assert len(made) == 1


# Content-Length holds


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([b"0123456789"], id="one piece"),
        pytest.param([b"01234", b"56789"], id="two pieces"),
        pytest.param(lambda: iter([b"0123", b"4567", b"89"]), id="a generator"),
        pytest.param(lambda: iter([b"01234", b"56789", *[b"more"] * 100]), id="a long generator"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_more_than_declared_is_cut_and_logged_once(
    serve: Serve, said: Said, content: Any, version: str
) -> None:
    client = serve(answering(content, headers=[("Content-Length", "5")])).client()
    for _ in range(2):
        answer = client.send(request("GET", "/", "Connection: keep-alive", version=version)).response()
        assert answer.body == b"01234"
        assert [line for line in eventually(said) if "more than the Content-Length" in line]
    assert client.silent(0.01)


def test_content_without_end_ends_at_the_declared_length(serve: Serve, said: Said) -> None:
    closed: list[int] = []

    def content() -> Iterator[bytes]:
        try:
            while True:
                yield b"forever"
        finally:
            closed.append(1)

    client = serve(answering(content, headers=[("Content-Length", "10")])).client()
    assert client.send(request()).response().body == b"foreverfor"
    eventually(lambda: closed)
    assert said()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([], id="nothing"),
        pytest.param([b""], id="empty"),
        pytest.param([b"0123"], id="one piece"),
        pytest.param([b"01", b"23"], id="two pieces"),
        pytest.param(lambda: iter([b"01", b"23"]), id="a generator"),
        pytest.param(lambda: iter([]), id="an empty generator"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_less_than_declared_ends_the_connection(serve: Serve, said: Said, content: Any, version: str) -> None:
    client = serve(answering(content, headers=[("Content-Length", "5")])).client()
    client.send(request("GET", "/", "Connection: keep-alive", version=version))
    with pytest.raises(ProtocolError):
        client.response()
    assert "less than the Content-Length" in eventually(said)[0]


@pytest.mark.parametrize("length", ["5", "0"])
def test_write_is_held_to_the_declared_length(serve: Serve, said: Said, length: str) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("200 OK", [("Content-Length", length)])
        for _ in range(3):
            write(b"0123")
        return [b"more"]

    client = serve(app).client()
    for _ in range(2):
        assert client.send(request()).response().body == b"01230123"[: int(length)]
        assert eventually(said)


# HTTP/1.0 and the end of a connection


@table(
    ("octets", "content", "expected"),
    [
        (request(), [b"x"], (None, "sized", True)),
        (request(), lambda: iter([b"x"]), (None, "chunked", True)),
        (request("GET", "/", "Connection: keep-alive"), [b"x"], (None, "sized", True)),
        (request("GET", "/", "Connection: Keep-Alive, X-Hop"), [b"x"], (None, "sized", True)),
        (request("GET", "/", CLOSE), [b"x"], ("close", "sized", False)),
        (request("GET", "/", "Connection: CLOSE"), [b"x"], ("close", "sized", False)),
        (request("GET", "/", "Connection: x", "Connection: close"), [b"x"], ("close", "sized", False)),
        (request("GET", "/", CLOSE), lambda: iter([b"x"]), ("close", "chunked", False)),
        (request(version="1.0"), [b"x"], ("close", "sized", False)),
        (request(version="1.0"), lambda: iter([b"x"]), ("close", "close", False)),
        (request("GET", "/", "Connection: keep-alive", version="1.0"), [b"x"], ("keep-alive", "sized", True)),
        (
            request("GET", "/", "Connection: keep-alive", version="1.0"),
            lambda: iter([b"x"]),
            ("close", "close", False),
        ),
        (request(version="1.0", host=None), [b"x"], ("close", "sized", False)),
        (request(version="1.7"), [b"x"], (None, "sized", True)),
    ],
)
def test_connections_are_kept_as_version_and_connection_field_say(
    serve_in_turn: Serve, over: str, octets: bytes, content: Any, expected: tuple[str | None, str, bool]
) -> None:
    connection, framing, kept = expected
    client = serve_in_turn(answering(content), over=over).client()
    answer = client.send(octets).response()
    assert (answer.get("Connection"), answer.framing) == (connection, framing)
    assert answer.version == "HTTP/1.1", "a server says its own version (RFC 9110 section 2.5)"
    if kept:
        assert client.send(request()).response().body == b"x"
    else:
        assert client.ending() == "eof"


def test_the_framing_is_for_the_client_who_asks_and_not_for_the_one_before(serve: Serve) -> None:
    served = serve(answering(lambda: iter([b"x"])))
    expected = {
        request(): ("chunked", None),
        request("GET", "/", CLOSE): ("chunked", "close"),
        request(version="1.0"): ("close", "close"),
        request("GET", "/", "Connection: keep-alive", version="1.0"): ("close", "close"),
    }
    for octets in itertools.chain.from_iterable(itertools.permutations(expected, 2)):
        answer = served.ask(octets)
        assert (answer.framing, answer.get("Connection"), answer.body) == (*expected[octets], b"x")


def test_http_10_streams_until_the_end_of_the_connection(serve: Serve) -> None:
    client = serve(answering(lambda: iter([b"a", b"b" * 100_000]))).client()
    answer = client.send(request(version="1.0")).response()
    assert answer.framing == "close"
    assert answer.body == b"a" + b"b" * 100_000
    assert client.ending() == "eof"


@pytest.mark.parametrize("settings", [{"keep_alive": 0}, {"max_keepalive_requests": 1}])
def test_without_keep_alive_every_response_is_the_last(serve: Serve, settings: dict[str, Any]) -> None:
    client = serve(answering(), **settings).client()
    answer = client.send(request(), request()).response()
    assert answer["Connection"] == "close"
    assert client.ended()


def test_a_connection_ends_after_its_allotted_requests(serve: Serve) -> None:
    client = serve(answering(), max_keepalive_requests=3).client()
    said = [client.send(request()).response().get("Connection") for _ in range(3)]
    assert said == [None, None, "close"]
    assert client.ended()


def test_a_large_response_reaches_a_slow_reader_whole(serve: Serve, over: str) -> None:
    content = bytes(range(256)) * 8192
    served = serve(answering(lambda: [content]), over=over)
    client = served.client(window=4096)
    client.send(request())
    assert client.response().body == content
    assert client.send(request()).response().body == content


def test_a_slow_reader_does_not_keep_another_from_its_answer(serve: Serve) -> None:
    content = b"x" * (8 << 20)
    served = serve(answering(lambda: [content]), threads=1)
    slow = served.client(window=65536)
    slow.send(request())
    assert slow.peek()
    head = served.ask(request("HEAD"), "HEAD")
    assert head["Content-Length"] == str(len(content))
    assert slow.response().body == content


def test_a_thousand_small_chunks_arrive_one_by_one(serve: Serve) -> None:
    answer = serve(answering(lambda: (b"%d" % number for number in range(1000)))).ask()
    assert len(answer.chunks) == 1000
    assert answer.body == b"".join(b"%d" % number for number in range(1000))


PIECES = [
    b"a",
    b"b",
    b"",
    bytearray(b"cde"),
    b"f" * 20_000,
    b"g" * 20_000,
    b"h" * 200_000,
    bytearray(70_000),
    b"i",
]


@pytest.mark.parametrize("window", [None, 4096])
@pytest.mark.parametrize("framing", ["chunked", "sized", "close"])
def test_pieces_of_all_sizes_arrive_as_they_are(
    serve: Serve, over: str, framing: str, window: int | None
) -> None:
    content = b"".join(PIECES)
    headers = [("Content-Length", str(len(content)))] if framing == "sized" else []
    client = serve(answering(lambda: iter(PIECES), headers=headers), over=over).client(window=window)
    asked = request(version="1.0") if framing == "close" else request()
    for _ in range(1 if framing == "close" else 2):
        answer = client.send(asked).response()
        assert answer.framing == framing
        assert answer.body == content
        assert answer.chunks == ([len(piece) for piece in PIECES if piece] if framing == "chunked" else [])


@pytest.mark.parametrize("declared", [1, 6, 20_006])
def test_pieces_beyond_the_declared_length_are_dropped_and_told_once(
    serve: Serve, said: Said, declared: int
) -> None:
    client = serve(answering(lambda: iter(PIECES), headers=[("Content-Length", str(declared))])).client()
    assert client.send(request()).response().body == b"".join(PIECES)[:declared]
    assert client.send(request()).response().body == b"".join(PIECES)[:declared]
    client.leave()
    assert ["more than the Content-Length" in line for line in said()] == [True, True]


def test_one_application_under_several_connections_mixes_nothing_up(serve: Serve) -> None:
    served = serve(echo)
    clients = [served.client() for _ in range(20)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.send(request("POST", f"/{turn}/{number}", body=b"%d" % number))
        for number, client in enumerate(clients):
            assert client.response().body == b"POST /%d/%d %d" % (turn, number, number)
