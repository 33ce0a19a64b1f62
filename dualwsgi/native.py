"""Threads and locks that do not know of the hub: native ones, even where the library is patched."""

from __future__ import annotations

import _thread
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Bell", "native_lock", "native_sleep", "native_threads", "start_native"]

native_threads: set[int] = set()
"""What the system calls those that were started here and still run."""


def start_native(act: Callable[..., object], *args: Any) -> None:
    """Starts a real thread that takes no signals and keeps no process alive."""
    # Without the green library nothing is patched, and on threads it must not be imported.
    originals = sys.modules.get("dualwsgi.green.originals")
    start = originals.start_native_thread if originals is not None else _thread.start_new_thread
    start(_without_signals, (act, args))


def native_lock() -> Any:
    """A lock that a thread without a hub may take: a green one would have it wait in a hub of its own."""
    originals = sys.modules.get("dualwsgi.green.originals")
    return originals.native_lock() if originals is not None else _thread.allocate_lock()


class Bell:
    """What one thread sleeps on until any other rings; rung twice before it wakes is rung once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = native_lock()
        self._lock.acquire()

    def wait(self) -> None:
        """Sleeps until it is rung, or has been since the last wait."""
        self._lock.acquire()

    def ring(self) -> None:
        """Waits for nobody: a signal handler may call it, too."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it has been rung already


def native_sleep(seconds: float) -> None:
    """Lets this thread, and no greenlet of it, sleep."""
    originals = sys.modules.get("dualwsgi.green.originals")
    (originals.sleep if originals is not None else time.sleep)(seconds)


def _without_signals(act: Callable[..., object], args: tuple[Any, ...]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    me = _thread.get_native_id()
    native_threads.add(me)
    try:
        act(*args)
    finally:
        native_threads.discard(me)
