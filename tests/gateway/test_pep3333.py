"""PEP 3333 to the letter, seen from the wire and from inside the application."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from serving import Gate, Served, answering, echo
from table import table
from wire import CHUNKED, CLOSE, ProtocolError, chunked, eventually, request

from dualwsgi.errors import ApplicationError

Serve = Callable[..., Served]
Said = Callable[[], list[str]]
PLAIN = [("Content-Type", "text/plain")]


# A validated application


def generator() -> Iterator[bytes]:
    yield b"one"
    yield b""
    yield b"two"


@table(
    "octets",
    [
        request(),
        request("GET", "/a%20b/%C3%A9?x=1&y=%20", "Cookie: a=b", "Accept: */*"),
        request("HEAD", "/"),
        request("POST", "/form", "Content-Type: text/plain", body=b"a=b"),
        request("PUT", "/", CHUNKED) + chunked(b"hello", b"world"),
        request("DELETE", "/thing", version="1.0", host=None),
        request("GET", "http://other.example/path?q"),
    ],
)
@pytest.mark.parametrize("content", [[], [b"whole"], [b"two ", b"pieces"], generator])
def test_an_application_under_wsgirefs_validator_runs(
    serve_in_turn: Serve, octets: bytes, content: Any
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        while environ["wsgi.input"].read(3):
            pass
        environ["wsgi.errors"].flush()
        return answering(content)(environ, start_response)

    expected = b"" if octets.startswith(b"HEAD") else b"".join(content() if callable(content) else content)
    served = serve_in_turn(validator(app))
    method = octets.split(b" ")[0].decode()
    for _ in range(3):  # the third time the head comes from memory
        answer = served.ask(octets, method)
        assert (answer.status, answer.body) == (200, expected)


def test_the_wsgi_keys_of_environ_are_those_of_the_pep(serve: Serve) -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        seen.update(environ)
        return answering()(environ, start_response)

    serve(app).ask()
    assert seen["wsgi.version"] == (1, 0)
    assert seen["wsgi.url_scheme"] == "http"
    assert seen["wsgi.multithread"] is True
    assert seen["wsgi.multiprocess"] is False
    assert seen["wsgi.run_once"] is False
    assert seen["wsgi.input_terminated"] is True
    assert callable(seen["wsgi.file_wrapper"])
    assert seen["wsgi.errors"] is sys.stderr


# start_response


def test_the_head_waits_for_the_first_content(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b""
        gate.wait()
        yield b"late"

    client = serve(app).client().send(request())
    gate.expect()
    assert client.silent(0.05)
    gate.open()
    assert client.response().body == b"late"


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize(
    ("headers", "rest"),
    [(PLAIN, b"\r\n5\r\nthird\r\n0\r\n\r\n"), ([("Content-Length", "16")], b"third")],
    ids=["chunked", "sized"],
)
def test_what_was_yielded_is_out_before_the_next_is_asked_for(
    serve: Serve, gate: Gate, headers: list[tuple[str, str]], rest: bytes
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", headers)
        yield b"first"
        yield b"second"
        gate.wait()
        yield b"third"

    client = serve(app).client().send(request())
    gate.expect()
    seen = b""
    while not seen.endswith(b"second"):
        seen += client.exactly(1)
    gate.open()
    assert client.exactly(len(rest)) == rest


def test_start_response_may_be_called_by_the_first_next(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("201 Created", PLAIN)
        yield b"x"

    assert serve(app).ask().line == "HTTP/1.1 201 Created"


def test_content_without_start_response_is_a_500(serve: Serve, said: Said) -> None:
    served = serve(lambda environ, start_response: [b"x"])
    assert served.ask().status == 500
    assert "before start_response" in said()[0]


def test_a_second_start_response_without_exc_info_is_refused(serve: Serve, said: Said) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", PLAIN)
        start_response("404 Not Found", PLAIN)
        return [b"x"]

    assert serve(app).ask().status == 500
    assert "second time without exc_info" in said()[0]


def test_start_response_with_exc_info_replaces_a_head_that_is_not_out(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("X-First", "1"), ("Content-Length", "100")])
        try:
            raise RuntimeError("changed my mind")
        except RuntimeError:
            start_response("500 Oops", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    answer = serve(app).ask()
    assert answer.line == "HTTP/1.1 500 Oops"
    assert "X-First" not in answer
    assert answer["X-Second"] == "2"
    assert answer.body == b"sorry"


def test_start_response_with_exc_info_raises_it_once_the_head_is_out(serve: Serve, said: Said) -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"some"
        try:
            raise RuntimeError("too late")
        except RuntimeError:
            try:
                start_response("500 Oops", PLAIN, sys.exc_info())
            except RuntimeError as error:
                seen.append(str(error))
                raise

    client = serve(app).client().send(request())
    with pytest.raises(ProtocolError):
        client.response()
    assert seen == ["too late"]
    assert eventually(said)


def test_an_application_may_go_on_after_its_head_was_refused(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        with pytest.raises(Exception, match="control character"):
            start_response("200 OK", [("X", "a\r\nSet-Cookie: b")])
        start_response("200 OK", PLAIN)
        return [b"clean"]

    answer = serve(app).ask()
    assert answer.body == b"clean"
    assert "Set-Cookie" not in answer


@table(
    ("status", "headers"),
    [
        ("200 OK\r\nX: y", []),
        ("200 OK\nX: y", []),
        ("200 OK\0", []),
        ("200 \u20ac", []),
        (200, []),
        (b"200 OK", []),
        ("", []),
        ("OK", []),
        ("2000 OK", []),
        ("99 Low", []),
        ("100 Continue", []),
        ("103 Early Hints", []),
        ("200 OK", [("X", "a\r\nb")]),
        ("200 OK", [("X", "a\rb")]),
        ("200 OK", [("X", "a\nb")]),
        ("200 OK", [("X", "a\0b")]),
        ("200 OK", [("X", "\u20ac")]),
        ("200 OK", [("X", b"bytes")]),
        ("200 OK", [("X", 1)]),
        ("200 OK", [("X", None)]),
        ("200 OK", [(b"X", "bytes")]),
        ("200 OK", [("X\r\nY", "v")]),
        ("200 OK", [("X Y", "v")]),
        ("200 OK", [("X:", "v")]),
        ("200 OK", [("", "v")]),
        ("200 OK", [("Na\u00efve", "v")]),
        ("200 OK", [("X",)]),
        ("200 OK", ["X: y"]),
        ("200 OK", ["XY"]),
        ("200 OK", {"TE": "trailers"}),
        ("200 OK", [("Connection", "close")]),
        ("200 OK", [("keep-alive", "timeout=5")]),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
        ("200 OK", [("TE", "trailers")]),
        ("200 OK", [("Trailer", "X")]),
        ("200 OK", [("Upgrade", "websocket")]),
        ("200 OK", [("Proxy-Authenticate", "Basic")]),
        ("200 OK", [("Content-Length", "1"), ("Content-Length", "1")]),
        ("200 OK", [("Content-Length", "-1")]),
        ("200 OK", [("Content-Length", "+1")]),
        ("200 OK", [("Content-Length", "1_0")]),
        ("200 OK", [("Content-Length", "one")]),
        ("200 OK", [("Content-Length", "\u0661")]),
        ("200 OK", None),
        ("200 OK", 7),
    ],
)
def test_what_must_not_be_sent_is_a_500_and_nothing_is_injected(
    serve_in_turn: Serve, said: Said, status: Any, headers: Any
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, headers)
        return [b"x"]

    client = serve_in_turn(app).client().send(request())
    answer = client.response()
    assert answer.line == "HTTP/1.1 500 Internal Server Error"
    assert not {"x", "x y", "set-cookie"} & {name.lower() for name, _ in answer.fields}
    assert client.ended()
    assert len(said()) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("X-A", "1"), ("X-B", "2"), ("x-a", "3")], [("X-A", "1"), ("X-B", "2"), ("x-a", "3")]),
        ([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
        ([("X", "caf\xe9 \x80")], [("X", "caf\xe9 \x80")]),
        ([("X", "tab\there")], [("X", "tab\there")]),
        ([("X", "")], [("X", "")]),
        ([["X", "a list is taken for a tuple"]], [("X", "a list is taken for a tuple")]),
        (
            lambda: iter([("X", "an iterator is taken for a list")]),
            [("X", "an iterator is taken for a list")],
        ),
    ],
)
def test_fields_go_out_as_given_and_in_order(serve: Serve, headers: Any, expected: Any) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", headers() if callable(headers) else headers)
        return [b"x"]

    served = serve(app)
    for _ in range(3):
        answer = served.ask()
        names = {name for name, _ in expected}
        assert [pair for pair in answer.fields if pair[0] in names] == expected


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(request(), id="nothing"),
        pytest.param(request("GET", "/", "Upgrade: x"), id="no Connection"),
        pytest.param(request("GET", "/", "Connection: upgrade"), id="no Upgrade"),
        pytest.param(request("GET", "/", "Connection: upgrade", "Upgrade: x", version="1.0"), id="HTTP/1.0"),
    ],
)
def test_a_101_goes_to_those_alone_who_ask_for_it_however_often_it_was_sent(
    serve: Serve, said: Said, octets: bytes
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("101 Switching Protocols", [("Upgrade", "x")])
        return []

    served = serve(app)
    for _ in range(3):
        assert served.ask(request("GET", "/", "Connection: Upgrade", "Upgrade: x")).status == 101
        assert served.ask(octets).status == 500
        assert "101 answers only" in said()[0]


def test_a_426_has_its_upgrade_and_the_connection_goes_on(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("426 Upgrade Required", [("Upgrade", "websocket"), ("Content-Type", "text/plain")])
        return [b"a websocket, please"]

    client = serve(app).client()
    for asked in (request(), request("GET", "/", "Connection: Upgrade", "Upgrade: h2c")) * 2:
        answer = client.send(asked).response()
        assert (answer.status, answer["Upgrade"], answer["Connection"]) == (426, "websocket", "Upgrade")
        assert answer.body == b"a websocket, please"
    answer = client.send(request("GET", "/", CLOSE)).response()
    assert answer.all("Connection") == ["Upgrade", "close"]
    assert client.ended()


def test_a_status_may_lack_its_reason_and_keeps_its_octets(serve: Serve) -> None:
    statuses = iter(["200", "200 ", "299 caf\xe9 ol\xe9", "404 Nowhere To Be Seen", "599 x"])

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(next(statuses), PLAIN)
        return [b""]

    served = serve(app)
    lines = [served.ask().line.removeprefix("HTTP/1.1 ") for _ in range(5)]
    assert lines == ["200 ", "200 ", "299 caf\xe9 ol\xe9", "404 Nowhere To Be Seen", "599 x"]


def test_date_and_server_are_sent_once_and_the_applications_own_win(serve: Serve) -> None:
    served = serve(answering())
    answer = served.ask()
    assert answer["Date"].endswith(" GMT")
    assert answer["Server"] == "dualwsgi"
    own = [("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("server", "mine")]
    answer = serve(answering(headers=own)).ask()
    assert answer["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert answer["Server"] == "mine"
    assert "Server" not in serve(answering(), server_header="").ask()


# write()


def writing(*pieces: bytes, then: Any = (), headers: Any = PLAIN) -> Any:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("200 OK", headers)
        for piece in pieces:
            write(piece)
        return then

    return app


@pytest.mark.parametrize(
    ("app", "body", "chunks"),
    [
        (writing(b"a", b"bc"), b"abc", [1, 2]),
        (writing(b"a", b"b", then=[b"c"]), b"abc", [1, 1, 1]),
        (writing(b"a", then=[]), b"a", [1]),
        (writing(b"", b"a", b""), b"a", [1]),
        (writing(b""), b"", []),
        (writing(bytearray(b"ab"), bytearray()), b"ab", [2]),
        (writing(b"a", headers=[("Content-Length", "1")]), b"a", []),
        (writing(b"a", then=[b"b"], headers=[("Content-Length", "2")]), b"ab", []),
    ],
)
def test_write_sends_each_piece_as_it_is(serve: Serve, app: Any, body: bytes, chunks: list[int]) -> None:
    answer = serve(app).ask()
    assert (answer.body, answer.chunks) == (body, chunks)


def test_what_write_took_is_out_before_it_returns(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", PLAIN)(b"early")
        gate.wait()
        return [b"late"]

    client = serve(app).client().send(request())
    gate.expect()
    assert b"early" in client.peek()
    gate.open()
    assert client.response().body == b"earlylate"


def test_an_empty_write_sends_the_head(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", PLAIN)(b"")
        gate.wait()
        return [b"content"]

    client = serve(app).client().send(request())
    gate.expect()
    assert client.peek().startswith(b"HTTP/1.1 200 OK\r\n")
    gate.open()
    assert client.response().body == b"content"


@pytest.mark.parametrize("data", ["text", None, 1, memoryview(b"view"), ["list"]])
def test_write_takes_bytes_alone(serve: Serve, said: Said, data: Any) -> None:
    assert serve(writing(data)).ask().status == 500
    assert "bytes" in said()[0]


def test_write_in_close_sends_nothing_after_the_end(serve: Serve, said: Said) -> None:
    class Late:
        def __init__(self, write: Callable[[bytes], None]) -> None:
            self.write = write

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"all"])

        def close(self) -> None:
            self.write(b"HTTP/1.1 200 FORGED\r\n\r\n")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return Late(start_response("200 OK", PLAIN))

    client = serve(app).client()
    for _ in range(2):
        assert client.send(request()).response().body == b"all"
        assert "close() of the application's iterable failed" in eventually(said)[0]


@pytest.mark.parametrize("content", [[b"all"], [b"a", b"ll"], (b"all",)])
def test_a_write_that_was_kept_says_nothing_in_a_later_response(serve: Serve, content: Any) -> None:
    kept: list[Callable[[bytes], None]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        kept.append(start_response("200 OK", PLAIN))
        for write in kept[:-1]:
            with pytest.raises(ApplicationError, match="after the end"):
                write(b"HTTP/1.1 200 FORGED\r\n\r\n")
        return content

    client = serve(app).client()
    for _ in range(4):
        answer = client.send(request()).response()
        assert (answer.status, answer.body) == (200, b"all")


# The iterable and its close()


class Recorded:
    """An iterable that tells what was done with it."""

    def __init__(self, pieces: list[Any], length: int | None = None) -> None:
        self.pieces = pieces
        self.closed = 0
        self.taken = 0
        if length is not None:
            self.__class__ = type("Sized", (Recorded,), {"__len__": lambda self: length})

    def __iter__(self) -> Iterator[Any]:
        for piece in self.pieces:
            self.taken += 1
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed += 1


@table(
    ("method", "version", "status"),
    itertools.product(
        ("GET", "HEAD", "POST"),
        ("1.1", "1.0"),
        ("200 OK", "204 No Content", "304 Not Modified", "404 Not Found"),
    ),
)
def test_close_is_called_once_whatever_the_response(
    serve_in_turn: Serve, method: str, version: str, status: str
) -> None:
    results: list[Recorded] = []

    def content() -> Recorded:
        results.append(Recorded([b"a", b"b"]))
        return results[-1]

    serve_in_turn(answering(content, status)).ask(request(method, version=version), method)
    assert [result.closed for result in results] == [1]


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"a", RuntimeError("in the middle")],
        [RuntimeError("at once")],
        [b"a", "text"],
        ["text"],
        [b"a", SystemExit(3)],
        [b"a", KeyboardInterrupt()],
        [b"x" * 100_000],
    ],
)
def test_close_is_called_once_however_it_ends(serve: Serve, said: Said, pieces: list[Any]) -> None:
    result = Recorded(pieces)
    served = serve(answering(lambda: result))
    client = served.client().send(request("GET", "/", CLOSE))
    client.until_end()
    eventually(lambda: result.closed == 1)
    served.stop()
    assert result.closed == 1
    failed = any(not isinstance(piece, bytes) for piece in pieces)
    assert len(said()) == failed


def test_close_is_called_when_the_headers_were_bad(serve: Serve, said: Said) -> None:
    result = Recorded([b"a"])

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return result  # and start_response was never called

    assert serve(app).ask().status == 500
    assert result.closed == 1
    assert said()


def test_a_close_that_fails_is_logged_and_the_response_stands(serve: Serve, said: Said) -> None:
    class Bad(Recorded):
        def close(self) -> None:
            raise RuntimeError("in close")

    client = serve(answering(lambda: Bad([b"fine"]))).client()
    for _ in range(2):
        assert client.send(request()).response().body == b"fine"
        assert "in close" in eventually(said)[0]


def test_items_go_out_one_by_one_as_they_are_made(serve: Serve, kit: Any) -> None:
    gates = [kit.gate(), kit.gate()]

    def content() -> Iterator[bytes]:
        for gate in gates:
            yield b"piece"
            gate.wait()

    client = serve(answering(content)).client().send(request())
    for gate in gates:
        gate.expect()
        assert b"piece" in client.peek()
        if gate is gates[0]:
            assert client.exactly(len(client.peek())).endswith(b"\r\n5\r\npiece\r\n")
        gate.open()
    assert client.exactly(15) == b"5\r\npiece\r\n0\r\n\r\n"


@table(
    ("content", "expected"),
    [
        ([b"hello"], (b"hello", "sized", [])),
        ([b"he", b"llo"], (b"hello", "sized", [])),
        ((b"he", b"llo"), (b"hello", "sized", [])),
        ([], (b"", "sized", [])),
        ([b""], (b"", "sized", [])),
        ([b"", b"", b""], (b"", "sized", [])),
        ([bytearray(b"he"), b"llo"], (b"hello", "sized", [])),
        ([bytearray(b"hello")], (b"hello", "sized", [])),
        (lambda: Recorded([b"hello"], 1), (b"hello", "sized", [])),
        (lambda: Recorded([b""], 1), (b"", "sized", [])),
        (lambda: Recorded([], 0), (b"", "sized", [])),
        (lambda: Recorded([b"he", b"llo"], 2), (b"hello", "chunked", [2, 3])),
        (lambda: Recorded([b"hello"]), (b"hello", "chunked", [5])),
        (lambda: iter([b"he", b"", b"llo"]), (b"hello", "chunked", [2, 3])),
        (lambda: iter([b"", b"hello"]), (b"hello", "chunked", [5])),
        (lambda: iter([]), (b"", "chunked", [])),
        (lambda: iter([b"", b""]), (b"", "chunked", [])),
        (lambda: iter([b"x" * 8192] * 3), (b"x" * 24576, "chunked", [8192] * 3)),
        (lambda: iter([b"x" * 200_000]), (b"x" * 200_000, "chunked", [200_000])),
        (lambda: (c for c in [bytearray(b"he"), b"llo"]), (b"hello", "chunked", [2, 3])),
        ({b"key": 1}, (b"key", "sized", [])),
        (lambda: [b"x" * 300_000], (b"x" * 300_000, "sized", [])),
    ],
)
def test_the_framing_follows_from_what_is_known_of_the_length(
    serve_in_turn: Serve, over: str, content: Any, expected: tuple[bytes, str, list[int]]
) -> None:
    app = answering(content if callable(content) else lambda: content)
    client = serve_in_turn(app, over=over).client()
    for _ in range(3):
        answer = client.send(request()).response()
        assert (answer.body, answer.framing, answer.chunks) == expected


@pytest.mark.parametrize(
    "content", [None, 7, ["text"], ["a", b"b"], "text", [b"a", None], [memoryview(b"a")]]
)
def test_content_that_is_not_bytes_is_a_500(serve: Serve, said: Said, content: Any) -> None:
    assert serve(answering(lambda: content)).ask().status == 500
    assert len(said()) == 1


def test_bytes_as_a_result_are_not_sent_as_numbers(serve: Serve, said: Said) -> None:
    assert serve(answering(lambda: b"forgot the list")).ask().status == 500
    assert len(said()) == 1


# Errors of the application


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_exception_before_the_head_is_a_500_that_leaks_nothing(
    serve: Serve, said: Said, method: str, version: str
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", PLAIN)
        raise RuntimeError("my secret")

    client = serve(app).client().send(request(method, version=version))
    answer = client.response(method)
    assert answer.status == 500
    assert answer["Connection"] == "close"
    assert b"secret" not in answer.head + answer.body
    assert b"Traceback" not in answer.body
    assert client.ended()
    assert "my secret" in said()[0]


@pytest.mark.parametrize(
    "text",
    ["plain", "\u20ac uro", "\udcff lone surrogate", "a\r\nb\0c"],
    ids=["plain", "not-latin-1", "surrogate", "controls"],
)
def test_debug_shows_the_traceback_whatever_its_text(serve: Serve, said: Said, text: str) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        raise RuntimeError(text)

    answer = serve(app, debug=True).ask()
    assert answer.status == 500
    assert b"Traceback" in answer.body
    assert b"RuntimeError" in answer.body
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    answer.body.decode()
    assert said()


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_no_exception_of_an_application_ends_the_server(
    serve: Serve, said: Said, error: BaseException
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/fine":
            return answering()(environ, start_response)
        raise error

    served = serve(app, threads=2)
    for _ in range(5):
        assert served.ask().status == 500
    assert served.ask(request("GET", "/fine")).status == 200
    assert len(said()) == 5


@pytest.mark.parametrize("declared", [None, "100"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_exception_after_the_head_cuts_the_connection(
    serve: Serve, said: Said, declared: str | None, version: str
) -> None:
    headers = [("Content-Length", declared)] if declared else []

    def content() -> Iterator[bytes]:
        yield b"part"
        raise RuntimeError("my secret")

    client = serve(answering(content, headers=headers)).client().send(request(version=version))
    assert client.peek().startswith(b"HTTP/1.1 200 ")
    if declared is None and version == "1.0":
        assert client.response().body == b"part"
        assert client.ending() == "reset", "a clean end would make the part look whole"
    else:
        with pytest.raises(ProtocolError):
            client.response()
    assert "my secret" in eventually(said)[0]


@table(
    ("field", "key"),
    [
        ("X-Real-IP: 192.0.2.1", "HTTP_X_REAL_IP"),
        ("X_Real-IP: 192.0.2.1", None),
        ("Content_Length: 5", None),
        ("Content_Type: a/b", None),
        ("_: y", None),
        ("Proxy: http://192.0.2.1/", None),
        ("pROXY: http://192.0.2.1/", None),
        ("Proxy-Authorization: Basic eDp5", "HTTP_PROXY_AUTHORIZATION"),
        ("Http-Proxy: http://192.0.2.1/", "HTTP_HTTP_PROXY"),
        ("Proxy-: y", "HTTP_PROXY_"),
    ],
    ids=lambda row: row[0],
)
def test_fields_that_could_be_taken_for_others_do_not_reach_environ(
    serve_in_turn: Serve, field: str, key: str | None
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        names = [name for name in environ if name.startswith(("HTTP_", "CONTENT_"))]
        return answering([" ".join(sorted(names)).encode()])(environ, start_response)

    expected = " ".join(sorted({"HTTP_HOST", *([key] if key else [])}))
    served = serve_in_turn(app)
    for _ in range(3):  # the third time the head comes from memory
        assert served.ask(request("GET", "/", field)).body.decode() == expected
    for number in range(3):  # heads that differ in this value alone
        assert served.ask(request("GET", "/", f"{field}{number}")).body.decode() == expected


def test_environ_is_a_dict_that_the_application_may_change(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        assert type(environ) is dict
        assert "mine" not in environ, "from the request before"
        body = environ["PATH_INFO"].encode()
        for key in list(environ):
            environ[key] = None
        environ["mine"] = 1
        start_response("200 OK", PLAIN)
        return [body]

    client = serve(app).client()
    for _ in range(4):
        assert client.send(request("GET", "/same")).response().body == b"/same"


def test_the_input_of_a_request_that_is_over_reads_nothing_of_the_next(serve: Serve) -> None:
    kept: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        kept.append(environ["wsgi.input"])
        return answering()(environ, start_response)

    client = serve(app).client()
    client.send(request("POST", body=b"first")).response()
    client.send(request("POST", body=b"second")).response()
    eventually(lambda: len(kept) == 2)
    with pytest.raises(ValueError, match="over"):
        kept[0].read()


def test_keeping_environ_does_not_keep_the_connection(serve: Serve) -> None:
    kept: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        kept.append((environ, environ["wsgi.input"], start_response, sys._getframe()))
        return echo(environ, start_response)

    client = serve(app).client()
    client.send(request("POST", "/", CLOSE, body=b"x")).response()
    assert client.ended()
