"""What a lane remembers of the routes it serves: which of them may be run by the leader itself.

A request that only computes is served fastest by the leader: no other thread has to wake for it.
One that waits (for a database, a lock, a sleep) must not keep the leader.  Nobody says which is
which, so it is learnt: a call is quick if it hardly waited off the processor.
"""

from __future__ import annotations

from typing import Final

QUICK_WAIT: Final = 0.0002
"""Seconds off the processor up to which a call counts as quick: what handing it over would cost."""

QUICK_TIME: Final = 0.005
"""Seconds in all up to which a call counts as quick."""

TRIALS: Final = 4
"""Quick calls in a row that a new route needs."""

TRIALS_AGAIN: Final = 64
"""The same for a route that has been found waiting."""

STRIKE: Final = 4
STRIKES_OUT: Final = 12
"""A quick route is struck STRIKE for a call that waits, forgiven 1 for one that does not."""

UNSTAYED: Final = 64
"""After a stay in vain, so many calls of the route are not stayed for."""

ROUTES_KEPT: Final = 1024


class Route:
    """How requests like one have behaved."""

    __slots__ = ("_needed", "_streak", "_strikes", "_unstayed", "is_long", "quick")

    def __init__(self) -> None:
        self.quick = False
        self._needed = TRIALS
        self._streak = 0
        self._strikes = 0
        self._unstayed = 0
        self.is_long = False  # the last call took so long that the processor's clock has nothing to add

    @property
    def worth_staying(self) -> bool:
        """Whether the next request of a connection can be expected at once."""
        if self._unstayed:
            self._unstayed -= 1
            return False
        return not self.quick

    def stayed(self, came: bool) -> None:
        """A follower stayed for the next request, and it came or not."""
        if not came:
            self._unstayed = UNSTAYED

    def learn(self, wall: float, cpu: float, alone: bool) -> None:
        """One call took so many seconds, and so many of the processor's.

        Unless it ran alone it may only have waited for its turn among other threads, which says
        nothing about the route.
        """
        self.is_long = wall > QUICK_TIME
        waited = wall - cpu > QUICK_WAIT
        if waited and not alone and wall < QUICK_TIME:
            return
        if self.quick:
            if waited:
                self._strike()
            else:
                self._strikes = max(0, self._strikes - 1)
        elif waited:
            self._streak = 0
        else:
            self._streak += 1
            if self._streak >= self._needed:
                self.quick = True
                self._strikes = 0

    def learn_length(self, wall: float) -> None:
        """One call of a route that is_long took so many seconds."""
        self.is_long = wall > QUICK_TIME
        self._streak = 0

    def kept_leader(self, computing: bool) -> None:
        """A call kept the leader until the watchdog came.

        If it was computing, or would have been but for other processes, that may have been chance.
        """
        if computing:
            self._strike()
        else:
            self._found_waiting()

    def _strike(self) -> None:
        self._strikes += STRIKE
        if self._strikes >= STRIKES_OUT:
            self._found_waiting()

    def _found_waiting(self) -> None:
        self.quick = False
        self._streak = 0
        self._needed = TRIALS_AGAIN


class Routes:
    """The routes of one lane by name; the least lately found are forgotten."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def find(self, name: str) -> Route:
        route = self._routes.pop(name, None)
        if route is None:
            route = Route()
            if len(self._routes) >= ROUTES_KEPT:
                self._routes.pop(next(iter(self._routes)), None)
        self._routes[name] = route  # a dict keeps the order in which its keys came
        return route
