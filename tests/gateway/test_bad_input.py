"""What bad input gets: one answer that names it, the connection closed, and never a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from serving import Served, answering, echo
from table import table
from wire import CHUNKED, Client, chunked, request

Serve = Callable[..., Served]

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


def with_line(line: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n"


def starting(line: bytes) -> bytes:
    return line + b"\r\nHost: x\r\n\r\n"


BAD: dict[str, tuple[int, bytes]] = {
    # The request line
    "no version": (400, starting(b"GET /")),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "another protocol": (400, starting(b"GET / HTTPS/1.1")),
    "half a version": (400, starting(b"GET / HTTP/1")),
    "a long version": (400, starting(b"GET / HTTP/1.11")),
    "a small version": (400, starting(b"GET / http/1.1")),
    "HTTP/2.0": (505, starting(b"GET / HTTP/2.0")),
    "HTTP/0.9 by name": (505, starting(b"GET / HTTP/0.9")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "two spaces": (400, starting(b"GET  / HTTP/1.1")),
    "a tab": (400, starting(b"GET\t/ HTTP/1.1")),
    "a space at the end": (400, starting(b"GET / HTTP/1.1 ")),
    "a space before": (400, starting(b" GET / HTTP/1.1")),
    "a space in the target": (400, starting(b"GET /a b HTTP/1.1")),
    "one word": (400, starting(b"hello")),
    "a percent sign alone": (400, starting(b"% % %")),
    "a bad method": (400, starting(b"G(T / HTTP/1.1")),
    "no method": (400, starting(b" / HTTP/1.1")),
    "raw UTF-8 in the target": (400, starting("GET /\u00e9 HTTP/1.1".encode())),
    "a fragment": (400, starting(b"GET /a#b HTTP/1.1")),
    "no slash": (400, starting(b"GET path HTTP/1.1")),
    "an asterisk": (400, starting(b"GET * HTTP/1.1")),
    "another scheme": (400, starting(b"GET ftp://x/ HTTP/1.1")),
    "an authority for GET": (400, starting(b"GET x:80 HTTP/1.1")),
    "no port for CONNECT": (400, starting(b"CONNECT x HTTP/1.1")),
    "user information": (400, starting(b"GET http://user@x/ HTTP/1.1")),
    "an empty authority": (400, starting(b"GET http:/// HTTP/1.1")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "binary": (400, bytes(range(256)) + b"\r\n\r\n"),
    # Field lines
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, with_line(b"Host: y")),
    "two equal Hosts": (400, with_line(b"Host: x")),
    "a bad Host": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "a Host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "a list for a Host": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "a user in Host": (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    "a space before the colon": (400, with_line(b"X : y")),
    "a tab before the colon": (400, with_line(b"X\t: y")),
    "no colon": (400, with_line(b"Xy")),
    "no name": (400, with_line(b": y")),
    "a bad name": (400, with_line(b"X(y): z")),
    "a name in Latin-1": (400, with_line(b"X\xe9: z")),
    "a folded line": (400, with_line(b"X: y\r\n z")),
    "a folded line, by tab": (400, with_line(b"X: y\r\n\tz")),
    "a first line that is folded": (400, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    "NUL in a value": (400, with_line(b"X: a\0b")),
    "NUL in a name": (400, with_line(b"X\0: a")),
    "CR alone in a value": (400, with_line(b"X: a\rb")),
    "LF alone in a value": (400, with_line(b"X: a\nY: b")),
    "DEL in a value": (400, with_line(b"X: a\x7f")),
    "ESC in a value": (400, with_line(b"X: \x1b[31m")),
    "LF alone at line ends": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "LF alone at the end": (400, b"GET / HTTP/1.1\r\nHost: x\r\n\n"),
    # Framing
    "Content-Length with a sign": (400, with_line(b"Content-Length: +3")),
    "a negative Content-Length": (400, with_line(b"Content-Length: -3")),
    "Content-Length with an underscore": (400, with_line(b"Content-Length: 0_3")),
    "Content-Length in words": (400, with_line(b"Content-Length: three")),
    "Content-Length in hex": (400, with_line(b"Content-Length: 0x3")),
    "an empty Content-Length": (400, with_line(b"Content-Length:")),
    "a list for a Content-Length": (400, with_line(b"Content-Length: 3, 3")),
    "two Content-Lengths": (400, with_line(b"Content-Length: 3\r\nContent-Length: 4")),
    "two equal Content-Lengths": (400, with_line(b"Content-Length: 3\r\nContent-Length: 3")),
    "a fraction": (400, with_line(b"Content-Length: 3.0")),
    "a huge Content-Length": (413, with_line(b"Content-Length: 18446744073709551616")),
    "a Content-Length without end": (413, with_line(b"Content-Length: " + b"9" * 4000)),
    "both framings": (400, with_line(b"Content-Length: 3\r\nTransfer-Encoding: chunked")),
    "both framings, the other way": (400, with_line(b"Transfer-Encoding: chunked\r\nContent-Length: 3")),
    "Content-Length 0 and chunked": (400, with_line(b"Content-Length: 0\r\nTransfer-Encoding: chunked")),
    "chunked in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, with_line(b"Transfer-Encoding: chunked, chunked")),
    "chunked twice, in two lines": (
        400,
        with_line(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ),
    "chunked before another": (400, with_line(b"Transfer-Encoding: chunked, gzip")),
    "an empty coding": (400, with_line(b"Transfer-Encoding:")),
    "gzip": (400, with_line(b"Transfer-Encoding: gzip")),
    "gzip, chunked": (501, with_line(b"Transfer-Encoding: gzip, chunked")),
    "identity": (400, with_line(b"Transfer-Encoding: identity")),
    "xchunked": (400, with_line(b"Transfer-Encoding: xchunked")),
    "a vertical tab and chunked": (400, with_line(b"Transfer-Encoding: \x0bchunked")),
    "a Kelvin sign in chunked": (400, with_line("Transfer-Encoding: chun\u212aed".encode())),
    "an unknown expectation": (417, with_line(b"Expect: the-impossible")),
    "two Content-Types": (400, with_line(b"Content-Type: a/b\r\nContent-Type: c/d")),
    "nothing but empty lines": (400, b"\r\n" * 20),
}


@table(("status", "octets"), BAD.values(), ids=BAD)
def test_a_bad_head_is_answered_and_the_connection_closed(
    serve_in_turn: Serve, status: int, octets: bytes
) -> None:
    calls: list[int] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(1)
        return answering()(environ, start_response)

    served = serve_in_turn(app)
    before = served.counter("errors")
    with Client(served.address) as client:
        check(client.send(octets), status)
    with Client(served.address) as client:
        check(client.send(octets + request("GET", "/smuggled")), status)
    with Client(served.address) as client:
        try:
            client.drip(octets)
        except ConnectionError:
            pass  # it was answered before its end
        check(client, status)
    with Client(served.address) as client:  # behind a good request, that gets its own answer
        assert client.send(request() + octets).response().status == 200
        check(client, status)
    assert calls == [1]
    assert served.counter("errors") == before + 4


def check(client: Client, status: int) -> None:
    answer = client.response()
    assert (answer.status, answer["Connection"]) == (status, "close")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert "Date" in answer
    assert answer.body.startswith(b"%d " % status)
    assert b"Traceback" not in answer.body
    assert client.ended()


GOOD: dict[str, bytes] = {
    "an empty line before": b"\r\n" + request(),
    "a method of its own": request("GeT"),
    "a strange method": request("M-SEARCH!"),
    "an empty value": request("GET", "/", "X:"),
    "spaces and tabs around a value": request("GET", "/", "X: \t y \t "),
    "Latin-1 in a value": request("GET", "/", "X: \xe9"),
    "an empty Host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "an IPv6 Host": b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "characters that browsers send": request("GET", '/a|b^c{d}e[f]"<>\\`'),
    "bad triplets": request("GET", "/%zz%4"),
    "several slashes": request("GET", "//a//b"),
    "dots": request("GET", "/a/../../b"),
    "OPTIONS *": request("OPTIONS", "*"),
    "an absolute target": request("GET", "HTTP://x/y"),
    "a list in Connection": request("GET", "/", "Connection: , keep-alive,,"),
    "CHUNKED": request("POST", "/", "Transfer-Encoding: CHUNKED") + chunked(b"x"),
}


@table("octets", GOOD.values(), ids=GOOD)
def test_what_only_looks_bad_is_served(serve_in_turn: Serve, octets: bytes) -> None:
    client = serve_in_turn(answering()).client()
    for _ in range(3):
        assert client.send(octets).response().status == 200
    assert client.drip(octets).response().status == 200


# Limits, on both sides


def line_of(size: int) -> bytes:
    return request("GET", "/" + "x" * (size - len("GET / HTTP/1.1")))


def field_of(size: int) -> bytes:
    return request("GET", "/", "X: " + "y" * (size - 3))


def head_of(size: int) -> bytes:
    lines = ["X: " + "y" * 95] * ((size - 300) // 100)
    return request("GET", "/", *lines, "Y: " + "y" * (size - len(request("GET", "/", *lines)) - 5))


LIMITS = [
    pytest.param({"limit_request_line": 100}, line_of(100), line_of(101), 414, id="request line"),
    pytest.param({}, line_of(8190), line_of(8191), 414, id="request line, default"),
    pytest.param({"limit_request_field_size": 100}, field_of(100), field_of(101), 431, id="field"),
    pytest.param({}, field_of(8190), field_of(8191), 431, id="field, default"),
    pytest.param({"limit_request_head": 1000}, head_of(1000), head_of(1001), 431, id="head"),
    pytest.param({"limit_request_fields": 1000}, head_of(65536), head_of(65537), 431, id="head, default"),
    pytest.param(
        {"limit_request_fields": 10},
        request("GET", "/", *["X: y"] * 9),
        request("GET", "/", *["X: y"] * 10),
        431,
        id="fields",
    ),
    pytest.param(
        {}, request("GET", "/", *["X: y"] * 99), request("GET", "/", *["X: y"] * 100), 431, id="100"
    ),
    pytest.param(
        {"limit_request_body": 1000},
        request("POST", "/", body=b"x" * 1000),
        request("POST", "/", body=b"x" * 1001),
        413,
        id="body",
    ),
    pytest.param(
        {"limit_request_body": 1000},
        request("POST", "/", CHUNKED) + chunked(b"x" * 500, b"x" * 500),
        request("POST", "/", CHUNKED) + chunked(b"x" * 500, b"x" * 501),
        413,
        id="chunked body",
    ),
    pytest.param(
        {"limit_request_body": 100_000},
        request("POST", "/", CHUNKED) + chunked(b"x" * 50_000, b"x" * 50_000),
        request("POST", "/", CHUNKED) + chunked(b"x" * 50_000, b"x" * 50_001),
        413,
        id="large chunked body",
    ),
    pytest.param(
        {"limit_chunk_extension": 100},
        request("POST", "/", CHUNKED) + b"1;a=" + b"b" * 96 + b"\r\nx\r\n0\r\n\r\n",
        request("POST", "/", CHUNKED) + b"1;a=" + b"b" * 97 + b"\r\nx\r\n0\r\n\r\n",
        400,
        id="chunk line",
    ),
    pytest.param(
        {"limit_trailers": 100},
        request("POST", "/", CHUNKED) + chunked(b"x", trailer=b"X: " + b"y" * 95 + b"\r\n"),
        request("POST", "/", CHUNKED) + chunked(b"x", trailer=b"X: " + b"y" * 96 + b"\r\n"),
        400,
        id="trailers",
    ),
]


@table(("settings", "inside", "beyond", "status"), LIMITS)
def test_a_limit_lets_through_what_reaches_it_and_no_more(
    serve_in_turn: Serve, settings: dict[str, Any], inside: bytes, beyond: bytes, status: int
) -> None:
    served = serve_in_turn(echo, **settings)
    client = served.client()
    for _ in range(3):
        assert client.send(inside).response().status == 200
    client.send_if_taken(beyond)
    answer = client.response()
    assert (answer.status, answer["Connection"]) == (status, "close")
    assert client.ended()
    assert served.ask(inside).status == 200


@pytest.mark.parametrize(
    ("start", "more", "status"),
    [
        (b"GET /", b"x" * 1000, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"y" * 1000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n" * 100, 431),
    ],
)
def test_a_head_without_end_is_answered_at_its_limit(
    serve: Serve, start: bytes, more: bytes, status: int
) -> None:
    client = serve(answering()).client().send(start)
    for _ in range(120):
        if not client.send_if_taken(more):
            break
    assert client.response().status == status
    assert client.ended()


def test_a_declared_body_over_the_limit_is_refused_before_it_comes(serve: Serve) -> None:
    served = serve(echo, limit_request_body=1000)
    client = served.client().send(request("POST", "/", "Content-Length: 1001", "Expect: 100-continue"))
    answer = client.response()
    assert (answer.status, answer.interim) == (413, [])


def test_without_a_limit_a_body_may_be_any_size(serve: Serve) -> None:
    client = serve(answering(), limit_request_body=0).client()
    client.send(request("POST", "/", "Content-Length: 99999999999999999"))
    assert client.response().status == 200


@pytest.mark.parametrize("size", [200_000, 5_000_000])
def test_an_error_answer_reaches_a_client_that_is_still_sending(serve: Serve, size: int) -> None:
    """A close with octets unread would reset the connection and destroy the answer."""
    served = serve(answering(), limit_request_body=1000)
    for _ in range(5):
        client = served.client()
        client.send_if_taken(request("POST", "/", body=b"x" * size))
        assert client.response().status == 413
        assert client.ended()


def test_an_error_answer_waits_for_a_client_that_reads_late(serve: Serve) -> None:
    client = serve(answering()).client().send(b"bad\r\n\r\n", b"more" * 1000)
    assert client.half_close().response().status == 400
    assert client.ending() == "eof"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_server_answer_to_head_has_no_body(serve: Serve, method: str, said: Any) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        raise RuntimeError

    client = serve(app).client().send(request(method))
    assert client.response(method).status == 500
    assert client.ended()
    said()
