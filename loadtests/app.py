"""The application under test: a route for each kind of work, plain PEP 3333.

    dualwsgi run loadtests.app --threads 64

DATABASE_URL (postgresql://...) makes /db ask PostgreSQL through psycopg; without it, SQLite in a file of
its own. Each thread or greenlet holds a connection, as in most frameworks. It knows nothing of the server
that runs it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import html
import itertools
import json
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.cookies import CookieError, SimpleCookie
from string import Template
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

MEGABYTE = bytes(range(256)) * 4096
PIECE = 64 * 1024
UPSTREAM_SECONDS = 0.050
DRIVER_MICROSECONDS = 20_000
STREAM_PIECES = 20
EVENTS = 10
EVENT_SECONDS = 0.020
DIGESTS = 6_000
ROWS = 1_000


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answers by the first segment of the path."""
    route = ROUTES.get(environ["PATH_INFO"].split("/", 2)[1])
    if route is None:
        return _answer(start_response, b"There is: " + " ".join(ROUTES).encode(), status="404 Not Found")
    return route(environ, start_response)


def tiny(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A small JSON document."""
    body = json.dumps({"status": "ok", "items": [1, 2, 3], "path": environ["PATH_INFO"]}).encode()
    return _answer(start_response, body, "application/json")


def page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A page of some 10 KB from a template: a hundred rows, escaped."""
    query = parse_qs(environ.get("QUERY_STRING", "")).get("q", ["all"])[0]
    rows = "".join(
        ROW.substitute(number=number, name=html.escape(f"<{query} & {number}>")) for number in range(100)
    )
    return _answer(start_response, PAGE.substitute(query=html.escape(query), rows=rows).encode(), "text/html")


def download(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """One megabyte."""
    return _answer(start_response, MEGABYTE, "application/octet-stream")


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Reads a body in pieces, as a framework's parser does, and answers with its size."""
    source, size = environ["wsgi.input"], 0
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (piece := source.read(min(PIECE, left))):
        size += len(piece)
        left -= len(piece)
    return _answer(start_response, b"%d" % size)


def stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Pieces of 4 KB from a generator, without a length."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (MEGABYTE[:4096] for _ in range(STREAM_PIECES))


def events(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Server-sent events: ten of them, one every 20 ms."""
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
    return _events()


def _events() -> Iterator[bytes]:
    for number in range(EVENTS):
        yield b"id: %d\ndata: tick\n\n" % number
        time.sleep(EVENT_SECONDS)


def upstream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Waits 50 ms, as for another service."""
    time.sleep(UPSTREAM_SECONDS)
    return _answer(start_response, b'{"from": "upstream"}', "application/json")


def driver(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Waits 20 ms inside of C, as a database driver does that knows no greenlets."""
    _LIBC.usleep(DRIVER_MICROSECONDS)
    return _answer(start_response, b'{"from": "driver"}', "application/json")


_LIBC = ctypes.CDLL(None)  # its calls give the interpreter's lock back, as such drivers' do


def cpu(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Some milliseconds of computing, in Python: it holds the interpreter's lock all along."""
    digest = b""
    for number in range(DIGESTS):
        digest = hashlib.md5(digest + b"%d" % number, usedforsecurity=False).digest()
    return _answer(start_response, digest.hex().encode())


def database(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A row that is read by its key, and one query that sums up a hundred."""
    number = next(_NUMBERS) % ROWS
    row = _database().both(number)
    return _answer(start_response, json.dumps(row).encode(), "application/json")


_NUMBERS = itertools.count()


# A browsing session: a cookie says who it is, the basket lives in the server


def login(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sets a session cookie."""
    session = os.urandom(12).hex()
    _BASKETS[session] = []
    while len(_BASKETS) > 10_000:
        _BASKETS.pop(next(iter(_BASKETS)))
    cookie = ("Set-Cookie", f"session={session}; Path=/; HttpOnly; SameSite=Lax")
    return _answer(start_response, b"welcome", headers=[cookie])


def basket(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """POST adds an item of the form, GET lists them; 403 without a session."""
    cookies: SimpleCookie = SimpleCookie()
    with contextlib.suppress(CookieError):
        cookies.load(environ.get("HTTP_COOKIE", ""))
    items = _BASKETS.get(cookies["session"].value) if "session" in cookies else None
    if items is None:
        return _answer(start_response, b"who are you?", status="403 Forbidden")
    if environ["REQUEST_METHOD"] == "POST":
        form = parse_qs(environ["wsgi.input"].read(min(4096, int(environ.get("CONTENT_LENGTH") or 0))))
        items += [item.decode("utf-8", "replace") for item in form.get(b"item", [])]
        del items[:-50]
    return _answer(start_response, json.dumps(items).encode(), "application/json")


_BASKETS: dict[str, list[str]] = {}

ROUTES: dict[str, Callable[[Environ, StartResponse], Iterable[bytes]]] = {
    "json": tiny,
    "page": page,
    "download": download,
    "upload": upload,
    "stream": stream,
    "events": events,
    "upstream": upstream,
    "driver": driver,
    "cpu": cpu,
    "db": database,
    "login": login,
    "basket": basket,
}


# The databases


class _Sqlite:
    def __init__(self) -> None:
        self._connection = sqlite3.connect(_sqlite_file(), timeout=30, check_same_thread=False)

    def both(self, number: int) -> list[Any]:
        one = self._connection.execute("SELECT name FROM item WHERE id = ?", (number,)).fetchone()
        total = self._connection.execute(
            "SELECT sum(price) FROM item WHERE id BETWEEN ? AND ?", (number, number + 99)
        ).fetchone()
        return [one[0], total[0]]


class _Postgres:
    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(
            "CREATE TEMPORARY TABLE item AS SELECT n AS id, 'item ' || n AS name, n % 97 AS price "
            f"FROM generate_series(0, {ROWS - 1}) n"
        )
        self._connection.execute("CREATE UNIQUE INDEX ON item (id)")

    def both(self, number: int) -> list[Any]:
        one = self._connection.execute("SELECT name FROM item WHERE id = %s", (number,)).fetchone()
        total = self._connection.execute(
            "SELECT sum(price)::int FROM item WHERE id BETWEEN %s AND %s", (number, number + 99)
        ).fetchone()
        assert one is not None
        assert total is not None
        return [one[0], total[0]]


def _database() -> _Sqlite | _Postgres:
    # A call owns a connection while it runs; calls that run at the same time have one each.
    found: _Sqlite | _Postgres | None = getattr(_LOCAL, "database", None)
    if found is None:
        url = os.environ.get("DATABASE_URL", "")
        found = _LOCAL.database = _Postgres(url) if url else _Sqlite()
    return found


_LOCAL = threading.local()
_MAKING = threading.Lock()
_FILE = ""


def _sqlite_file() -> str:
    global _FILE
    with _MAKING:
        if not _FILE:
            handle, path = tempfile.mkstemp(prefix="dualwsgi-load-", suffix=".sqlite")
            os.close(handle)
            atexit.register(_remove, path)
            with contextlib.closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)")
                connection.executemany(
                    "INSERT INTO item VALUES (?, ?, ?)", ((n, f"item {n}", n % 97) for n in range(ROWS))
                )
            _FILE = path
        return _FILE


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


# Answering


def _answer(
    start_response: StartResponse,
    body: bytes,
    kind: str = "text/plain",
    *,
    status: str = "200 OK",
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return [body]


ROW = Template("<tr><td>$number</td><td><a href='/page?q=$number'>$name</a></td><td>in stock</td></tr>\n")
PAGE = Template(
    "<!doctype html><html lang='en'><title>$query</title><h1>$query</h1><table>\n$rows</table></html>\n"
)
