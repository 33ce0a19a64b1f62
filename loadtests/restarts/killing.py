"""What a worker that is killed takes with it: the requests on its own connections, and nothing else.

    python -m loadtests.restarts.killing [--backend green] [--tls] [--memory] [--seconds 10]

Two workers, 32 clients that ask on without a pause, and KILL to one worker after the other.  Which
connections a worker holds is asked of the kernel, not of the worker: it is stopped, its descriptors
are read in /proc, and it is killed; who it was never gets to say goodbye.  A request that fails is then
looked up among those connections, by its client's port.  One that is not there has been lost by the
server, and there must be none.

With `--memory` the kernel kills: a worker's memory is limited (by a cgroup, which takes root), and one
more request eats all of it.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import BinaryIO

from dualwsgi.testing import pki
from loadtests.restarts.cases import WORKERS
from loadtests.restarts.fleet import Fleet, alive

CLIENTS = 32
PATIENCE = 30.0
"""Seconds after which a client takes its answer for lost."""

ROOM = 200 << 20
"""Octets that a worker may have before the kernel ends it."""


@dataclass(frozen=True)
class Failure:
    """A request without a whole answer; times are monotonic seconds, the port is the client's own."""

    port: int
    opened: float
    sent: float
    failed: float
    why: str


@dataclass(frozen=True)
class Death:
    """When a worker was killed, and the ports of the clients whose connections it had."""

    when: float
    held: frozenset[int]

    def explains(self, failure: Failure) -> bool:
        """Whether that request was on a connection of this worker: ports are used again."""
        return failure.port in self.held and failure.opened <= self.when <= failure.failed


@dataclass
class Outcome:
    """What was done, and what became of it."""

    deaths: list[Death] = field(default_factory=list)
    requests: int = 0
    failures: list[Failure] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    """Status lines of answers other than 200, or to something else than what was asked."""

    @property
    def in_flight(self) -> list[Failure]:
        """What was sent to a killed worker before it was."""
        return [f for f in self.failures if any(d.explains(f) and f.sent <= d.when for d in self.deaths)]

    @property
    def too_late(self) -> list[Failure]:
        """What was sent over a killed worker's connection before its client had seen that it is closed."""
        return [f for f in self.failures if any(d.explains(f) and f.sent > d.when for d in self.deaths)]

    @property
    def lost(self) -> list[Failure]:
        """What failed though no killed worker had it: there must be none."""
        return [f for f in self.failures if not any(death.explains(f) for death in self.deaths)]


class Clients:
    """Threads that ask on, each over a connection of its own; a failure is noted and they go on."""

    def __init__(self, port: int, keep_alive: bool, context: ssl.SSLContext | None) -> None:
        self._port = port
        self._keep_alive = keep_alive
        self._context = context
        self._end = Event()
        self._counts = [0] * CLIENTS
        self._threads = [Thread(target=self._live, args=(number,)) for number in range(CLIENTS)]
        self.failures: list[Failure] = []
        self.wrong = Counter[str]()

    @property
    def requests(self) -> int:
        return sum(self._counts)

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _live(self, number: int) -> None:
        while not self._end.is_set():
            port, opened = 0, monotonic()
            moment = [opened]
            try:
                with connection(self._port, self._context) as (port, sock):
                    self._ask_on(sock, number, moment)
            except OSError as error:
                self.failures.append(Failure(port, opened, moment[0], monotonic(), repr(error)))

    def _ask_on(self, sock: socket.socket, number: int, moment: list[float]) -> None:
        """Asks over one connection until that ends; `moment` is when it last did."""
        with sock.makefile("rb") as answers:
            goes_on = True
            while goes_on and not self._end.is_set():
                asked, moment[0] = f"/{number}-{self._counts[number]}", monotonic()
                sock.sendall(request(asked, self._keep_alive))
                goes_on = self._take(answers, asked)
                self._counts[number] += 1

    def _take(self, answers: BinaryIO, asked: str) -> bool:
        """Reads one answer; whether the connection goes on.  Raises OSError for one that is cut."""
        status = answers.readline().decode("latin-1")
        if not status:
            raise ConnectionResetError("closed without an answer")
        fields: dict[str, str] = {}
        while (line := answers.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        length = int(fields.get("content-length", 0))
        if not line or len(answers.read(length)) < length:
            raise ConnectionResetError("cut within an answer")
        if not status.startswith("HTTP/1.1 200 ") or fields.get("x-path") != asked:
            self.wrong[status.strip()] += 1
        return self._keep_alive and fields.get("connection") != "close"


@contextmanager
def connection(port: int, context: ssl.SSLContext | None) -> Iterator[tuple[int, socket.socket]]:
    """A connection to the server, and the port of this end.  Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw, ExitStack() as stack:
        own, sock = raw.getsockname()[1], raw
        if context is not None:
            sock = stack.enter_context(context.wrap_socket(raw, server_hostname="localhost"))
        yield own, sock


def request(path: str, keep_alive: bool) -> bytes:
    close = "" if keep_alive else "Connection: close\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n".encode()


# Killing


def kill(fleet: Fleet, pid: int) -> Death:
    """KILL to one worker."""
    os.kill(pid, signal.SIGSTOP)
    fleet.until(lambda: "T (stopped)" in Path(f"/proc/{pid}/status").read_text(), "stop a worker")
    held = peers_of(pid)
    when = monotonic()
    os.kill(pid, signal.SIGKILL)
    return Death(when, frozenset(held))


def peers_of(pid: int) -> set[int]:
    """The ports at the other ends of a process's connections, as the kernel tells."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}")):
                inodes.add(found[1])
        except FileNotFoundError:
            pass
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if row[9] in inodes}


