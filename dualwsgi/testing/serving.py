"""Servers under test: started in this process, stopped at the end, and watched for what they leave.

A test body is the same for both backends.  What an application must wait for is a Gate, which
waits as its backend waits; what a test waits for is an ordinary event or a deadline.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

from .. import Server
from . import pki
from .misbehave import Misbehaving
from .wire import PATIENCE, Client, Response, eventually, request

App = Callable[[dict[str, Any], Callable[..., Any]], Any]


class Gate:
    """Something that an application waits for and a test opens."""

    def __init__(self, backend: str) -> None:
        self._green = backend == "green"
        self._open = threading.Event()
        self.reached = threading.Event()  # somebody waits at it
        self.waiting = 0

    def wait(self) -> None:
        """For applications."""
        self.waiting += 1
        self.reached.set()
        if self._green:
            from dualwsgi.green import sleep

            deadline = monotonic() + PATIENCE
            while not self._open.is_set():
                assert monotonic() < deadline, "nobody opened the gate"
                sleep(0.002)
        else:
            assert self._open.wait(PATIENCE), "nobody opened the gate"
        self.waiting -= 1

    def open(self) -> None:
        self._open.set()

    def open_later(self, seconds: float) -> None:
        """For applications that take a while: opens it after so many seconds."""
        timer = threading.Timer(seconds, self.open)
        timer.daemon = True
        timer.start()

    def expect(self) -> None:
        """For tests: returns once an application waits here."""
        assert self.reached.wait(PATIENCE), "the application did not come to the gate"


class Served:
    """A running server, its clients, and what it said.

    `address` is where it listens ("http://127.0.0.1:49152"), `addresses` every place if there are several.
    """

    def __init__(self, server: Server, kit: Kit) -> None:
        self.server = server
        self._kit = kit
        self.addresses = list(server.addresses)
        self.address = self.addresses[0]

    def client(self, **options: Any) -> Client:
        """A connection, closed with the test."""
        client = Client(self.address, **options)
        self._kit.clients.append(client)
        return client

    def ask(self, octets: bytes | None = None, method: str = "GET", **options: Any) -> Response:
        """One request on a connection of its own; when this returns, it is counted and in the log, too."""
        with Client(self.address, **options) as client:
            answer = client.send(request() if octets is None else octets).response(method)
            client.leave()
            return answer

    @property
    def misbehave(self) -> Misbehaving:
        """Clients that do it badly, towards this server."""
        return Misbehaving(self.address)

    def said(self, level: int = logging.WARNING) -> list[str]:
        """What the servers of this test logged at `level` and above since the last call."""
        return self._kit.log.take(level)

    def age(self, seconds: float, *, idle: int) -> None:
        """Makes each connection older, as if it had done nothing for so long, once so many are idle.

        The calls that run must wait for something; so many seconds less are left to their requests.  So
        deadlines can be long, and pass when the test says so, not when a machine is busy.
        """

        def make_older() -> None:  # by whoever polls, who has no other connection in hand then
            view = self.server.look()
            assert view is not None
            ready = len(view.parked) == idle
            conn: Any  # what a backend calls Parked is a Connection
            if ready:
                for conn in (*(call.conn for call in view.calls), *view.queued, *view.parked):
                    conn.since -= seconds
                    conn.deadline.at -= seconds
            done.put(ready)

        def is_done() -> bool:
            self.server.backend.poke(make_older)
            return done.get(timeout=PATIENCE)

        done: SimpleQueue[bool] = SimpleQueue()
        eventually(is_done)

    @property
    def queued(self) -> int:
        """How many requests wait for a call."""
        view = self.server.look()
        return len(view.queued) if view is not None else 0

    def expect_queued(self, count: int) -> None:
        """Returns once so many requests wait for a call."""
        eventually(lambda: self.queued == count)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def counter(self, name: str) -> int:
        return int(getattr(self.server.counters, name))

    def stop(self, grace: float | None = None) -> bool:
        return self.server.stop(grace)


class Complaints(logging.Filter):
    """What the server's log said; if it is `quiet`, it says it to nobody else."""

    def __init__(self, *, quiet: bool = True) -> None:
        super().__init__()
        self._quiet = quiet
        self.records: list[logging.LogRecord] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        return not self._quiet

    def take(self, level: int = logging.WARNING) -> list[str]:
        """The lines of this level and above, which the test thereby expects."""
        found = [record for record in self.records if record.levelno >= level]
        self.records = [record for record in self.records if record.levelno < level]
        return [self._text(record) for record in found]

    def infos(self) -> list[str]:
        return [self._text(record) for record in self.records]

    @staticmethod
    def _text(record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" | {record.exc_info[1]!r}"
        return text


class Kit:
    """Starts servers for one test, and cleans up after it.

    `place` gives a directory for unix sockets, and is called when there is one.
    """

    def __init__(self, backend: str, place: Callable[[], Path], *, quiet: bool = True) -> None:
        self.backend = backend
        self._place = place
        self.over = "tcp"  # what connections run over, unless told otherwise
        self.clients: list[Client] = []
        self.log = Complaints(quiet=quiet)
        self._served: list[Served] = []
        self._threads = set(threading.enumerate())
        self._files = open_files()

    def serve(self, app: App, *, over: str = "", **settings: Any) -> Served:
        """A server for `app`, started.  Keywords are fields of Config."""
        over = over or self.over
        where = "127.0.0.1:0" if over != "unix" else f"unix:{self._place() / f's{len(self._served)}'}"
        if over == "tls":
            settings.setdefault("certfile", (pki.server(),))
        settings.setdefault("bind", (where,))
        settings.setdefault("max_blocking_time", 0)  # a busy machine holds a hub, too
        server = Server(app, backend=self.backend, **settings)
        server.start()
        served = Served(server, self)
        self._served.append(served)
        return served

    def gate(self) -> Gate:
        return Gate(self.backend)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for served in self._served:
            assert served.stop(PATIENCE), "a request was still running at the end of the test"

    def check(self) -> None:
        """Nothing was left behind, and nothing was logged that the test does not know of."""
        eventually(lambda: not self.new_threads() or None, 5) if self.new_threads() else None
        assert not self.new_threads()
        left = open_files() - self._files
        assert not left, f"left open: {left}"
        loud = self.log.take(logging.WARNING)
        assert not loud, f"logged and not expected: {loud}"

    def new_threads(self) -> list[str]:
        return [
            thread.name
            for thread in threading.enumerate()
            if thread not in self._threads and thread.name.startswith("dualwsgi")
        ]


def open_files() -> set[tuple[str, str]]:
    """The descriptors of this process and what they are; nothing where the system does not tell."""
    found: set[tuple[str, str]] = set()
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            what = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the listing's own
        if what.startswith(("socket:", "anon_inode:")):
            found.add((number, what))
    return found


# Applications


def answering(
    content: Any = (b"hello",),
    status: str = "200 OK",
    headers: list[tuple[str, str]] | None = None,
) -> App:
    """Answers every request alike; `content` may be a callable that makes it anew."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, list(headers or [("Content-Type", "text/plain")]))
        return content() if callable(content) else list(content)

    return app


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Reads the whole body and sends it back behind method and path."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode("latin-1") + body]
