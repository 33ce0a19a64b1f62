"""How much is done at once, and what becomes of the rest."""

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import Count, Seconds, knob
from .room import Room

__all__ = ["Load"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Load(Room):
    __slots__ = ()
    heading = "How much at once"

    threads: int = knob(32, Count("Application calls at once, on threads.", 1, 10_000))
    concurrency: int = knob(1_000, Count("Application calls at once, on green.", 1, 1_000_000))
    max_blocking_time: float = knob(
        0.1,
        Seconds("On green, report a call that keeps all others waiting so long. 0: never.", 0.0),
    )
    queue_size: int = knob(
        1_024, Count("Requests that may wait for a call; more are answered 503. 0: none waits.", 0, 1_000_000)
    )
    queue_timeout: float = knob(
        30.0, Seconds("A request that has waited this long for a call is answered 503.")
    )
    queue_target: float = knob(
        0.0,
        Seconds(
            "While requests queue without a break, one that has waited this long for a call is answered 503. "
            "0: only the queue timeout counts.",
            0.0,
        ),
    )
    backlog: int = knob(2_048, Count("Connections the kernel keeps until they are accepted.", 1, 65_535))
