"""What a leader has done by another thread, since all connections wait while it does.

The leader of a lane runs the application's code in calls only, in which it can lose the lead.  What else
may have to wait is put aside: the close() of a response that it cuts off, the handlers of the log, the
writing of the access log.  It is done by one thread, in order, which is made when there is something to
do and goes when there has been nothing for a while: who waits for ever there keeps only what was put
behind it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

__all__ = ["Aside"]

logger = logging.getLogger("dualwsgi")

IDLE_TIME: Final = 20.0
"""Seconds after which a thread with nothing to do goes."""

LINES: Final = 1000
"""Of the log, that may wait for its handlers; more are dropped, and their number is told."""


class Aside:
    """Any thread may call every method.  `name` is the thread's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()
        self._dropped = 0  # lines of the log
        self._has_thread = False
        self._over = False

    def do(self, act: Callable[[], object], *, once: bool = False) -> None:
        """Has it done, here if there is no other place; unless the same waits already, if `once`."""
        with self._changed:
            if once and act in self._waiting:
                return
            self._waiting.append(act)
            goes_on = not self._over and self._rouse()
        if not goes_on:
            self._act_all()

    def tell(self, handle: Callable[..., object], *args: object) -> None:
        """Has handle(*args) called, which gives a record to the handlers of the log."""
        with self._changed:
            has_place = len(self._waiting) < LINES
            self._dropped += not has_place
        if has_place:
            self.do(partial(handle, *args))

    def _rouse(self) -> bool:
        """Sees to it that there is a thread for what waits; False if none can be had.  Under the lock."""
        self._changed.notify_all()
        if not self._has_thread:
            try:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            except RuntimeError:
                return False
            self._has_thread = True
        return True

    def _work(self) -> None:
        """The life of the thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._over, IDLE_TIME)
                if not self._waiting:
                    self._has_thread = False
                    self._changed.notify_all()
                    return
                act, dropped = self._waiting.popleft(), 0
                if not self._waiting:
                    dropped, self._dropped = self._dropped, 0
            self._act(act)
            del act  # while it waits for the next, it keeps no connection
            if dropped:
                logger.error("%d lines of this log are missing: its handlers do not keep up", dropped)

    def _act_all(self) -> None:
        while self._waiting:
            try:
                act = self._waiting.popleft()
            except IndexError:
                return
            self._act(act)

    def _act(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException:
            logger.exception("what a leader had put aside failed")

    def close(self, timeout: float) -> None:
        """Nothing is put aside from now on; waits up to `timeout` seconds until what was is done."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: not self._has_thread, timeout):
                return
        self._act_all()
