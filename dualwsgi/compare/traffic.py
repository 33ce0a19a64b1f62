"""What is sent, and what a load generator says of it.  Knows no generator and no server."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .answers import Answers

__all__ = ["GRID", "Ask", "Generator", "GeneratorFailed", "Traffic", "bucket", "merged", "parse_ask"]

GRID = (1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.9, 100.0)
"""The percentiles of the latency that are kept: enough to draw its distribution."""

BUCKETS_A_LOG = 50.0
"""Latencies are counted in buckets a fiftieth of a natural logarithm wide: exact to 1 %."""


class GeneratorFailed(Exception):
    """A load generator is missing, ended with an error, or said something unknown."""


@dataclass(frozen=True)
class Ask:
    """One request that is sent again and again."""

    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def parse_ask(text: str, headers: Mapping[str, str], body: bytes = b"") -> Ask:
    """An Ask from "/path" or "METHOD /path".  Raises ValueError, which says what to write."""
    method, _, path = text.strip().rpartition(" ")
    method = method.strip() or ("POST" if body else "GET")
    if not path.startswith("/") or not path.isprintable() or not path.isascii():
        raise ValueError(f"{text!r} is not a path; give /path or 'POST /path', percent-encoded")
    if not (method.isascii() and method.isalpha() and method.isupper()):
        raise ValueError(f"{method!r} is not a method; give one such as 'POST {path}'")
    return Ask(path, method, headers, b"" if method in ("GET", "HEAD") else body)


@dataclass(frozen=True)
class Traffic:
    """What a generator did in one window.  Times are in seconds."""

    seconds: float
    requests: int
    """Requests that came to an end, well or badly."""
    errors: Mapping[str, int]
    """How many of them failed, by what was said of it."""
    latency: Mapping[float, float]
    """The latency at each percentile of GRID that is known."""
    cpu: float
    """CPU time that the generator itself took."""
    processes: int = 1
    waited: float = 0.0
    """Seconds that the generator was ready to run and had no CPU."""

    @property
    def failed(self) -> int:
        return min(self.requests, sum(self.errors.values()))

    @property
    def rate(self) -> float:
        """Requests a second that were answered well."""
        return (self.requests - self.failed) / self.seconds if self.seconds > 0 else math.nan

    @property
    def busy(self) -> float:
        """The share of the time that the generator worked, or would have, had it got a CPU.

        Near 1 it can do no more.
        """
        worked = self.cpu + self.waited
        return worked / (self.seconds * self.processes) if self.seconds > 0 else math.nan


class Generator(Protocol):
    """Makes the same traffic for whichever server listens on `port` of 127.0.0.1."""

    name: str
    answers: Answers | None
    """Where it is to put the answers that it gets, if it can; None: it does not look at them."""

    def run(self, port: int, users: int, seconds: float, mark: Callable[[], None]) -> Traffic:
        """`users` at a time for `seconds`; calls `mark` as the window opens and as it closes.

        Raises GeneratorFailed.
        """

    def close(self) -> None: ...


# Latencies, counted


def bucket(seconds: float) -> int:
    """The bucket of a latency."""
    return math.floor(math.log(max(seconds, 1e-7)) * BUCKETS_A_LOG)


def merged(counts: Iterable[Mapping[int, int]], worst: float) -> dict[float, float]:
    """GRID's percentiles of the latencies that several processes counted; `worst` is the largest."""
    total: dict[int, int] = {}
    for one in counts:
        for index, count in one.items():
            total[index] = total.get(index, 0) + count
    number = sum(total.values())
    if not number:
        return {}
    found: dict[float, float] = {}
    passed, shares = 0, [share for share in GRID if share < 100]
    for index in sorted(total):
        passed += total[index]
        while shares and passed >= math.ceil(shares[0] / 100 * number):
            found[shares.pop(0)] = min(math.exp((index + 0.5) / BUCKETS_A_LOG), worst)
    found[100.0] = worst
    return found
