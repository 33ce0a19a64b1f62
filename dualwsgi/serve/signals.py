"""Signals as a queue: the handler notes the number and rings, the loop asks what has come.

A handler runs between any two instructions of the main thread, so it touches nothing that the loop
may hold: it appends to a deque and writes to a descriptor.  Below what a green backend patches.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

__all__ = ["SignalQueue"]


class SignalQueue:
    """Takes signals over from now on; `close()` gives them back.  For the main thread.

    Its descriptor is readable while a signal, or a call handed over by `post`, has not been taken.
    """

    def __init__(self, numbers: Iterable[signal.Signals], ignored: Iterable[signal.Signals] = ()) -> None:
        self._came: deque[signal.Signals] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._previous: dict[signal.Signals, Any] = {}
        for number in numbers:
            self._previous[number] = signal.signal(number, self._note)
        for number in ignored:
            self._previous[number] = signal.signal(number, signal.SIG_IGN)

    def fileno(self) -> int:
        return self._bell

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.append(signal.Signals(number))
        self.ring()

    def ring(self) -> None:
        """Makes the descriptor readable; from any thread."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def post(self, call: Callable[[], None]) -> None:
        """Has the loop do something; from any thread."""
        self._calls.append(call)
        self.ring()

    def take(self) -> Iterator[signal.Signals]:
        """The signals that have come, in order; what was posted is done before them."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass
        while self._calls:
            self._calls.popleft()()
        while self._came:
            yield self._came.popleft()

    def close(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        bell, self._bell = self._bell, -1
        os.close(bell)
