"""Stacks: where each thread and each request's greenlet is right now.

Read from outside, by frames, so that it also works for what is stuck.  Imports no greenlet: what is
one is handed in by the backend that does.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...seam import Call
    from .subject import Subject

__all__ = ["take_stacks"]

DEPTH: Final = 200
"""Frames of a stack that are told, the innermost ones."""


def take_stacks(server: Subject, request: str | None = None) -> list[dict[str, Any]]:
    """The stacks of every request in the application's hands, or of one, and of all other threads.

    `request` is an id as in a snapshot's list of requests in flight.  Each stack has its frames
    outermost first, as a traceback has.
    """
    view = server.look()
    calls: Iterable[Call] = view.calls if view is not None else ()
    frames = sys._current_frames()
    pid = os.getpid()
    names = _thread_names()
    found = []
    spoken_for = set()
    for call in calls:
        ident = f"{pid}.{call.conn.fd}"
        frame = call.greenlet.gr_frame if call.greenlet is not None else frames.get(call.thread)
        if call.greenlet is None:
            spoken_for.add(call.thread)
        if request in (None, ident) and frame is not None:
            line = call.conn.request.line
            found.append(
                {
                    "request": ident,
                    "what": f"{line.method} {line.target}",
                    "thread": call.thread,
                    "greenlet": id(call.greenlet) if call.greenlet is not None else None,
                    "frames": _frames(frame),
                }
            )
    if request is None:
        found += [
            {
                "request": None,
                "what": names.get(thread, "a thread of its own"),
                "thread": thread,
                "greenlet": None,
                "frames": _frames(frame),
            }
            for thread, frame in frames.items()
            if thread not in spoken_for
        ]
    return found


def _thread_names() -> dict[int, str]:
    threading = sys.modules.get("threading")
    active: dict[int, Any] = getattr(threading, "_active", {})
    return {ident: thread.name for ident, thread in list(active.items())}


def _frames(frame: FrameType) -> list[dict[str, Any]]:
    summary = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=DEPTH)
    return [
        {"file": one.filename, "line": one.lineno, "function": one.name, "code": one.line or ""}
        for one in reversed(summary)
    ]
