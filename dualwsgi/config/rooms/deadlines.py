"""How long everything may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..kinds import GIB, Choice, Count, Seconds, Size, knob
from .room import Room

__all__ = ["Deadlines"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Deadlines(Room):
    __slots__ = ()
    heading = "How long"

    handshake_timeout: float = knob(
        10.0, Seconds("A TLS handshake or a PROXY protocol header may take this long.")
    )
    header_timeout: float = knob(
        10.0, Seconds("A request head may take this long from its first byte; over it: 408.")
    )
    keep_alive: float = knob(
        75.0,
        Seconds("A connection may be idle this long between requests. 0: close after each response.", 0.0),
    )
    body_timeout: float = knob(30.0, Seconds("Reading a request body may stall this long; over it: 408."))
    write_timeout: float = knob(30.0, Seconds("Writing a response may stall this long; over it: closed."))
    min_header_rate: int = knob(
        0,
        Size(
            "Slowest rate of a request head, in bytes a second, once it took 5 s; under it: 408. 0: any.",
            *(0, GIB),
        ),
    )
    min_body_rate: int = knob(
        240,
        Size(
            "Slowest rate of a request body, in bytes a second; under it for the body timeout: 408. 0: any.",
            *(0, GIB),
        ),
    )
    min_response_rate: int = knob(
        240,
        Size(
            "Slowest rate at which a client reads, in bytes a second; under it for the write timeout: "
            "closed. 0: any.",
            *(0, GIB),
        ),
    )
    request_timeout: float = knob(
        0.0,
        Seconds(
            "A request must be answered within this time; over it: 504, or cut if that has begun. "
            "0: no limit.",
            0.0,
        ),
    )
    late_calls: Literal["leave", "interrupt"] = knob(
        "leave",
        Choice(
            "What becomes of a thread in a call over its request timeout: left to itself, or interrupted by "
            "RequestTimeout, as on green.",
            *("leave", "interrupt"),
        ),
    )
    max_lost_threads: int = knob(
        32,
        Count(
            "Threads that stay in a call after its request timeout are replaced, this many at once.",
            *(0, 10_000),
        ),
    )
    linger_timeout: float = knob(
        2.0,
        Seconds("After an error answer, wait this long for the client to read it before closing.", 0.0, 60.0),
    )
    graceful_timeout: float = knob(
        30.0, Seconds("When stopping, requests in flight may take this long to end. 0: stop at once.", 0.0)
    )
