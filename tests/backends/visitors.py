"""Clients of a World that send what they like, leave when they like, and come back with the same numbers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from time import monotonic, sleep

from wire import PATIENCE

from dualwsgi.backends.green import GreenBackend
from dualwsgi.backends.threads.lane import Lane

from .world import Client, World


class Visitor(threading.Thread):
    """Comes and goes while `goes_on`; `wrong` is what it has to complain of."""

    def __init__(self, world: World, verbs: Sequence[str], seed: int, goes_on: Callable[[], bool]) -> None:
        super().__init__()
        self._world = world
        self._verbs = verbs
        self._chance = random.Random(seed)
        self._goes_on = goes_on
        self._numbers = iter(range(seed * 10_000_000, (seed + 1) * 10_000_000))
        self.answered = 0
        self.wrong: BaseException | None = None

    def run(self) -> None:
        try:
            while self._goes_on():
                self._visit()
        except BaseException as error:
            self.wrong = error

    def _visit(self) -> None:
        client = Client(self._world.sock.getsockname())
        try:
            for _ in range(self._chance.randrange(40)):
                if not self._goes_on() or not self._ask(client):
                    return
                if self._chance.random() < 0.1:
                    sleep(self._chance.random() * 0.01)
        finally:
            client.close()

    def _ask(self, client: Client) -> bool:
        """Sends a command or a few at once; whether to go on with this connection."""
        chance = self._chance
        verbs = [chance.choice(self._verbs) for _ in range(chance.choice((1, 1, 1, 2, 5)))]
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


def within(seconds: float) -> Callable[[], bool]:
    """Whether they have not passed."""
    end = monotonic() + seconds
    return lambda: monotonic() < end


def visited(world: World, verbs: Sequence[str], seconds: float, visitors: int = 8) -> int:
    """Has some visit the world for a while; how many commands were answered, all of them rightly.

    A machine that is busy otherwise gets more time: a hundred answers for each second there shall be.
    """
    begun = monotonic()
    crowd: list[Visitor] = []

    def goes_on() -> bool:
        passed = monotonic() - begun
        if passed < seconds:
            return True
        return sum(each.answered for each in crowd) < 100 * seconds and passed < seconds + PATIENCE

    crowd += [Visitor(world, verbs, seed, goes_on) for seed in range(visitors)]
    for visitor in crowd:
        visitor.start()
    for visitor in crowd:
        visitor.join()
    for visitor in crowd:
        if visitor.wrong is not None:
            raise visitor.wrong
    return sum(visitor.answered for visitor in crowd)


def close_in_the_middle(world: World, verbs: Sequence[str], backend: Lane | GreenBackend) -> None:
    """Ends a lane or hub of this world while some visit it; every connection is closed then."""
    crowd = [Visitor(world, verbs, seed, within(5)) for seed in range(6)]
    for visitor in crowd:
        visitor.start()
    sleep(0.1)
    backend.drain()
    backend.close()
    world.sock.close()
    for visitor in crowd:
        visitor.join()
    assert all(conn.closed for conn in world.conns)
