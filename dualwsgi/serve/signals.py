"""Signals as a queue: what has come is noted and rings a bell, and the loop that owns it asks.

Python runs a handler between two steps of the main thread.  A signal that comes just before that
thread falls asleep would thus be seen when something else wakes it, so the bell is rung in C, by the
wake-up descriptor of Python, in the moment in which the signal comes.  The handler rings once more: it
may run later than the loop has looked, and another owner may have the wake-up descriptor.

A handler runs between any two instructions, so it touches nothing that the loop may hold: it appends
to a deque and writes to a descriptor.  Below what a green backend patches.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # and posix: as they are before a green backend patches
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from posix import read, write
from types import FrameType
from typing import Any

from ..native import native_lock

__all__ = ["SignalQueue"]


class SignalQueue:
    """Takes signals over from now on; `close()` gives them back.  For the main thread.

    Its descriptor is readable while a signal, or a call handed over by `post`, has not been taken.
    Without signals it is a bell, which any thread may own.  `noted` is called by the handler itself,
    though the loop never comes round again.
    """

    def __init__(
        self,
        numbers: Iterable[signal.Signals] = (),
        ignored: Iterable[signal.Signals] = (),
        noted: Callable[[signal.Signals], object] = lambda _: None,
    ) -> None:
        self._noted = noted
        self._came: deque[signal.Signals] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._previous: dict[signal.Signals, Any] = {}
        self._owner = os.getpid()
        self._open = native_lock()  # held by who writes or closes, but for the handler: that is who closes
        self._bell, self._rope = os.pipe()
        for end in (self._bell, self._rope):
            os.set_blocking(end, False)
        self._elder = -1  # whose wake-up descriptor it was; gets what it would have got
        taken = False
        for number in numbers:
            if not taken:
                self._elder, taken = _signal.set_wakeup_fd(self._rope, warn_on_full_buffer=False), True
            self._previous[number] = signal.signal(number, self._note)
        for number in ignored:
            self._previous[number] = signal.signal(number, signal.SIG_IGN)

    def fileno(self) -> int:
        return self._bell

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A child that the application has forked: the signal is for that, and means what it did.
            before = self._previous[signal.Signals(number)]
            # None: what C code had set cannot be had back, and what the system does comes next to it.
            signal.signal(number, before if before is not None else signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._came.append(signal.Signals(number))
        self._pull()
        self._noted(signal.Signals(number))

    def ring(self) -> None:
        """Makes the descriptor readable; from any thread."""
        with self._open:
            self._pull()

    def _pull(self) -> None:
        if self._rope >= 0:
            try:
                write(self._rope, b"\0")
            except BlockingIOError:
                pass  # it rings already

    def post(self, call: Callable[[], None]) -> None:
        """Has the loop do something; from any thread."""
        self._calls.append(call)
        self.ring()

    def take(self) -> Iterator[signal.Signals]:
        """The signals that have come, in order; what was posted is done before them."""
        try:
            numbers = read(self._bell, 4096)
            if self._elder >= 0:
                write(self._elder, numbers)
        except OSError:
            pass  # nothing has rung, or the elder has no place for it
        while self._calls:
            self._calls.popleft()()
        while self._came:
            yield self._came.popleft()

    def close(self) -> None:
        for number, handler in self._previous.items():
            if handler is not None:  # else C code had set it, and it cannot be had back
                signal.signal(number, handler)
        kept = False
        if self._previous:
            holder = _signal.set_wakeup_fd(self._elder, warn_on_full_buffer=False)
            if holder != self._rope:
                # A hub that began later has it, and passes on to here what comes; so the number stays taken.
                _signal.set_wakeup_fd(holder, warn_on_full_buffer=False)
                kept = True
        with self._open:
            bell, self._bell, rope, self._rope = self._bell, -1, self._rope, -1
        os.close(bell)
        if not kept:
            os.close(rope)
