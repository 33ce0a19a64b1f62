"""Callables of the operator's own, and when they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..kinds import Hook, knob
from .room import Room

__all__ = ["Hooks"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Hooks(Room):
    __slots__ = ()
    heading = "Hooks"

    worker_started: Any = knob(
        None,
        Hook(
            "Called with the Server in each process that serves, before it accepts; one that raises keeps it "
            "from starting."
        ),
    )
    worker_stopped: Any = knob(
        None, Hook("Called with the Server when it has finished its last request, or given it up.")
    )
    request_begun: Any = knob(
        None, Hook("Called with environ before the application is, in the same thread or greenlet.")
    )
    request_ended: Any = knob(
        None,
        Hook(
            "Called with environ, the status and the seconds it took when a response has ended; it must not "
            "wait."
        ),
    )
