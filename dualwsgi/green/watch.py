"""The hub-held watcher: notices that a greenlet does not let the others run, and says which.

A real thread, on real locks, looks at the hub's `turn`.  If it has not changed between two looks and
the hub is not asleep, then somebody holds it; after `threshold` seconds the watcher takes the stack of
that moment and calls the reporter, once a place: a loop that holds the hub a thousand times is one
report and a count.

It costs nothing while all is well: while the hub sleeps the watcher sleeps, too, on a lock that the
hub opens when it turns again (`Hub.rouse_watcher`); so an idle process has no wake-ups.  While the hub
works it looks every half threshold.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

from dualwsgi.green import originals
from dualwsgi.green.hub import Hub, get_hub

__all__ = ["Held", "Watch", "watch"]

_MAX_PLACES = 1000


class Held(NamedTuple):
    """One report: the hub was held."""

    seconds: float
    """How long, up to the report; the greenlet may go on."""
    place: str
    """Where it was when it was noticed: "file:function"."""
    stack: str
    """The stack of that moment, formatted, innermost call last."""
    doing: Any
    """What the `doing` hook made of that stack; None without a hook."""


class Watch:
    """Watches one hub; made by `watch`.

    `held` counts how often the hub was held, reported or not; `longest` is in seconds.
    """

    def __init__(
        self,
        reporter: Callable[[Held], object],
        *,
        threshold: float = 0.1,
        doing: Callable[[FrameType], Any] | None = None,
        hub: Hub | None = None,
    ) -> None:
        if threshold <= 0:
            raise ValueError("threshold must be positive")
        self.hub = get_hub() if hub is None else hub
        self.reporter = reporter
        self.threshold = threshold
        self.doing = doing
        self.held = 0
        self.longest = 0.0
        self.places: dict[str, int] = {}
        self._running = False
        self.start()
        _watches.append(self)

    def start(self) -> None:
        """Start to watch; harmless if it does already."""
        if not self._running:
            self._running = True
            self._bell = originals.native_lock()
            self._bell.acquire()
            originals.start_background_thread(self._run, self._bell)

    def stop(self) -> None:
        """Watch no more."""
        self._running = False
        self.hub.rouse_watcher = None
        if self._bell.locked():
            self._bell.release()
        if self in _watches:
            _watches.remove(self)

    def _ring(self) -> None:
        # In the hub, at the first turn after the watcher went to sleep.
        self.hub.rouse_watcher = None
        if self._bell.locked():
            self._bell.release()

    def _run(self, bell: Any) -> None:
        hub = self.hub
        period = self.threshold / 2
        turn, since, told = hub.turn, originals.monotonic(), False
        while self._running and bell is self._bell:
            bell.acquire(True, period)
            now = originals.monotonic()
            if hub.turn != turn:
                turn, since, told = hub.turn, now, False
            elif hub.asleep:
                since = now
                hub.rouse_watcher = self._ring
                # Asleep still, after we asked to be roused: nothing can be missed.
                if hub.asleep and hub.turn == turn:  # type: ignore[redundant-expr]
                    bell.acquire()
                    since = originals.monotonic()
                hub.rouse_watcher = None
            else:
                seconds = now - since
                self.longest = max(self.longest, seconds)
                if seconds >= self.threshold and not told:
                    told = True
                    self.held += 1
                    self._tell(seconds)

    def _tell(self, seconds: float) -> None:
        frame = sys._current_frames().get(self.hub.thread_id)
        if frame is None:
            return
        place = f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"
        known = self.places.get(place)
        if known is None and len(self.places) >= _MAX_PLACES:
            return
        self.places[place] = (known or 0) + 1
        if known is not None:
            return
        try:
            # First of all: the stack takes a while, in which the greenlet may come to something else.
            doing = None if self.doing is None else self.doing(frame)
            stack = "".join(traceback.format_stack(frame))
            del frame
            self.reporter(Held(seconds, place, stack, doing))
        except Exception:
            traceback.print_exc()

    def after_fork(self) -> None:
        """In the child: the thread is gone; start another."""
        if self._running:
            self._running = False
            self.start()


_watches: list[Watch] = []


def watch(
    reporter: Callable[[Held], object],
    *,
    threshold: float = 0.1,
    doing: Callable[[FrameType], Any] | None = None,
) -> Watch:
    """Call `reporter(Held)` when a greenlet holds this thread's hub for `threshold` seconds.

    `doing` finds in the innermost frame of the moment what the hub was doing: the request, say.  Both
    run in the watcher's thread while the hub is held: they must not wait for greenlets.  Restarted
    after a fork.
    """
    return Watch(reporter, threshold=threshold, doing=doing)


def _after_fork_in_child() -> None:
    for each in _watches:
        each.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
