"""Calls that outlive their deadlines: their requests are ended, and their threads, if need be, given up.

Nobody can end a call that waits for something in a library.  So its client is told, the thread is
interrupted where that may be, and one that stays there all the same is replaced: another takes its
place, up to a bound, as what it holds is never given back.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from ...seam import Parked, Turn
from .crew import Crew
from .guard import CallGuard, Stretch
from .worker import Worker

__all__ = ["LateCalls"]

logger = logging.getLogger("dualwsgi")

LOST_AFTER: Final = 1.0
"""Seconds after the end of its request until a thread that is still in the call is given up."""


class LateCall:
    """One whose request was ended at `since`, while it goes on."""

    __slots__ = ("_guard", "_stretch", "conn", "since")

    def __init__(self, conn: Parked, since: float, guard: CallGuard | None, stretch: Stretch | None) -> None:
        self.conn = conn
        self.since = since
        self._guard = guard
        self._stretch = stretch  # while it is to be interrupted

    def interrupt(self) -> None:
        """Raises in its thread; if that may not be now, ask again later."""
        if self._guard is not None and self._stretch is not None and self._guard.interrupt(self._stretch):
            self._stretch = None


class LateCalls:
    """The leader's alone.  Up to `max_lost` threads of `crew` that stay in a call are replaced."""

    def __init__(self, crew: Crew, max_lost: int) -> None:
        self._crew = crew
        self._max_lost = max_lost
        self._late: dict[Worker, LateCall] = {}

    def see_to(self, turn: Turn) -> None:
        """Ends requests whose calls have outlived their deadlines, and gives up threads that stay there."""
        late = self._crew.late_calls(turn.now)
        frames = sys._current_frames() if late else {}
        for worker, conn in late:
            guard = worker.guard
            stretch = None if guard is None else guard.stretch  # before: it may be over when that returns
            if conn.time_out(turn, frames.get(worker.ident)):
                self._late[worker] = LateCall(conn, turn.now, guard, stretch)
        for call in self._late.values():
            call.interrupt()
        self._give_up_threads(turn)

    def _give_up_threads(self, turn: Turn) -> None:
        for worker, late in list(self._late.items()):
            if not self._crew.is_at(worker, late.conn):
                del self._late[worker]
            elif turn.now - late.since > LOST_AFTER:
                count = self._crew.give_up(worker, late.conn, self._max_lost)
                if count:
                    del self._late[worker]
                    self._complain(late.conn, count, turn)

    def _complain(self, conn: Parked, count: int, turn: Turn) -> None:
        turn.counters.lost += 1
        logger.error(
            "%s: the call did not end after its deadline; its thread is replaced (%d of at most %d)",
            conn.describe(),
            count,
            self._max_lost,
        )
