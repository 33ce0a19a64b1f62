"""The end of a process, made certain: what has not ended in time is ended, and it is told what kept it.

A process that was told to stop may be kept by the application: by a thread that is no daemon, by what it has
registered with atexit, on green by a call that never comes back to the hub.  A worker has a supervisor who
would kill it; this is for the process that has none, or whose supervisor is gone.

Compiled code that keeps the interpreter's lock keeps everything here from running, too.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any, Final

from ..native import native_sleep, start_native
from .errorlog import tell

__all__ = ["END_MARGIN", "EXIT_FORCED", "end_in_time"]

END_MARGIN: Final = 4.0
"""Seconds beyond the grace time that a process may take to end.  The supervisor gives it a second more."""

EXIT_FORCED: Final = 1

_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep
_HOUSE: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep


def end_in_time(seconds: float) -> None:
    """Ends this process in so many seconds, if it has not ended by then; returns at once.

    From any thread or signal handler.
    """
    try:
        start_native(_end_late, seconds, os.getpid(), _main_greenlet())
    except RuntimeError:
        pass  # there are no threads to be had; it is as if nobody had thought of it


def _end_late(seconds: float, pid: int, main: Any) -> None:
    native_sleep(seconds)
    kept_by = "; ".join(_keepers(main)) or "something that was registered with atexit, perhaps"
    tell(f"dualwsgi: process {pid} was told to stop and is ended now, since it has not; kept by {kept_by}")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # whatever it has become by now
            continue
    os._exit(EXIT_FORCED)


def _main_greenlet() -> Any:
    """That of this thread, if it has a hub: while it waits, it is in no thread's stack."""
    green = sys.modules.get("dualwsgi.green.hub")
    hub = green.current_hub() if green is not None else None
    return hub.main if hub is not None else None


def _keepers(main: Any) -> list[str]:
    """The threads that a process waits for, and where they are; the main one if it is in code of the user."""
    threading: Any = sys.modules.get("threading")
    active: dict[int, Any] = dict(getattr(threading, "_active", {}))
    frames = sys._current_frames()
    found = []
    for ident, thread in active.items():
        if thread.daemon:
            continue
        place = _place(frames.get(ident))
        if not place and main is not None and thread is threading.main_thread():
            place = _place(main.gr_frame)
        if place or thread is not threading.main_thread():
            found.append(thread.name + place)
    return found


def _place(frame: FrameType | None) -> str:
    """The innermost place that is neither the standard library's nor the house's; "" if there is none."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_HOUSE) and (not file.startswith(_LIBRARY) or "site-packages" in file):
            return f" at {file}:{frame.f_lineno}, in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""
