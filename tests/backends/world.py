"""A lane or a hub with connections of no protocol, whose every step a test can hold up.

A client sends lines "VERB NUMBER", and gets "NUMBER" for each when its call has run.  The verb names
the route, and what the call does.  Every method of a connection checks that no other thread or greenlet
is in one of them at the same time, and the World counts calls: none may be lost, made twice, or be one
too many at once.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from wire import PATIENCE, eventually

from dualwsgi.backends.green import GreenBackend
from dualwsgi.backends.threads.lane import Lane
from dualwsgi.seam import Turn, Verdict

READ = 4096
"""Octets; more than any client sends at once."""


class Gate:
    """Where a call waits until a test lets it go on."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._reached = threading.Event()

    def reach(self) -> None:
        self._reached.set()

    def wait(self) -> None:
        self.reach()
        assert self._open.wait(PATIENCE), "nobody opened the gate"

    def expect(self) -> None:
        assert self._reached.wait(PATIENCE), "no call came to the gate"

    @property
    def is_reached(self) -> bool:
        return self._reached.is_set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def open(self) -> None:
        self._open.set()


class Line:
    """A request line, with a place for its route."""

    def __init__(self, verb: str = "") -> None:
        self.route: Any = None
        self._verb = verb

    def route_name(self) -> str:
        return self._verb


class Conn:
    """A connection as a lane sees it; see dualwsgi.seam.Parked."""

    def __init__(self, world: World, stream: Any, turn: Turn) -> None:
        self.world = world
        self.stream = stream
        self.fd = stream.fd
        self.since = turn.now
        self.request = SimpleNamespace(line=Line())
        self.closed = False
        self.late = False
        self._buffer = b""
        self._command = ""
        self._number = -1
        self._used_by: str | None = None
        self._resting = Verdict.WANT_READ
        self._is_made = False

    @contextmanager
    def _used(self, what: str) -> Iterator[None]:
        other, self._used_by = self._used_by, what
        if other is not None:
            self.world.wrong.append(f"{what} while in {other}")
        if self.closed and what != "close":
            self.world.wrong.append(f"{what} after close")
        if self._is_made and what not in ("send", "close"):
            self.world.wrong.append(f"{what} before the response is sent")
        try:
            yield
        finally:
            self._used_by = None

    # What the lane calls

    def advance(self, turn: Turn) -> Verdict:
        with self._used("advance"):
            if b"\n" not in self._buffer:
                try:
                    data = self.stream.read(READ)
                except BlockingIOError:
                    return Verdict.WANT_READ
                except OSError:
                    return Verdict.CLOSE
                if not data:
                    return Verdict.CLOSE
                self._buffer += data
                if b"\n" not in data:
                    return Verdict.AGAIN
            line, _, self._buffer = self._buffer.partition(b"\n")
            verb, number = line.decode().split()
            self._command, self._number = verb, int(number)
            self.request = SimpleNamespace(line=Line(verb))
            self.since = turn.now
            self.world.reading()
            self.world.count("asked", self._number)
            if verb == "leave":
                return Verdict.CLOSE
            if verb == "boom":
                raise RuntimeError("a fault in advance()")
            return Verdict.STREAM if verb.startswith("stream") else Verdict.RUN

    def run(self, turn: Turn) -> Verdict:
        with self._used("run"):
            self.world.enter(self._number)
            try:
                verdict = self.world.acts.get(self._command, lambda: None)() or Verdict.WANT_READ
            finally:
                self.world.leave()
            if verdict is Verdict.WANT_READ and self._number % 3:
                self._is_made = True
                return Verdict.SEND
            return self._answer(verdict)

    def send(self, turn: Turn) -> Verdict:
        with self._used("send"):
            if not self._is_made:
                self.world.wrong.append("nothing is made that could be sent")
            self._is_made = False
            self.since = turn.now
            return self._answer(Verdict.WANT_READ)

    def _answer(self, verdict: Verdict) -> Verdict:
        if verdict is Verdict.CLOSE:
            return verdict
        self.world.sent.append(self._number)
        try:
            self.stream.write(b"%d\n" % self._number)
        except OSError:
            return Verdict.CLOSE
        return Verdict.AGAIN if self._buffer else self._resting

    def refuse(self, turn: Turn, reason: str) -> Verdict:
        with self._used("refuse"):
            self.world.count("refused", self._number)
            return self._answer(Verdict.WANT_READ)

    @property
    def awaits_octets(self) -> bool:
        return not self._buffer

    def hung_up(self) -> None:
        with self._used("hung_up"):
            self._resting = Verdict.AGAIN

    def overdue(self, now: float) -> bool:
        return self.late

    def expire(self, turn: Turn) -> Verdict:
        with self._used("expire"):
            return Verdict.CLOSE

    has_begun = False

    def forgo(self, turn: Turn) -> Verdict | None:
        return None

    def is_late(self, now: float) -> bool:
        return False

    def describe(self) -> str:
        return f"{self._command} {self._number}"

    def dismiss(self, turn: Turn, before: float) -> Verdict:
        return Verdict.WANT_READ if self.since > before else Verdict.CLOSE

    def interrupt(self) -> None:
        self.stream.interrupt()

    def close(self) -> None:
        with self._used("close"):
            if self.closed:
                self.world.wrong.append("closed twice")
            self.closed = True
            self.stream.close()
            if self._command == "broken":
                raise RuntimeError("a fault in close()")


