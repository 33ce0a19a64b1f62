"""Alternating rounds: each side in a process of its own, started anew for each round, warmed up, measured.

    round 1: A B    round 2: B A    round 3: A B ...

A fresh process each time, as two starts of one program differ too (where its memory lies, how its
dictionaries are seeded): that difference belongs to the noise that a real one must exceed. Taking
turns at going first keeps what drifts (heat, a neighbour's work) from favouring a side.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .answers import Answers
from .asking import ask
from .process import Process, ServerFailed, open_connections, undisturbed
from .traffic import Ask, Generator, Traffic

__all__ = ["Comparison", "Plan", "Sample", "Side", "measure", "sides_of"]

PATIENCE = 60.0
"""Seconds that an application may take to be imported and to answer its first connection."""
ANSWER_TIMEOUT = 10.0
ASK_TIMES = 2
WARM_UP_MIN = 0.2
"""Seconds: it opens as many connections as the largest window will have."""

QUIET_PATIENCE = 5.0
"""Seconds after a window in which the server may finish what it was asked."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Side:
    """One of the two: how it is called, and its settings as `dualwsgi run` takes them."""

    name: str
    settings: tuple[str, ...]


def sides_of(texts: Sequence[str]) -> tuple[Side, Side]:
    """Two sides from texts such as "green" and "threads --threads 8".  Raises ValueError."""
    if len(texts) != 2:
        raise ValueError(f"two sides are compared, and {len(texts)} were given; give --side twice")
    sides = []
    for number, text in enumerate(texts):
        words = text.split() or [""]
        if words[0] not in ("threads", "green"):
            raise ValueError(f"{text!r} starts with no backend; give 'threads ...' or 'green ...'")
        name = " ".join(words)
        if " ".join(texts[0].split()) == " ".join(texts[1].split()):
            name += f" ({'AB'[number]})"
        sides.append(Side(name, ("--backend", *words)))
    return sides[0], sides[1]


@dataclass(frozen=True)
class Plan:
    """What is measured, and how.  CPUs are None where nothing is pinned."""

    target: str
    app_dir: str | None
    """As `dualwsgi run` takes them."""
    sides: tuple[Side, Side]
    settings: tuple[str, ...] = ()
    """For both sides, as `dualwsgi run` takes them."""
    asks: tuple[Ask, ...] = (Ask(),)
    """Asked of both sides before each warm-up, to see whether they answer alike."""
    users: tuple[int, ...] = (4, 16, 64)
    rounds: int = 8
    seconds: float = 2.0
    warm_up: float = 1.0
    server_cpus: str | None = None


@dataclass(frozen=True)
class Sample:
    """One window: a side, a round, a number of users.  Times in seconds, sizes in bytes."""

    side: int
    round: int
    users: int
    figures: dict[str, float]
    traffic: Traffic
    busy: float
    """Cores that the server used, or would have, had it got them."""


@dataclass
class Comparison:
    """All that was measured, and what both sides answered."""

    plan: Plan
    generator: str
    samples: list[Sample] = field(default_factory=list)
    answers: tuple[Answers, Answers] = field(default_factory=lambda: (Answers(), Answers()))

    def of(self, side: int, users: int) -> list[Sample]:
        """The windows of a side at a number of users, by round."""
        found = [sample for sample in self.samples if (sample.side, sample.users) == (side, users)]
        return sorted(found, key=lambda sample: sample.round)

    def whole_rounds(self) -> Comparison:
        """Without the round that was not finished, if it was interrupted."""
        each = 2 * len(self.plan.users)
        counts: dict[int, int] = {}
        for sample in self.samples:
            counts[sample.round] = counts.get(sample.round, 0) + 1
        samples = [sample for sample in self.samples if counts[sample.round] == each]
        rounds = len({sample.round for sample in samples})
        return replace(self, plan=replace(self.plan, rounds=rounds), samples=samples)

    def values(self, side: int, users: int, figure: str) -> list[float]:
        return [sample.figures[figure] for sample in self.of(side, users)]


def steps(plan: Plan) -> int:
    """How many steps `measure` tells of."""
    return plan.rounds * 2 * (1 + len(plan.users))


