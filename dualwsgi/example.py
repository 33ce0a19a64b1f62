"""The bundled example: a small WSGI application to point a browser, curl or a load generator at.

    dualwsgi run dualwsgi.example

Plain PEP 3333 and the standard library; it knows nothing of the server that runs it.
"""

from __future__ import annotations

import html
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs

__all__ = ["app"]

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

PIECE = 64 * 1024
ECHO_MAX = 1024 * 1024
SLEEP_MAX_MS = 10_000
STREAM_LINES = 10


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer by the path alone; what is not in ROUTES is a 404 that lists them."""
    route = ROUTES.get(environ["PATH_INFO"] or "/")
    if route is None:
        return _text(start_response, "404 Not Found", "There is: " + ", ".join(ROUTES) + "\n")
    if environ["REQUEST_METHOD"] not in route.methods:
        allow = ("Allow", ", ".join(route.methods))
        return _text(start_response, "405 Method Not Allowed", f"{allow[0]}: {allow[1]}\n", allow)
    return route.answer(environ, start_response)


# The routes


def index(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """This page."""
    rows = "".join(
        f"<tr><td><a href='{path}'>{path}</a><td>{' '.join(route.methods)}<td>{route.answer.__doc__}"
        for path, route in ROUTES.items()
    )
    body = PAGE.format(rows=rows, server=html.escape(environ.get("SERVER_SOFTWARE", ""))).encode()
    start_response(
        "200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    )
    return [body]


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Thirteen bytes, always the same: for load generators."""
    return _text(start_response, "200 OK", "Hello, World!")


def headers(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The environ of this request, as the application sees it."""
    lines = (f"{name}: {value!r}\n" for name, value in sorted(environ.items()))
    return _text(start_response, "200 OK", "".join(lines))


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What you POST, back with its own Content-Type (up to 1 MiB)."""
    body = b"".join(_body(environ, ECHO_MAX + 1))
    if len(body) > ECHO_MAX:
        return _text(start_response, "413 Content Too Large", "At most 1 MiB.\n")
    kind = environ.get("CONTENT_TYPE") or "application/octet-stream"
    # What a stranger's form posts must not run as a page of this site.
    safe = [("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox")]
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body))), *safe])
    return [body]


def stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Ten lines, one every fifth of a second, each sent when it is made."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return _lines()


def sleep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Waits ?ms= milliseconds (100; at most 10000), as a slow database would."""
    given = parse_qs(environ.get("QUERY_STRING", "")).get("ms", ["100"])[0]
    if not (given.isascii() and given.isdigit() and len(given) < 8 and int(given) <= SLEEP_MAX_MS):
        return _text(start_response, "400 Bad Request", f"ms: give a number from 0 to {SLEEP_MAX_MS}\n")
    time.sleep(int(given) / 1000)
    return _text(start_response, "200 OK", f"Slept {int(given)} ms.\n")


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Counts the bytes of what you POST or PUT, and keeps none of them."""
    return _text(start_response, "200 OK", f"{sum(map(len, _body(environ)))} bytes\n")


class Route(NamedTuple):
    methods: tuple[str, ...]
    answer: Callable[[Environ, StartResponse], Iterable[bytes]]


ROUTES = {
    "/": Route(("GET", "HEAD"), index),
    "/hello": Route(("GET", "HEAD"), hello),
    "/headers": Route(("GET", "HEAD"), headers),
    "/echo": Route(("POST", "PUT"), echo),
    "/stream": Route(("GET", "HEAD"), stream),
    "/sleep": Route(("GET", "HEAD"), sleep),
    "/upload": Route(("POST", "PUT"), upload),
}


# Reading and answering


def _body(environ: Environ, at_most: float = math.inf) -> Iterator[bytes]:
    # PEP 3333: an application stops at CONTENT_LENGTH on its own, unless its server says that the
    # input ends by itself, as it does for a chunked body.
    length = math.inf if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
    left = min(length, at_most)
    while left and (piece := environ["wsgi.input"].read(min(PIECE, left))):
        left -= len(piece)
        yield piece


def _text(start_response: StartResponse, status: str, text: str, *more: tuple[str, str]) -> Iterable[bytes]:
    body = text.encode()
    head = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *more]
    start_response(status, head)
    return [body]


def _lines() -> Iterator[bytes]:
    for number in range(1, STREAM_LINES + 1):
        yield f"line {number} of {STREAM_LINES}\n".encode()
        if number < STREAM_LINES:
            time.sleep(0.2)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>dualwsgi: it works</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }}
  td {{ padding: .2rem 1.5rem .2rem 0; vertical-align: top }}
  form {{ margin: 1.5rem 0 }}
  small {{ opacity: .6 }}
  :root {{ color-scheme: light dark }}
</style>
<h1>It works.</h1>
<p>This is the example application. It answers:
<table>{rows}</table>
<form method="post" action="/upload" enctype="multipart/form-data">
  <input type="file" name="file" aria-label="A file"> <button>Count its bytes</button>
</form>
<small>{server}</small>
</html>
"""
