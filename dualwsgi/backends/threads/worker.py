"""A thread of a lane, as those see it who give it something to do: now it leads, now it follows."""

from __future__ import annotations

import threading
from time import monotonic

from ...seam import Parked, Turn
from .guard import CallGuard
from .routes import Route

__all__ = ["Job", "Worker"]

Job = tuple[Parked, Route | None]
"""A connection to run, and the route to learn from it; None where its time says nothing."""


class Worker:
    """Whoever has picked it sets `job`, and call() ends its wait(); all else is the thread's own."""

    __slots__ = ("_wake", "guard", "ident", "job", "job_waited", "kept", "turn")

    def __init__(self, job: Job | None, guard: CallGuard | None) -> None:
        self.job = job  # what to serve when called; None means: lead
        self.job_waited = False  # it comes from a queue
        self.kept: Parked | None = None  # the connection that it has taken off the set, to stay with it
        self.turn = Turn(monotonic())
        self.turn.guard = self.guard = guard
        self.ident = 0  # the thread's identifier, once it runs
        self._wake = threading.Lock()
        self._wake.acquire()

    def wait(self, timeout: float) -> bool:
        """Waits, idle, until it is called; whether it was."""
        return self._wake.acquire(timeout=timeout)

    def call(self) -> None:
        """Ends its wait()."""
        self._wake.release()
