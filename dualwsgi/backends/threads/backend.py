"""OS threads as a Backend: one lane, or one a core where threads run Python side by side."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from ...counters import Counters, total
from ...seam import Door, View
from .lane import Lane


class ThreadsBackend:
    """See dualwsgi.seam.Backend.

    `threads` bounds application calls at once, `max_lost` the threads that are replaced; the other
    settings are those of Lane.
    """

    def __init__(self, *, threads: int, max_lost: int, **settings: Any) -> None:
        self._threads = threads
        self._max_lost = max_lost
        self._settings = settings
        self._lanes: list[Lane] = []

    def start(self, make_doors: Callable[[], Sequence[Door]], *, here: bool) -> None:
        # With the interpreter's lock, a second lane would only fight the first one for it.
        parallel = not getattr(sys, "_is_gil_enabled", lambda: True)()
        count = min(self._threads, os.cpu_count() or 1) if parallel else 1
        lost = -(-self._max_lost // count)
        for share in self._shares(count):
            self._lanes.append(Lane(make_doors(), limit=share, max_lost=lost, **self._settings))
        for lane in self._lanes:
            lane.start()

    def drain(self) -> None:
        for lane in self._lanes:
            lane.drain()

    def dismiss(self, before: float) -> None:
        for lane in self._lanes:
            lane.dismiss(before)

    def wait_idle(self, timeout: float) -> bool:
        deadline = monotonic() + timeout
        return all(lane.wait_idle(max(0.0, deadline - monotonic())) for lane in self._lanes)

    def wait_readable(self, fd: int, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def poke(self, act: Callable[[], object]) -> None:
        for lane in self._lanes:
            act = partial(lane.poke, act)
        act()

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()

    def counters(self) -> Counters:
        return total(lane.counters() for lane in self._lanes)

    def set_limit(self, calls: int) -> None:
        self._threads = calls
        for lane, share in zip(self._lanes, self._shares(len(self._lanes)), strict=True):
            lane.set_limit(share)

    def _shares(self, count: int) -> list[int]:
        """How many calls each of `count` lanes may run."""
        return [max(1, self._threads // count + (n < self._threads % count)) for n in range(count)]

    def gave_way(self) -> bool:
        return False  # a thread is at one call until that returns

    def look(self) -> View:
        views = [lane.look() for lane in self._lanes]
        return View(
            calls=[call for view in views for call in view.calls],
            queued=[conn for view in views for conn in view.queued],
            parked=[conn for view in views for conn in view.parked],
            limit=sum(view.limit for view in views),
            idle=sum(view.idle for view in views),
            lag=max((view.lag for view in views), default=0.0),
        )
