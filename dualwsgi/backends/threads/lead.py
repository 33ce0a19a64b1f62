"""The lead of a lane: whose it is, the call that may cost it, and who logs while he has it.

While the leader runs a call, its token holds that connection.  Leader and watchdog both take it out
with list.pop, which only one of them can: if it is the leader, nothing has happened; if it is the
watchdog, the crew takes the connection out of what is parked, counts the call and appoints another leader,
all under its lock, and for a thread that is already there: should none be had, the lead stays where it is.
The loser takes that lock once before it goes on, so that it never runs ahead of that.
Each leadership has a token of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...seam import Parked
from .worker import Worker

__all__ = ["Lead", "elsewhere"]

Tell = Callable[..., Any]


class Lead:
    """One leadership, made by the thread whose it is; `token` holds the call that it is at, if it is at one.

    `is_lost`: another has taken that out.
    """

    __slots__ = ("_native", "_tell", "is_lost", "token", "worker")

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.token: list[Parked] = []
        self.is_lost = False
        self._native = threading.get_native_id()
        self._tell: Tell | None = None

    @contextmanager
    def held(self, aside: Callable[[Callable[[], object]], None], tell: Tell) -> Iterator[None]:
        """While its thread leads: what must not wait then is done by `aside`, and said by `tell`."""
        worker = self.worker
        self._tell = tell
        worker.turn.aside = aside
        _leads[worker.ident] = self
        try:
            yield
        finally:
            worker.turn.aside = None
            _leads.pop(worker.ident, None)

    def at(self) -> Parked | None:
        """The call that it is at."""
        return next(iter(self.token), None)

    def where_to_log(self) -> Tell | None:
        """None in calls, where its thread may wait: one may cost it the lead, or has."""
        return None if self.token or self.is_lost else self._tell

    def is_runnable(self) -> bool:
        """Whether its thread computes, or would if it were given a processor; False if that is unknown."""
        try:
            with open(f"/proc/self/task/{self._native}/stat", "rb") as file:
                return file.read().rpartition(b") ")[2][:1] == b"R"
        except OSError:
            return False


_leads: dict[int, Lead] = {}
"""By the identifiers of the threads that have them."""


def elsewhere() -> Tell | None:
    """Where who logs here may wait for the handlers, if not here: who leads waits in calls only."""
    lead = _leads.get(threading.get_ident())
    return None if lead is None else lead.where_to_log()
