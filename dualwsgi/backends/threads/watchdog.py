"""The watchdog of a lane: notices that one call keeps the leader, and has the lead passed on.

It looks twice, a tick apart, and knows nothing of calls but whether it has seen this one before.  While
the leader has nothing to run it sleeps without a tick, and costs an idle server nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from ...native import Bell

__all__ = ["Watchdog"]

TICK: Final = 0.005
"""Seconds between two looks; a leader is stuck after one to two."""

Look = Callable[[], tuple[Any, float]]
"""The call that the leader is at, or None, and when that began, or when the leader came round last."""


class Watchdog:
    """`look` may be asked at any time; `bite` is called for a call that was seen twice.

    `sleeps`: the leader, who has something to do now, is to call rouse().
    """

    def __init__(self, look: Look, bite: Callable[[], None]) -> None:
        self._look = look
        self._bite = bite
        self.sleeps = False
        self._wake = Bell()
        self._over = threading.Lock()  # a pause between two looks that close() can end
        self._over.acquire()
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="dualwsgi-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def rouse(self) -> None:
        """Ends its sleep."""
        self.sleeps = False
        self._wake.ring()

    def close(self) -> None:
        """Waits a moment for it to end."""
        self._stopping = True
        self._over.release()
        self.rouse()
        if self._thread.ident is not None:  # else start() has failed, or was never called
            self._thread.join(1.0)

    def _watch(self) -> None:
        """Its thread's life."""
        before: tuple[Any, float] | None = None
        while not self._stopping:
            seen = self._look()
            if seen == before and seen[0] is not None:
                self._bite()
            elif seen == before:
                # No call since the last look: the leader is asleep or has nothing to run.
                self.sleeps = True
                if self._look() == seen:
                    self._wake.wait()
                self.sleeps = False
            before = seen
            self._over.acquire(timeout=TICK)
