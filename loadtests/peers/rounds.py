"""Rounds: every server of a scenario is started, then measured in turn, A B C A B C ..., then all are ended.

Idle neighbours cost nothing and stay warm; interleaving lets what disturbs the machine disturb all alike.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dualwsgi.compare.process import Process, ServerFailed
from loadtests.peers import wire
from loadtests.peers.drives import How, Running, Sample
from loadtests.peers.scenarios import Scenario
from loadtests.peers.servers import REPOSITORY, SERVERS, Environments, Server, free_port
from loadtests.peers.wrk import WrkFailed

PATIENCE = 15.0
"""Seconds that a server may take to answer its first request."""

TROUBLE = (OSError, wire.BadReply, WrkFailed, ServerFailed, subprocess.TimeoutExpired)

Say = Callable[[str], None]


@dataclass
class Record:
    """What the rounds said of one server; `failed` says why there is nothing, or no more."""

    server: str
    command: str = ""
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: str = ""

    def values(self, figure: str) -> list[float]:
        return [sample.figures.get(figure, float("nan")) for sample in self.samples]

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.notes += sample.notes


@dataclass(frozen=True)
class Bench:
    """What is the same for all scenarios. CPUs are None when nothing is pinned."""

    environments: Environments
    scratch: Path
    seconds: int = 2
    server_cpu: int | None = 0
    client_cpu: int | None = 1
    certificate: tuple[Path, Path] | None = None
    """For scenarios over TLS: the chain and its key."""
    database: str = ""
    """For scenarios with a database: its URL."""

    @contextmanager
    def running(self, server: Server, scenario: Scenario) -> Iterator[Running]:
        """A server from its start to its end. Raises ServerFailed when it gives no 200 in time."""
        port = free_port()
        process = Process(
            server.name,
            self.command(server, scenario, port),
            env=self._environment(),
            cwd=REPOSITORY,
            output=self.scratch / f"{server.name}.out",
            cpu=self.server_cpu,
        )
        try:
            yield Running(process, port, first_answer(process, port, scenario.tls))
        finally:
            process.stop()

    def command(self, server: Server, scenario: Scenario, port: int) -> list[str]:
        return self.environments.command(
            server,
            app=scenario.target,
            port=port,
            threads=scenario.threads,
            log=self.scratch / f"{server.name}.log",
            certificate=self.certificate if scenario.tls else None,
        )

    def how(self, seconds: int | None = None) -> How:
        return How(self.seconds if seconds is None else seconds, self.server_cpu, self.client_cpu)

    def _environment(self) -> dict[str, str]:
        # This checkout before any installed copy, or one would measure something else than one reads.
        roots = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "cli")])
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DUALWSGI"))
        }
        return kept | {"PYTHONPATH": roots, "DATABASE_URL": self.database}


def first_answer(process: Process, port: int, tls: bool = False) -> float:
    """Seconds from the start of the process to the end of its first 200."""
    said = "nothing listened"
    while (passed := time.perf_counter() - process.started) < PATIENCE:
        try:
            with wire.Client(port, timeout=PATIENCE - passed, tls=tls) as client:
                status, _ = client.get("/hello", "close")
            if status == 200:
                return time.perf_counter() - process.started
            said = f"it answered {status}"
        except (OSError, wire.BadReply) as error:
            said = str(error)
        process.check()
        time.sleep(0.002)
    raise ServerFailed(f"{process.name} gave no 200 in {PATIENCE:g} s ({said}): {process.tail()}")


def run(bench: Bench, scenario: Scenario, names: Sequence[str], rounds: int, say: Say) -> list[Record]:
    """Measure `names` in `rounds` rounds; a server that fails is left out of the rounds that follow."""
    records = [Record(name) for name in names]
    # The command lines that are kept name no place of this machine.
    chain = (Path("chain.pem"), Path("key.pem"))
    shown = Bench(Environments(Path("python"), Path("PEERS")), Path("."), certificate=chain)
    for record in records:
        if scenario.tls and SERVERS[record.server].tls is None:
            record.failed = "it has no TLS"
        record.command = " ".join(shown.command(SERVERS[record.server], scenario, 8000))
    (_run_fresh if scenario.fresh else _run_together)(bench, scenario, records, rounds, say)
    return records


def _run_together(bench: Bench, scenario: Scenario, records: list[Record], rounds: int, say: Say) -> None:
    with ExitStack() as stack:
        running: dict[str, Running] = {}
        for record in records:
            if record.failed:
                continue
            say(f"{scenario.name}: starting {record.server}")
            try:
                started = stack.enter_context(bench.running(SERVERS[record.server], scenario))
                if not wire.keeps_alive(started.port, tls=scenario.tls):
                    record.notes.append("keeps no connection alive")
                scenario.drive.measure(started, bench.how(1))  # warm-up, thrown away
                running[record.server] = started
            except TROUBLE as error:
                record.failed = _reason(error)
        for number in range(rounds):
            for record in records:
                if record.failed:
                    continue
                say(f"{scenario.name}: round {number + 1} of {rounds}, {record.server}")
                try:
                    record.add(scenario.drive.measure(running[record.server], bench.how()))
                except TROUBLE as error:
                    record.failed = _reason(error)


def _run_fresh(bench: Bench, scenario: Scenario, records: list[Record], rounds: int, say: Say) -> None:
    for number in range(-1, rounds):  # round -1 warms the file cache and the bytecode
        for record in records:
            if record.failed:
                continue
            say(f"{scenario.name}: round {number + 1} of {rounds}, {record.server}")
            try:
                with bench.running(SERVERS[record.server], scenario) as started:
                    if number >= 0:
                        record.add(scenario.drive.measure(started, bench.how()))
            except TROUBLE as error:
                record.failed = _reason(error)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[-300:]}"
