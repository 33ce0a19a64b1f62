"""wsgi.input: every way to read a body, and what becomes of one that is not read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering, echo
from table import table
from wire import CHUNKED, CLOSE, EXPECT, Client, chunked, request

Serve = Callable[..., Served]
Said = Callable[[], list[str]]

TEXT = b"first\nsecond\n\nlong " + b"x" * 300 + b"\nlast without end"
LARGE = bytes(range(256)) * 1024  # four times what is collected before the call
BODIES = [pytest.param(TEXT, id="small"), pytest.param(LARGE, id="large"), pytest.param(b"", id="empty")]


def sized(body: bytes) -> bytes:
    return request("POST", body=body)


def in_chunks(body: bytes) -> bytes:
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    return request("POST", "/", CHUNKED) + chunked(*pieces)


FRAMED = [pytest.param(sized, id="sized"), pytest.param(in_chunks, id="chunked")]

READERS: dict[str, Callable[[Any], Any]] = {
    "read()": lambda file: file.read(),
    "read(-1)": lambda file: file.read(-1),
    "read(None)": lambda file: file.read(None),
    "read(0)": lambda file: (file.read(0), file.read()),
    "read(7)": lambda file: list(iter(lambda: file.read(7), b"")),
    "read(100000)": lambda file: list(iter(lambda: file.read(100_000), b"")),
    "read(huge)": lambda file: (file.read(1 << 62), file.read(1)),
    "readline()": lambda file: list(iter(file.readline, b"")),
    "readline(-1)": lambda file: list(iter(lambda: file.readline(-1), b"")),
    "readline(None)": lambda file: list(iter(lambda: file.readline(None), b"")),
    "readline(5)": lambda file: list(iter(lambda: file.readline(5), b"")),
    "readline(0)": lambda file: (file.readline(0), file.readline()),
    "readline(huge)": lambda file: list(iter(lambda: file.readline(1 << 62), b"")),
    "readlines()": lambda file: file.readlines(),
    "readlines(-1)": lambda file: file.readlines(-1),
    "readlines(0)": lambda file: file.readlines(0),
    "readlines(9)": lambda file: (file.readlines(9), file.read()),
    "iteration": list,
    "next": lambda file: (next(file, b""), file.read(3), file.readline(), file.read()),
    "mixed": lambda file: (file.read(3), file.readline(), file.read(2), file.readlines(1), file.read()),
    "after the end": lambda file: (file.read(), file.read(), file.readline(), file.readlines(), list(file)),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("framed", FRAMED)
def test_every_way_to_read_gives_what_a_file_would(
    serve: Serve, over: str, framed: Callable[[bytes], bytes], body: bytes
) -> None:
    results: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        name = environ["HTTP_READER"]
        results[name] = READERS[name](environ["wsgi.input"])
        return answering()(environ, start_response)

    client = serve(app, over=over).client()
    for name, reader in READERS.items():
        client.send(framed(body).replace(b"Host", f"Reader: {name}\r\nHost".encode(), 1))
        assert client.response().status == 200, name
        assert results[name] == reader(io.BytesIO(body)), name


def test_read1_gives_what_is_there(serve: Serve, gate: Gate) -> None:
    got: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        source = environ["wsgi.input"]
        got.append(source.read1())
        gate.wait()
        got.extend([source.read1(2), source.read1(0), source.read1(), source.read1()])
        return answering()(environ, start_response)

    client = serve(app).client()
    client.send(request("POST", "/", CHUNKED, EXPECT))
    client.interim()
    client.send(b"5\r\nhello\r\n")
    gate.expect()
    client.send(b"5\r\nworld\r\n0\r\n\r\n")
    gate.open()
    assert client.response().status == 200
    assert got == [b"hello", b"wo", b"", b"rld", b""]


@pytest.mark.parametrize("framed", FRAMED)
def test_a_body_that_comes_octet_by_octet_is_the_same_body(
    serve: Serve, framed: Callable[[bytes], bytes]
) -> None:
    client = serve(echo).client()
    for _ in range(2):
        assert client.drip(framed(TEXT[:40])).response().body == b"POST / " + TEXT[:40]


def test_a_request_without_a_body_has_an_input_at_its_end(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        source = environ["wsgi.input"]
        assert source.read(5) == source.read() == source.readline() == source.read1() == b""
        assert source.readlines() == list(source) == []
        assert "CONTENT_LENGTH" not in environ
        return answering()(environ, start_response)

    client = serve(app).client()
    for method in ("GET", "GET", "GET", "POST", "DELETE"):
        assert client.send(request(method)).response().status == 200


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_what_follows_a_sized_body_is_not_read(serve: Serve, version: str) -> None:
    client = (
        serve(echo).client().send(request("POST", "/", CLOSE, body=b"abc", version=version) + b"junk\r\n")
    )
    assert client.response().body == b"POST / abc"
    assert client.ended()


@pytest.mark.parametrize(
    "encoded",
    [
        b'2;token="oh hi"\r\nhi\r\n0\r\n\r\n',
        b"2;token=oh\r\nhi\r\n0\r\n\r\n",
        b"2 ; a ; b=c\r\nhi\r\n0;last\r\n\r\n",
        b"2\r\nhi\r\n0\r\nTrailer: dropped\r\nX: y\r\n\r\n",
        b"00000002\r\nhi\r\n000\r\n\r\n",
        b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
    ],
)
def test_chunk_extensions_and_trailers_are_passed_over(serve: Serve, encoded: bytes) -> None:
    client = serve(echo).client()
    for _ in range(2):
        assert client.send(request("POST", "/", CHUNKED) + encoded).response().body == b"POST / hi"
        assert client.drip(request("POST", "/", CHUNKED) + encoded).response().body == b"POST / hi"


def test_a_chunked_body_in_pieces_is_read_as_it_comes(serve: Serve) -> None:
    total: list[int] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        total.append(sum(len(piece) for piece in iter(lambda: environ["wsgi.input"].read(65536), b"")))
        return answering()(environ, start_response)

    client = serve(app).client().send(request("POST", "/", CHUNKED))
    for _ in range(100):
        client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    assert client.send(b"0\r\n\r\n").response().status == 200
    assert total == [6_553_600]


# 100 Continue


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
@pytest.mark.parametrize("coding", ["sized", "chunked"])
def test_100_continue_is_sent_once_at_the_first_read(serve: Serve, kit: Any, value: str, coding: str) -> None:
    gates = [kit.gate() for _ in range(2)]
    waiting = iter(gates)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        next(waiting).wait()
        assert environ["wsgi.input"].read(0) == b""
        return echo(environ, start_response)

    client = serve(app).client()
    for gate in gates:
        framing = CHUNKED if coding == "chunked" else "Content-Length: 5"
        client.send(request("POST", "/", f"Expect: {value}", framing))
        gate.expect()
        assert client.silent(0.05), "it is not sent before the application reads"
        gate.open()
        assert client.interim().octets == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(chunked(b"hello") if coding == "chunked" else b"hello")
        answer = client.response()
        assert answer.body == b"POST / hello"
        assert not answer.interim


def test_a_body_that_does_not_wait_for_100_continue_is_read_all_the_same(serve: Serve) -> None:
    client = serve(echo).client()
    for _ in range(2):
        answer = client.send(request("POST", "/", EXPECT, body=b"eager")).response()
        assert answer.body == b"POST / eager"
        assert len(answer.interim) <= 1


@pytest.mark.parametrize("content", [[b"no"], lambda: iter([b"no"])])
def test_without_a_read_100_continue_is_not_sent_and_the_connection_closes(
    serve: Serve, content: Any
) -> None:
    calls: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(environ["PATH_INFO"])
        return answering(content, "417 Expectation Failed")(environ, start_response)

    client = serve(app).client().send(request("POST", "/", EXPECT, "Content-Length: 500"))
    answer = client.response()
    assert (answer.status, answer["Connection"], answer.interim) == (417, "close", [])
    client.send_if_taken(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.ended()
    assert calls == ["/"]


def test_once_the_head_is_out_100_continue_is_not_sent(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("200 OK", [])
        write(b"before ")
        return [environ["wsgi.input"].read()]

    client = serve(app).client().send(request("POST", "/", EXPECT, "Content-Length: 5"))
    assert client.peek().startswith(b"HTTP/1.1 200 OK\r\n")
    answer = client.send(b"after").response()
    assert answer.body == b"before after"
    assert answer["Connection"] == "close"


def test_an_http_10_client_gets_no_100_continue(serve: Serve) -> None:
    answer = serve(echo).ask(request("POST", "/", EXPECT, body=b"old", version="1.0"))
    assert (answer.body, answer.interim) == (b"POST / old", [])


def test_an_expectation_without_a_body_waits_for_nothing(serve: Serve) -> None:
    client = serve(echo).client()
    for _ in range(2):
        answer = client.send(request("GET", "/", EXPECT)).response()
        assert (answer.body, answer.interim) == (b"GET / ", [])


# Bodies that the application leaves


@pytest.mark.parametrize("framed", FRAMED)
@pytest.mark.parametrize("size", [10, 60_000, 200_000])
@pytest.mark.parametrize("read", [0, 3])
def test_what_is_left_of_a_body_is_passed_over(
    serve: Serve, framed: Callable[[bytes], bytes], size: int, read: int
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["wsgi.input"].read(read)
        return answering([environ["REQUEST_METHOD"].encode()])(environ, start_response)

    client = serve(app).client()
    body = (b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n" * (1 + size // 35))[:size]
    for _ in range(2):
        client.send(framed(body))
        answer = client.response()
        assert (answer.body, answer.get("Connection")) == (b"POST", None)
        assert client.send(request()).response().body == b"GET"
    assert client.silent(0.01)


def test_too_much_left_of_a_sized_body_closes_the_connection(serve: Serve) -> None:
    client = serve(answering()).client()
    client.send(request("POST", "/", "Content-Length: 10000000"))
    assert client.response()["Connection"] == "close"
    client.send_if_taken(b"x" * 100_000)
    assert client.ended()


def test_too_much_left_of_a_chunked_body_closes_the_connection(serve: Serve) -> None:
    client = serve(answering()).client()
    client.send(request("POST", "/", CHUNKED))
    client.send(b"11000\r\n" + b"x" * 0x11000 + b"\r\n")
    assert client.response().status == 200
    for _ in range(20):
        client.send_if_taken(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    assert client.ended()


def test_a_body_that_breaks_while_it_is_passed_over_ends_the_connection(serve: Serve) -> None:
    calls: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(environ["PATH_INFO"])
        return answering()(environ, start_response)

    served = serve(app)
    client = served.client()
    client.send(request("POST", "/", CHUNKED) + b"11000\r\n" + b"x" * 0x11000)
    assert client.response().status == 200
    client.send_if_taken(b"zz\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.ended()
    assert calls == ["/"]


# Bodies that break


BROKEN = {
    "a bad size": b"zz\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a space before it": b" 5\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bit": b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "no end of the chunk": b"5\r\nhelloxx0\r\n\r\n",
    "LF alone after the size": b"5\nhello\r\n0\r\n\r\n",
    "LF alone after the chunk": b"5\r\nhello\n0\r\n\r\n",
    "a bad extension": b"5;=bad\r\nhello\r\n0\r\n\r\n",
    "an empty extension": b"5;\r\nhello\r\n0\r\n\r\n",
    "an extension that is too long": b"5;a=" + b"x" * 24_000 + b"\r\nhello\r\n0\r\n\r\n",
    "a request line for a trailer": b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    "a trailer without a name": b"5\r\nhello\r\n0\r\n: x\r\n\r\n",
    "trailers that are too long": b"5\r\nhello\r\n0\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
    "last chunk and path": b"5\r\nhello\r\n0GET /smuggled?a=:123 HTTP/1.1\r\n\r\n",
}


@table("encoded", BROKEN.values(), ids=BROKEN)
def test_a_broken_small_body_is_a_400_without_a_call(serve_in_turn: Serve, encoded: bytes) -> None:
    calls: list[int] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(1)
        return echo(environ, start_response)

    served = serve_in_turn(app)
    for send in (Client.send, Client.drip):
        client = served.client()
        try:
            send(client, request("POST", "/", CHUNKED) + encoded)
        except ConnectionError:
            pass  # it was answered before its end
        answer = client.response()
        assert (answer.status, answer["Connection"]) == (400, "close")
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert b"Traceback" not in answer.body
        assert client.ended()
    assert calls == []


@table("encoded", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("catch", [False, True])
def test_a_body_that_breaks_under_the_application_raises_there(
    serve_in_turn: Serve, kit: Kit, encoded: bytes, catch: bool
) -> None:
    errors: list[BaseException] = []
    gate = kit.gate()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        try:
            while environ["wsgi.input"].read(1000):
                pass
        except OSError as error:
            errors.append(error)
            if not catch:
                raise
        with pytest.raises(OSError, match="400"):
            environ["wsgi.input"].read()
        return answering([b"caught"], "422 Mine")(environ, start_response)

    client = serve_in_turn(app).client()
    client.send(request("POST", "/", CHUNKED), b"12000\r\n" + b"x" * 0x12000 + b"\r\n")
    gate.expect()
    client.send(encoded)
    gate.open()
    answer = client.response()
    assert (answer.status, answer["Connection"]) == ((422 if catch else 400), "close")
    assert client.ended()
    assert isinstance(errors[0], ValueError)


@pytest.mark.parametrize("chain", [True, False])
def test_an_error_made_of_a_broken_body_is_the_clients(serve: Serve, chain: bool) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            if chain:
                raise RuntimeError("upload failed") from error
            raise RuntimeError("upload failed")  # noqa: B904  # as careless applications do
        return answering()(environ, start_response)

    client = serve(app).client().send(request("POST", "/", "Content-Length: 100000") + b"part").half_close()
    assert client.response().status == 400


def test_a_body_that_breaks_after_the_head_ends_the_connection(serve: Serve) -> None:
    """What follows must not be read as a request: nobody knows where the body ends."""
    calls: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(environ["PATH_INFO"])
        start_response("200 OK", [])(b"early ")
        try:
            environ["wsgi.input"].read()
        except OSError:
            return [b"broken"]
        return [b"whole"]

    client = serve(app).client().send(request("POST", "/", CHUNKED) + b"11000\r\n" + b"x" * 0x11000)
    assert client.peek().startswith(b"HTTP/1.1 200")
    client.send(b"\r\nz")
    client.send_if_taken(b"5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.response().body == b"early broken"
    assert client.ended()
    assert calls == ["/"]


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("size", [100, 100_000])
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_short_body_is_never_taken_for_a_whole_one(serve: Serve, size: int, framing: str) -> None:
    read: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        read.append(environ["wsgi.input"].read())
        return answering()(environ, start_response)

    head = request("POST", "/", CHUNKED if framing == "chunked" else f"Content-Length: {size}")
    start = b"%x\r\n" % size if framing == "chunked" else b""
    client = serve(app).client().send(head + start + b"x" * (size - 1)).half_close()
    answer = client.response()
    assert (answer.status, answer["Connection"]) == (400, "close")
    assert client.ended()
    assert read == []
