"""The WSGI applications that every server runs: one callable a kind of work, so no dispatch is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

GREETING = b"Hello, world!\n"
MEGABYTE = bytes(range(256)) * 4096
PIECE = 64 * 1024
SPIN_SECONDS = 0.010
"""How much CPU one request of the CPU-bound route takes, with the GIL held."""


def _answer(start_response: StartResponse, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "14")])
    return [GREETING]


def post(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read the whole body at once, as a form handler does, and answer with its length."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return _answer(start_response, b"%d\n" % len(body))


def megabyte(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return _answer(start_response, MEGABYTE)


def streamed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Twenty pieces of 4 KB from a generator, without a length."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (MEGABYTE[:4096] for _ in range(20))


def sleep100(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.100)
    return _answer(start_response, GREETING)


def sleep10(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.010)
    return _answer(start_response, GREETING)


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read a body of unknown length in pieces and answer with how many bytes came."""
    source, received = environ["wsgi.input"], 0
    while piece := source.read(PIECE):
        received += len(piece)
    return _answer(start_response, b"%d\n" % received)


def mixed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A quick route beside one that waits (/sleep) and one that computes (/spin)."""
    path = environ["PATH_INFO"]
    if path == "/sleep":
        time.sleep(0.100)
    elif path == "/spin":
        end = time.thread_time() + SPIN_SECONDS
        while time.thread_time() < end:
            pass
    return _answer(start_response, GREETING)
