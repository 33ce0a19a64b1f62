"""Where a connection is in its life, and how long it may stay there: one table for both backends."""

from __future__ import annotations

import enum
from math import inf
from typing import Final

from ..config import DAY, Config

RATE_GRACE: Final = 5.0
"""Seconds from its first octet for which a request head need not come at any rate."""


class Phase(enum.Enum):
    """Each has its own deadline; in all but RUNNING the connection is parked and holds no stack."""

    UNWELCOME = enum.auto()  # its address has enough connections, and it will be told so
    FRESH = enum.auto()  # nothing has come in yet
    PREAMBLE = enum.auto()  # a proxy has to say whom it speaks for
    HANDSHAKE = enum.auto()
    IDLE = enum.auto()  # between requests, nothing of the next has come in
    HEAD = enum.auto()  # part of a head is in
    BODY = enum.auto()  # collecting the body, before the application is called
    RUNNING = enum.auto()  # the application has it (a known head in one read runs as IDLE)
    FLUSH = enum.auto()  # the response is made, and its tail waits for the client to read
    DRAIN = enum.auto()  # the response is out, the body is not yet read
    LINGER = enum.auto()  # nothing more will be sent; waiting for the client to have read it
    CLOSED = enum.auto()


def patience(config: Config) -> dict[Phase, float]:
    """Seconds that a connection may stay in each phase, counted from its `since`.

    In HEAD, `since` is the first octet of the head.  In BODY, FLUSH and DRAIN it is the last progress,
    or with a minimum rate less: see pace().
    """
    return {
        Phase.UNWELCOME: config.header_timeout,
        Phase.FRESH: config.header_timeout,
        Phase.PREAMBLE: config.handshake_timeout,
        Phase.HANDSHAKE: config.handshake_timeout,
        Phase.IDLE: config.keep_alive,
        Phase.HEAD: config.header_timeout,
        Phase.BODY: config.body_timeout,
        Phase.RUNNING: inf,
        Phase.FLUSH: config.write_timeout,
        Phase.DRAIN: config.body_timeout,
        Phase.LINGER: config.linger_timeout,
        Phase.CLOSED: inf,
    }


def pace(rate: int) -> float:
    """Seconds of waiting that an octet makes up for, at a minimum rate in octets a second; 0 is none.

    Waiting for a client uses up its timeout, and each octet that it sends or takes gives some back,
    never more than there was.  So a client that goes on at the rate can go on for ever, one that is
    slower is ended some time after it has become so, whatever it did before, and bursts are fine.
    Without a minimum rate any octet gives all back.
    """
    return 1.0 / rate if rate else DAY
