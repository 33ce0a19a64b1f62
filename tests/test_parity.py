"""The promise itself: for the same requests the same octets, log lines, complaints and counters.

Every exchange of the corpus runs on both.  Only what may differ is taken out: dates, times, ports.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving import Kit, Served
from wire import request

from dualwsgi.counters import Counters

CHUNKED = "Transfer-Encoding: chunked"
CLOSE = "Connection: close"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Does what the path names."""
    return ACTS[environ["PATH_INFO"]](environ, start_response)


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Query", environ["QUERY_STRING"])])
    return [b"hello"]


def mirror(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    said = {
        key: value
        for key, value in environ.items()
        if isinstance(value, str | bool | tuple) and key not in ("REMOTE_PORT", "SERVER_PORT", "HTTP_HOST")
    }
    start_response("200 OK", [])
    return [repr(sorted(said.items())).encode()]


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


def slow_reader(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("X-Pieces", "read by seven")])
    return iter(lambda: environ["wsgi.input"].read(7), b"")


def generate(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    for number in range(5):
        time.sleep(0.001)
        yield b"%d" % number * number


def write(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    out = start_response("201 Created", [("Content-Length", "6")])
    out(b"abc")
    out(b"def")
    return []


def large(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    return [b"0123456789abcdef" * 40_000]


def hints(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", [])
    return [b"hinted"]


def fail(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    raise RuntimeError("on purpose")


def fail_late(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    yield b"so far"
    raise RuntimeError("on purpose, later")


def short(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "10")])
    return [b"four"]


def long(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"four and more"]


def forged(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("X-Bad", "a\r\nSet-Cookie: b")])
    return [b""]


def text(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    return ["text"]


def nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("204 No Content", [])
    return [b"dropped"]


def unread(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("413 Content Too Large", [])
    return [b"no"]


ACTS = {
    "/plain": plain,
    "/mirror": mirror,
    "/echo": echo,
    "/pieces": slow_reader,
    "/generate": generate,
    "/write": write,
    "/large": large,
    "/hints": hints,
    "/fail": fail,
    "/fail-late": fail_late,
    "/short": short,
    "/long": long,
    "/forged": forged,
    "/text": text,
    "/nothing": nothing,
    "/unread": unread,
}


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


# What a client sends, each piece by a call of its own, to a connection of its own; then it listens.
GOOD: dict[str, tuple[bytes, ...]] = {
    **{
        f"{method} {path}": (request(method, path), request(method, path, CLOSE))
        for path in ACTS
        for method in ("GET", "HEAD", "POST")
    },
    "HTTP/1.0": (b"GET /plain HTTP/1.0\r\n\r\n",),
    "HTTP/1.0 kept": (
        b"GET /generate HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET /plain HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + b"GET /plain HTTP/1.0\r\n\r\n",
    ),
    "many fields": (request("GET", "/mirror?a=%20b", "Cookie: a=b", "Cookie: c=d", "X-A_B: c", CLOSE),),
    "absolute form": (b"GET http://other.test/mirror?x HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",),
    "percent": (b"GET /%6dirror%3Fa HTTP/1.1\r\nHost: test\r\n\r\n" + request("GET", "/m%69rror", CLOSE),),
    "pipelined": (request("GET", "/generate") * 3 + request("POST", "/echo", CLOSE, body=b"x" * 100),),
    "a body in pieces": (request("POST", "/echo", "Content-Length: 6", CLOSE), b"ab", b"cd", b"ef"),
    "a chunked body": (request("POST", "/echo", CHUNKED, CLOSE) + chunked(b"one", b"two" * 50),),
    "a chunked body in pieces": (
        request("PUT", "/pieces", CHUNKED, CLOSE),
        *[b"3\r\nabc\r\n"] * 5,
        b"0\r\n\r\n",
    ),
    "a large body": (
        request("POST", "/pieces", "Content-Length: 70000", CLOSE),
        b"y" * 40_000,
        b"z" * 30_000,
    ),
    "continue": (request("POST", "/echo", "Content-Length: 3", "Expect: 100-continue", CLOSE) + b"abc",),
    "unread, and another": (
        request("POST", "/unread", "Content-Length: 90000") + b"y" * 90_000 + request("GET", "/plain", CLOSE),
    ),
    "unread, too much": (request("POST", "/unread", "Content-Length: 9000000"), b"y" * 1000),
    "slowly": tuple(bytes([octet]) for octet in request("GET", "/plain", CLOSE)),
}

BAD: dict[str, tuple[bytes, ...]] = {
    "no version": (b"GET /plain\r\n\r\n",),
    "HTTP/2.0": (b"GET /plain HTTP/2.0\r\nHost: test\r\n\r\n",),
    "no Host": (b"GET /plain HTTP/1.1\r\n\r\n",),
    "two Hosts": (request("GET", "/plain", "Host: other"),),
    "a folded line": (request("GET", "/plain", "X-A: b\r\n c"),),
    "both lengths": (request("POST", "/echo", "Content-Length: 3", CHUNKED) + b"abc",),
    "two lengths": (request("POST", "/echo", "Content-Length: 3", "Content-Length: 4") + b"abc",),
    "a strange coding": (request("POST", "/echo", "Transfer-Encoding: gzip, chunked"),),
    "a bad chunk": (request("POST", "/echo", CHUNKED) + b"zz\r\n",),
    "a bad chunk later": (request("POST", "/pieces", CHUNKED) + chunked(b"x" * 70_000)[:-5] + b"zz\r\n\r\n",),
    "a bare LF": (b"GET /plain HTTP/1.1\nHost: test\n\n",),
    "NUL": (request("GET", "/plain", "X: \0"),),
    "a long line": (request("GET", "/" + "a" * 9000),),
    "a long field": (request("GET", "/plain", "X: " + "a" * 9000),),
    "many fields": (request("GET", "/plain", *["X: a"] * 101),),
    "good, then bad": (request("GET", "/plain") + b"what is this\r\n\r\n",),
    "an unknown expectation": (request("GET", "/plain", "Expect: wonders"),),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),),
    "noise": (bytes(range(256)),),
}

# Clients that leave: what was sent, and whether their last word is a reset.
CUT: dict[str, tuple[bytes, bool]] = {
    "in the head": (b"GET /plain HT", False),
    "in a small body": (request("POST", "/echo", "Content-Length: 10") + b"abc", False),
    "in a large body": (request("POST", "/echo", "Content-Length: 100000") + b"abc", False),
    "in a chunk": (request("POST", "/echo", CHUNKED) + b"5\r\nab", False),
    "reset in the head": (b"GET /plain HT", True),
    "after a request": (request("GET", "/plain"), False),
}


def test_both_backends_say_the_same(tmp_path: Path) -> None:
    """Octets, access log, complaints, counters."""
    told = {backend: transcript(backend, tmp_path / backend) for backend in ("threads", "green")}
    for name, said in told["threads"].items():
        assert said == told["green"][name], name
    assert set(told["threads"]) == set(told["green"])


def transcript(backend: str, place: Path) -> dict[str, Any]:
    place.mkdir()
    kit = Kit(backend, lambda: place)
    logger = logging.getLogger("dualwsgi")
    level = logger.level
    logger.addFilter(kit.log)
    logger.setLevel(logging.INFO)
    try:
        served = kit.serve(app, access_log=str(place / "access"))
        said: dict[str, Any] = {}
        for name, pieces in (GOOD | {f"bad: {name}": pieces for name, pieces in BAD.items()}).items():
            said[name] = exchange(served, pieces)
            assert said[name].startswith(b"HTTP/1.1 "), name
        for name, (octets, is_reset) in CUT.items():
            said[f"cut {name}"] = cut(served, octets, is_reset)
        said["refused"] = served.counter("errors")
    finally:
        kit.close()
        logger.removeFilter(kit.log)
        logger.setLevel(level)
    said["complaints"] = [
        masked(f"{record.levelname} {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")
        for record in kit.log.records
    ]
    said["log"] = [masked(line) for line in (place / "access").read_text().splitlines()]
    counters = served.server.counters
    said["counters"] = {name: getattr(counters, name) for name in Counters.OWN}
    said["classes"] = counters.classes
    said["routes"] = {name: (route.times.count, route.errors) for name, route in counters.routes.items()}
    kit.log.take()
    kit.check()
    assert len(said["log"]) > 80
    return said


def exchange(served: Served, pieces: tuple[bytes, ...]) -> bytes:
    """All that comes back until the connection ends."""
    client = served.client()
    for piece in pieces:
        if not client.send_if_taken(piece):
            break
    try:
        client.half_close()
    except OSError:
        pass  # refused, and closed, before all was sent
    return without_date(client.until_end())


def cut(served: Served, octets: bytes, is_reset: bool) -> bytes:
    """What a client gets that leaves, if it can get anything."""
    if not is_reset:
        return exchange(served, (octets,))
    served.client().send(octets).reset()
    return b""


def without_date(octets: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*", b"Date: -", octets)


def masked(line: str) -> str:
    line = re.sub(r"\[[^]]*\]", "[-]", line)
    return re.sub(r"0x[0-9a-f]+|:\d{4,5}\b", "-", line)
