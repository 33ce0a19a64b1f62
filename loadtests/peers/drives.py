"""The traffic of the scenarios. A drive looks at one running server for one round and returns figures.

Figures are floats by name, in seconds, bytes, requests or plain counts; `nan` says that there is none. Notes
say in words what a figure cannot: errors, and whether it was the load generator and not the server that was
the limit.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from dualwsgi.compare.process import Process, idle_seconds
from loadtests.peers import wire, wrk
from loadtests.peers.stats import percentile

SLACK = 0.10
"""The share of a server's CPU that may be idle, or go to others, before a round's notes say so."""

ENOUGH = 200
"""Requests below which a 99th percentile says little."""


@dataclass(frozen=True)
class Running:
    """A server that has answered its first request, `ready_after` seconds from its start."""

    process: Process
    port: int
    ready_after: float


@dataclass(frozen=True)
class How:
    """What holds for each round: the length of it, and the CPUs of server and client (None: not pinned)."""

    seconds: int
    server_cpu: int | None
    client_cpu: int | None


@dataclass(frozen=True)
class Sample:
    figures: dict[str, float]
    notes: tuple[str, ...] = ()


class Drive(Protocol):
    """Raises OSError, BadReply or WrkFailed when the server cannot do what is asked."""

    def measure(self, running: Running, how: How) -> Sample: ...

    def takes(self, seconds: int) -> float:
        """About how many seconds a measurement lasts."""


@dataclass(frozen=True)
class Wrk:
    """As many requests as fit. `saturating` says that a server is expected to use all of its core."""

    load: wrk.Load = field(default_factory=wrk.Load)
    saturating: bool = True
    refused: str = ""
    """Set for loads that end each connection: what to say of a server that closes without announcing it,
    which wrk counts as one read error a request, though the answers are whole."""

    def takes(self, seconds: int) -> float:
        return seconds + 0.1

    def measure(self, running: Running, how: How) -> Sample:
        idle = 0.0 if how.server_cpu is None else idle_seconds(how.server_cpu)
        cpu, begun = running.process.cpu(), time.perf_counter()
        result = wrk.run(self.load, running.port, how.seconds, how.client_cpu)
        cpu, wall = running.process.cpu() - cpu, time.perf_counter() - begun
        idle = 0.0 if how.server_cpu is None else idle_seconds(how.server_cpu) - idle
        running.process.check()
        if result.requests == 0:
            return Sample({}, ("no request was answered", *result.errors))
        notes = [*result.errors]
        unannounced = (
            result.read_errors > 0.9 * result.requests and result.read_errors == result.socket_errors
        )
        if self.refused and unannounced:
            notes = [self.refused]
        if self.saturating and how.server_cpu is None and cpu / wall < 1 - SLACK:
            notes.append("used less than a core: it may have waited for the client")
        elif self.saturating and idle / wall > SLACK:
            notes.append("not saturated: its CPU was partly idle, waiting for the client")
        if how.server_cpu is not None and (wall - idle - cpu) / wall > SLACK:
            notes.append("disturbed: its CPU worked for something else, too")
        figures = {
            "cpu": cpu / result.requests,
            "rate": result.rate,
            "p50": result.p50,
            "p99": result.p99,
            "core": cpu / wall,
        }
        return Sample(figures, tuple(notes))


@dataclass(frozen=True)
class QuickAmongSlow:
    """Four connections on a quick route while `slow` hammers another."""

    slow: wrk.Load
    quick: wrk.Load = field(default_factory=lambda: wrk.Load("/hello", connections=4))

    def takes(self, seconds: int) -> float:
        return seconds + 1.0

    def measure(self, running: Running, how: How) -> Sample:
        # The slow crowd starts first and ends last; half a second is five of its 100 ms requests.
        with wrk.beside(self.slow, running.port, how.seconds + 3, how.client_cpu) as slow:
            time.sleep(0.5)
            result = wrk.run(self.quick, running.port, how.seconds, how.client_cpu)
        running.process.check()
        if result.requests == 0:
            return Sample({}, ("no quick request was answered", *result.errors, *slow[0].errors))
        figures = {
            "rate": result.rate,
            "p50": result.p50,
            "p99": result.p99,
            "worst": result.worst,
            "slow": slow[0].rate,
        }
        few = (f"fewer than {ENOUGH} quick requests a round: p99 is near the worst",)
        return Sample(figures, result.errors + slow[0].errors + (few if result.requests < ENOUGH else ()))


@dataclass(frozen=True)
class IdleCrowd:
    """Many connections that made one request each and stay, and one client that goes on asking among them."""

    connections: int = 10_000
    requests: int = 2_000
    patience: float = 60.0

    def takes(self, seconds: int) -> float:
        return 7.0

    def measure(self, running: Running, how: How) -> Sample:
        budget = max(2.0, how.seconds)
        wire.latencies(running.port, 200, budget)  # what is built lazily must not count as the crowd's
        alone = wire.latencies(running.port, self.requests, budget)
        before = running.process.rss()
        with ExitStack() as stack:
            crowd: list[wire.Client] = []
            end = time.monotonic() + self.patience
            while len(crowd) < self.connections and time.monotonic() < end:
                client = stack.enter_context(wire.Client(running.port))
                client.get()
                crowd.append(client)
            after = running.process.rss()
            among = wire.latencies(running.port, self.requests, budget)
            kept = wire.still_open(crowd)
        # Without them once more: the server is no younger then, nor the machine in another mood.
        time.sleep(0.5)  # their ends are no requests
        alone += wire.latencies(running.port, self.requests, budget)
        notes = []
        if len(crowd) < self.connections:
            notes.append(f"only {len(crowd)} connections could be opened in {self.patience:g} s")
        if kept < len(crowd):
            notes.append(f"only {kept} of {len(crowd)} connections were kept")
        figures = {
            "each": (after - before) / max(1, kept),
            "kept": float(kept),
            "slower": percentile(among, 50) / percentile(alone, 50),
            "p50_alone": percentile(alone, 50),
            "p50": percentile(among, 50),
            "p99_alone": percentile(alone, 99),
            "p99": percentile(among, 99),
        }
        return Sample(figures, tuple(notes))


@dataclass(frozen=True)
class Slowloris:
    """Clients that send a head a byte a second, and one that opens a connection for each honest request."""

    clients: int = 500
    timeout: float = 1.0

    def takes(self, seconds: int) -> float:
        return max(3.0, seconds) + 1.5

    def measure(self, running: Running, how: How) -> Sample:
        port, budget = running.port, max(3.0, how.seconds)
        alone = wire.latencies(port, 300, budget, fresh=True, timeout=self.timeout)
        before = running.process.threads()
        head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"a" * 1000
        with ExitStack() as stack:
            crowd = [stack.enter_context(wire.Client(port)) for _ in range(self.clients)]
            for client in crowd:
                client.socket.send(head[:1])
            time.sleep(0.2)  # all 500 have begun before the first honest request comes
            sent, among, begun = self.clients, list[float](), time.monotonic()
            while (passed := time.monotonic() - begun) < budget:
                # One thread does both, so that this interpreter's own lock does not show up as the server's
                # delay.
                while sent < (1 + passed) * self.clients:
                    which, at = sent % self.clients, sent // self.clients
                    try:
                        crowd[which].socket.send(head[at : at + 1])
                    except OSError:
                        pass  # a server may well have thrown it out: that is a defence, not an error
                    sent += 1
                among += wire.latencies(port, 5, 0.05, fresh=True, timeout=self.timeout)
            during = running.process.threads()
            kept = wire.still_open(crowd)
        late = sum(1 for taken in among if taken >= self.timeout)
        notes = (
            (f"{late} of {len(among)} honest requests got no answer in {self.timeout:g} s",) if late else ()
        )
        figures = {
            "threads": float(during),
            "held": float(during - before),
            "kept": float(kept),
            "p50_alone": percentile(alone, 50),
            "p50": percentile(among, 50),
            "p99_alone": percentile(alone, 99),
            "p99": percentile(among, 99),
        }
        return Sample(figures, notes)


@dataclass(frozen=True)
class Upload:
    """One chunked body, which the application reads in pieces: what it costs in memory."""

    size: int = 100 * 1024 * 1024
    piece: int = 64 * 1024

    def takes(self, seconds: int) -> float:
        return 1.0

    def measure(self, running: Running, how: How) -> Sample:
        self._send(running.port, 16 * self.piece)
        running.process.forget_peak()
        before, cpu, begun = running.process.rss(), running.process.cpu(), time.perf_counter()
        answer = self._send(running.port, self.size)
        taken, cpu = time.perf_counter() - begun, running.process.cpu() - cpu
        growth = running.process.peak_rss() - before
        if answer != (200, b"%d\n" % self.size):
            return Sample({}, (f"a chunked body is not taken: answered {answer[0]} {answer[1][:40]!r}",))
        return Sample({"growth": float(max(0, growth)), "seconds": taken, "cpu": cpu})

    def _send(self, port: int, size: int) -> tuple[int, bytes]:
        chunk = b"%x\r\n" % self.piece + b"u" * self.piece + b"\r\n"
        with wire.Client(port, timeout=30) as client:
            try:
                client.socket.sendall(
                    b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for _ in range(size // self.piece):
                    client.socket.sendall(chunk)
                client.socket.sendall(b"0\r\n\r\n")
            except ConnectionError:
                pass  # refused half way: the answer may still be there
            return client.reply()


@dataclass(frozen=True)
class StartUp:
    """From the start of the process to the end of the first 200; the rounds do the work."""

    def takes(self, seconds: int) -> float:
        return 0.0

    def measure(self, running: Running, how: How) -> Sample:
        return Sample({"ready": running.ready_after if running.ready_after > 0 else math.nan})