def measure(comparison: Comparison, generator: Generator, say: Say, step: Callable[[], None]) -> None:
    """Measures all rounds of the plan; says what it does, and calls `step` as each part of it is done.

    Raises ServerFailed, with what the server said, and GeneratorFailed.
    """
    plan = comparison.plan
    with tempfile.TemporaryDirectory(prefix="dualwsgi-compare-") as scratch:
        for number in range(plan.rounds):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                where = f"round {number + 1} of {plan.rounds}, {plan.sides[side].name}"
                say(f"{where}: starting")
                with _running(plan, side, Path(scratch)) as (process, port):
                    say(f"{where}: warming up")
                    _warm_up(plan, generator, port, comparison.answers[side])
                    process.check()
                    step()
                    for users in plan.users:
                        say(f"{where}: {users} users")
                        comparison.samples.append(
                            _window(plan, generator, process, port, side, number, users)
                        )
                        step()


def _warm_up(plan: Plan, generator: Generator, port: int, answers: Answers) -> None:
    ask(port, plan.asks, answers, times=ASK_TIMES, timeout=ANSWER_TIMEOUT)
    # What the users of a locust file ask for is known to locust alone, and looked at while nobody counts.
    generator.answers = None if plan.asks else answers
    generator.run(port, max(plan.users), max(WARM_UP_MIN, plan.warm_up), lambda: None)
    generator.answers = None
    _until_quiet(port)


def _until_quiet(port: int) -> None:
    """Waits until the server has done all that it was asked: one window's queue is not another's load."""
    deadline = time.monotonic() + QUIET_PATIENCE
    while open_connections(port) and time.monotonic() < deadline:
        time.sleep(0.01)


def _window(
    plan: Plan, generator: Generator, process: Process, port: int, side: int, number: int, users: int
) -> Sample:
    marks: list[tuple[float, float, float, int]] = []

    def mark() -> None:
        marks.append((time.perf_counter(), process.cpu(), process.waited(), process.switches()))

    process.forget_peak()
    traffic = generator.run(port, users, plan.seconds, mark)
    process.check()
    _until_quiet(port)
    (begun, cpu_then, waited_then, switches_then), (ended, cpu_now, waited_now, switches_now) = marks
    worked = cpu_now - cpu_then + max(0.0, waited_now - waited_then)
    requests = traffic.requests or float("nan")
    nan = float("nan")
    figures = {
        "rate": traffic.rate,
        "p50": traffic.latency.get(50.0, nan),
        "p95": traffic.latency.get(95.0, nan),
        "p99": traffic.latency.get(99.0, nan),
        "max": traffic.latency.get(100.0, nan),
        "errors": float(traffic.failed),
        "cpu": (cpu_now - cpu_then) / requests,
        "rss": float(process.peak_rss()),
        "switches": max(0, switches_now - switches_then) / requests,
    }
    return Sample(side, number, users, figures, traffic, worked / (ended - begun))


@contextmanager
def _running(plan: Plan, side: int, scratch: Path) -> Iterator[tuple[Process, int]]:
    """A server from its start to its end."""
    port = _free_port()
    one = plan.sides[side]
    argv = [
        *(sys.executable, "-m", "dualwsgi", "run", plan.target),
        *(("--app-dir", plan.app_dir) if plan.app_dir else ()),
        *("--log-level", "warning", *plan.settings, *one.settings, "--bind", f"127.0.0.1:{port}"),
    ]
    process: Process | None = None
    try:
        with undisturbed():
            process = Process(
                one.name,
                argv,
                env={name: value for name, value in os.environ.items() if name not in _OVERRULED},
                cwd=Path.cwd(),
                output=scratch / f"side-{side}.out",
                cpu=plan.server_cpus,
            )
        _await(process, port)
        yield process, port
    finally:
        if process is not None:
            process.stop(grace=10.0)


_OVERRULED = frozenset({"DUALWSGI_BACKEND", "DUALWSGI_BIND", "DUALWSGI_APP"})


def _await(process: Process, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        process.check()
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            time.sleep(0.01)
    raise ServerFailed(f"{process.name} listens on nothing after {PATIENCE:g} s: {process.tail()}")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
