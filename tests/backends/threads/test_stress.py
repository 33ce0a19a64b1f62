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
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep

import pytest

from dualwsgi.seam import Verdict

from .world import Client, World

SOAK = float(os.environ.get("DUALWSGI_SOAK_SECONDS", "60"))

Make = Callable[..., World]


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


class Visitor(threading.Thread):
    """Comes and goes until the time is over; `wrong` is what it has to complain of."""

    def __init__(self, world: World, seed: int, until: float) -> None:
        super().__init__()
        self._world = world
        self._chance = random.Random(seed)
        self._until = until
        self._numbers = iter(range(seed * 10_000_000, (seed + 1) * 10_000_000))
        self.answered = 0
        self.wrong: BaseException | None = None

    def run(self) -> None:
        try:
            while monotonic() < self._until:
                self._visit()
        except BaseException as error:
            self.wrong = error

    def _visit(self) -> None:
        client = Client(self._world.sock.getsockname())
        try:
            for _ in range(self._chance.randrange(40)):
                if monotonic() > self._until or not self._ask(client):
                    return
                if self._chance.random() < 0.1:
                    sleep(self._chance.random() * 0.01)
        finally:
            client.close()

    def _ask(self, client: Client) -> bool:
        """Sends a command or a few at once; whether to go on with this connection."""
        chance = self._chance
        verbs = [chance.choice(VERBS) for _ in range(chance.choice((1, 1, 1, 2, 5)))]
        numbers = [next(self._numbers) for _ in verbs]
        client.ask(*(f"{verb} {number}" for verb, number in zip(verbs, numbers, strict=True)))
        if chance.random() < 0.03:
            return False  # gone without waiting
        for verb, number in zip(verbs, numbers, strict=True):
            if verb in ("close", "leave"):
                try:
                    assert client.has_ended()
                except ConnectionError:
                    pass
                return False
            assert client.answer() == number
            self.answered += 1
        return True


def stress(world: World, seconds: float, **settings: float) -> None:
    lane = world.lane(**settings)
    until = monotonic() + seconds
    visitors = [Visitor(world, seed, until) for seed in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    for visitor in visitors:
        if visitor.wrong is not None:
            raise visitor.wrong
    world.settle(lane)
    world.check()
    limit = int(settings["limit"])
    assert world.most <= limit
    assert len(lane._workers) <= limit + 2
    assert sum(visitor.answered for visitor in visitors) > 100 * seconds, "it was stress"
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
        until = monotonic() + 0.1
        visitors = [Visitor(here, seed, until + 5) for seed in range(6)]
        for visitor in visitors:
            visitor.start()
        sleep(0.1)
        lane.drain()
        lane.close()
        here.sock.close()
        for visitor in visitors:
            visitor.join()
        assert not lane._workers
        assert lane._busy == 0
        assert not lane._staying
        assert all(conn.closed for conn in here.conns)
        here.check()
