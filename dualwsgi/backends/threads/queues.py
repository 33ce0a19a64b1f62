"""Requests that wait for a call: those of quick routes apart, which are called first.

What may be called at all is not known here, nor by whom; the crew's lock is around every change.
"""

from __future__ import annotations

from collections import deque

from ...seam import Parked
from ..queueing import Patience
from .worker import Job

__all__ = ["Queues"]


class Queues:
    """At most `size` requests, unless push() adds one more; `patience` says how long each may wait."""

    __slots__ = ("_others", "_patience", "_quick", "size")

    def __init__(self, size: int, patience: Patience) -> None:
        self.size = size
        self._patience = patience
        self._quick: deque[Job] = deque()
        self._others: deque[Job] = deque()

    def is_empty(self) -> bool:
        """May be asked without the lock."""
        return not self._quick and not self._others

    def conns(self) -> list[Parked]:
        """Whose requests wait."""
        return [job[0] for job in (*self._quick, *self._others)]

    def add(self, job: Job, now: float) -> bool:
        """Lets a request wait, if there is room."""
        count = len(self._quick) + len(self._others)
        if count >= self.size:
            return False
        if not count:
            self._patience.begins(now)
        self._of(job).append(job)
        return True

    def push(self, conn: Parked) -> None:
        """Lets one wait that cannot be refused any more, by a route that is not looked at."""
        self._others.append((conn, None))

    def take(self, quick: bool, others: bool) -> Job | None:
        """The next one of those that there is a place for."""
        if quick and self._quick:
            return self._quick.popleft()
        if others and self._others:
            return self._others.popleft()
        return None

    def take_stale(self, now: float) -> Job | None:
        """One that has waited too long."""
        for queue in (self._quick, self._others):
            if queue and self.is_stale(queue[0][0], now):
                return queue.popleft()
        return None

    def put_back(self, job: Job) -> None:
        """It was taken, and is the next one again."""
        self._of(job).appendleft(job)

    def is_stale(self, conn: Parked, now: float) -> bool:
        """Whether a request has waited too long for its turn."""
        patience = self._patience
        return now - conn.since > (patience.timeout if conn.has_begun else patience.limit(now))

    def _of(self, job: Job) -> deque[Job]:
        return self._quick if job[1] is not None and job[1].quick else self._others
