"""A lane under random stalls, closes and descriptors used again: whatever happens, the sums are right.

Clients send what they like, pipelined or not, leave when they like, and come back with the same
numbers; calls compute, sleep, close, fault and stream; routes turn quick and slow again.  At the end
every command of a client that stayed was answered once and in order, nothing was run twice or by two
threads, never were more calls made at once than may be, and nothing is left.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from time import sleep

import pytest

from dualwsgi.seam import Verdict

from ..visitors import close_in_the_middle, visited
from ..world import Make, World

SOAK = float(os.environ.get("DUALWSGI_SOAK_SECONDS", "60"))


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Threads change places a thousand times as often as they would."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(interval)


def compute() -> None:
    sum(range(200))


def stall() -> None:
    sleep(random.random() * 0.004)


def hang() -> None:
    sleep(0.012)  # long enough for the watchdog


def moody() -> None:
    if random.random() < 0.02:
        sleep(0.008)


def close() -> Verdict:
    return Verdict.CLOSE


ACTS: dict[str, Callable[[], Verdict | None]] = {
    "fast": compute,
    "slow": stall,
    "hang": hang,
    "moody": moody,
    "stream": stall,
    "close": close,
}
VERBS = ["fast"] * 8 + ["slow"] * 6 + ["hang"] + ["moody"] * 6 + ["stream"] * 2 + ["close", "leave"]


def stress(world: World, seconds: float, **settings: float) -> None:
    lane = world.lane(**settings)
    answered = visited(world, VERBS, seconds)
    world.settle(lane)
    world.check()
    limit = int(settings["limit"])
    assert world.most <= limit
    assert len(lane._crew._workers) <= limit + 2
    assert answered >= 100 * seconds, "it was stress"
    run, asked = world.counts["run"], world.counts["asked"]
    assert set(run) <= set(asked)


@pytest.mark.parametrize("limit", [1, 2, 6])
def test_nothing_is_lost_done_twice_or_too_much_at_once(world: Make, limit: int) -> None:
    stress(world(**ACTS), 0.7, limit=limit)


@pytest.mark.soak
@pytest.mark.timeout(SOAK + 120)
@pytest.mark.parametrize("limit", [1, 2, 3, 8, 32])
def test_nor_in_the_long_run(world: Make, limit: int) -> None:
    stress(world(**ACTS), SOAK / 5, limit=limit)


@pytest.mark.parametrize("limit", [1, 4])
def test_closing_in_the_middle_of_it_leaves_nothing(world: Make, limit: int) -> None:
    for _ in range(3):
        here = world(**ACTS)
        lane = here.lane(limit=limit)
        close_in_the_middle(here, VERBS, lane)
        assert not lane._crew._workers
        assert lane._crew.busy == 0
        assert not lane._crew._staying
        here.check()