class Client:
    """One end of a connection, for a test."""

    def __init__(self, address: Any) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            # Far up, so that the numbers that the server's ends leave are theirs again.
            self.sock = socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 500))
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()  # the listener has been closed: whoever keeps the error must not keep this
            raise
        self._buffer = b""

    def ask(self, *commands: str) -> Client:
        self.sock.sendall("".join(f"{command}\n" for command in commands).encode())
        return self

    def answer(self) -> int:
        while b"\n" not in self._buffer:
            data = self.sock.recv(4096)
            assert data, "the connection ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return int(line)

    def has_ended(self) -> bool:
        """Waits for the end."""
        try:
            return self.sock.recv(4096) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()


def quick(lane: Lane, *verbs: str) -> None:
    """Makes routes quick that would else have to prove it."""
    for verb in verbs:
        lane._routes.find(verb).quick = True


def ask_at_once(served: Any, clients: Iterable[Client], commands: Iterable[str]) -> None:
    """Has a lane or a hub see the clients' commands as one batch, in their order."""
    # What the answers before this have raised is seen to first: it would come in another order.
    seen, pause = Gate(), Gate()
    served.poke(seen.reach)
    seen.expect()
    served.poke(pause.wait)
    pause.expect()
    for client, command in zip(clients, commands, strict=True):
        client.ask(command)
    pause.open()


class World:
    """A lane or a hub, its door, its clients, and what happened; `acts` says what calls do, by verb."""

    def __init__(self, **acts: Callable[[], Verdict | None]) -> None:
        self.acts = acts
        self.wrong: list[str] = []
        self.conns: list[Conn] = []
        self.clients: list[Client] = []
        self.sent: list[int] = []
        self.reading: Callable[[], object] = lambda: None  # what goes on while a command is read
        self.counts: dict[str, Counter[int]] = {name: Counter() for name in ("asked", "run", "refused")}
        self.now = self.most = 0  # calls at once
        self._lock = threading.Lock()
        self.sock = _socket.socket(_socket.AF_UNIX)
        self.sock.bind(b"")  # an abstract name of the system's choice
        self.sock.listen(1000)
        self.sock.setblocking(False)
        self.lanes: list[Lane] = []
        self.hubs: list[GreenBackend] = []

    # As a Door

    share = None
    flush = None

    def peer_environ(self, fd: int, address: Any) -> dict[str, str]:
        return {}

    def welcome(self, stream: Any, turn: Turn) -> Conn:
        conn = Conn(self, stream, turn)
        self.conns.append(conn)
        return conn

    def tick(self, now: float) -> None:
        pass

    def drain(self) -> None:
        pass

    # For tests

    def lane(self, kind: Callable[..., Lane] = Lane, **settings: Any) -> Lane:
        usual = {"limit": 4, "queue_size": 1000, "queue_timeout": 30.0, "queue_target": 30.0}
        settings = usual | {"shortest": 30.0, "interrupts": False, "max_lost": 0} | settings
        lane = kind([self], **settings)
        self.lanes.append(lane)
        lane.start()
        return lane

    def hub(self, **settings: Any) -> GreenBackend:
        usual = {"concurrency": 4, "queue_size": 1000, "queue_timeout": 30.0, "queue_target": 30.0}
        hub = GreenBackend(**(usual | {"shortest": 30.0, "max_blocking_time": 0.0} | settings))
        self.hubs.append(hub)
        hub.start(lambda: [self], here=False)
        return hub

    def client(self) -> Client:
        client = Client(self.sock.getsockname())
        self.clients.append(client)
        return client

    def count(self, what: str, number: int) -> None:
        with self._lock:
            self.counts[what][number] += 1

    def enter(self, number: int) -> None:
        with self._lock:
            self.counts["run"][number] += 1
            self.now += 1
            self.most = max(self.most, self.now)

    def leave(self) -> None:
        with self._lock:
            self.now -= 1

    def settle(self, lane: Lane) -> None:
        """All is quiet: nothing counted, queued or on its way, and what is parked is open."""
        crew, parking = lane._crew, lane._parking
        eventually(lambda: crew.busy == 0 and not crew._running and crew.queues.is_empty())
        eventually(lambda: crew._staying == 0 and len(crew._idle) + 1 == len(crew._workers))
        eventually(lambda: not parking.again)
        eventually(lambda: set(parking.parked.values()) == {conn for conn in self.conns if not conn.closed})

    def settle_hub(self, hub: GreenBackend) -> None:
        """The same of a hub."""
        eventually(lambda: not hub._running and not hub._queue)
        eventually(lambda: set(hub._parked.values()) == {conn for conn in self.conns if not conn.closed})

    def check(self) -> None:
        """What must hold whatever has happened."""
        assert not self.wrong, self.wrong[:10]
        run, refused = self.counts["run"], self.counts["refused"]
        twice = [number for number, count in (run + refused).items() if count > 1]
        assert not twice, f"served twice: {twice[:10]}"

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for lane in self.lanes:
            if not lane._crew.stopping:
                lane.close()
        for hub in self.hubs:
            hub.close()
        self.sock.close()


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


Make = Callable[..., World]
"""What the fixture `world` is."""