def exhaust(fleet: Fleet, pid: int, context: ssl.SSLContext | None) -> Death:
    """Has one worker eat until the kernel kills it.

    It is not stopped, so its connections are noted over and over until it is dead.  A client that keeps
    its connection is not missed so; one that comes and goes might be.
    """

    def feed() -> None:
        try:
            while True:  # until it is that worker who gets it
                with connection(fleet.port, context) as (_, sock), sock.makefile("rb") as answer:
                    sock.sendall(request(f"/eat/{pid}", keep_alive=False))
                    if not answer.read():
                        return
        except OSError:
            pass

    held: set[int] = set()
    feeder = Thread(target=feed)
    with little_memory(pid):
        feeder.start()
        while alive(pid):
            when = monotonic()
            try:
                held |= peers_of(pid)
            except OSError:
                break
        feeder.join()
    return Death(when, frozenset(held))


def limits_of_memory() -> tuple[Path, str] | None:
    """Where groups of processes can be made, and the file that has their limit; of cgroup v1 or v2."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    if os.access(first / "cgroup.procs", os.W_OK):
        return first, "memory.limit_in_bytes"
    shared = second / "cgroup.subtree_control"
    if os.access(shared, os.W_OK) and "memory" in shared.read_text().split():
        return second, "memory.max"
    return None


@contextmanager
def little_memory(pid: int) -> Iterator[None]:
    """Limits what a process may have, until it is dead."""
    where = limits_of_memory()
    assert where is not None, "takes root, and a cgroup for memory"
    root, limit = where
    group = root / f"dualwsgi-{pid}"
    group.mkdir()
    try:
        (group / limit).write_text(str(ROOM))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline:  # the kernel may not be done with the dead
            try:
                group.rmdir()
                break
            except OSError:
                sleep(0.01)


# Running


def run(
    backend: str, keep_alive: bool, seconds: float, *, tls: bool = False, memory: bool = False
) -> Outcome:
    """Kills workers for so long, under load, and tells what that has cost."""
    options, context = ["--backend", backend, "--workers", str(WORKERS)], None
    if tls:
        options += ["--certfile", pki.server()]
        context = ssl.create_default_context(cafile=pki.authority())
    outcome = Outcome()
    with Fleet(*options, target="loadtests.restarts.app:glutton") as fleet:
        with Clients(fleet.port, keep_alive, context) as clients:
            until = monotonic() + seconds
            while monotonic() < until or not outcome.deaths:
                sleep(0.3)
                pid = fleet.ready[0]
                outcome.deaths.append(exhaust(fleet, pid, context) if memory else kill(fleet, pid))
                fleet.until(
                    lambda pid=pid: pid not in fleet.ready and len(fleet.ready) >= WORKERS, "replace a worker"
                )
            sleep(0.3)
        said = fleet.count("was killed by SIGKILL .if nobody sent it, the system was out of memory")
        assert said == len(outcome.deaths), fleet.log
        outcome.requests, outcome.failures, outcome.wrong = clients.requests, clients.failures, clients.wrong
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="loadtests.restarts.killing", description=__doc__)
    parser.add_argument("--backend", choices=["threads", "green"], action="append")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--memory", action="store_true", help="have the kernel kill, for want of memory")
    parser.add_argument("--seconds", type=float, default=10, help="how long each takes (default: 10)")
    arguments = parser.parse_args()
    print("| backend | keep-alive | killed | requests | of those in flight | sent too late | lost | wrong |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    bad = False
    for backend in arguments.backend or ["threads", "green"]:
        for keep_alive in (True,) if arguments.memory else (True, False):
            outcome = run(backend, keep_alive, arguments.seconds, tls=arguments.tls, memory=arguments.memory)
            print(
                f"| {backend} | {'yes' if keep_alive else 'no'} | {len(outcome.deaths)} | {outcome.requests} "
                f"| {len(outcome.in_flight)} | {len(outcome.too_late)} | {len(outcome.lost)} "
                f"| {outcome.wrong.total()} |",
                flush=True,
            )
            for failure in outcome.lost:
                print(failure, file=sys.stderr)
            bad = bad or bool(outcome.lost or outcome.wrong)
    return bad


if __name__ == "__main__":
    sys.exit(main())
