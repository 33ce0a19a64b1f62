"""How long responses that are made are held, so that those of a batch go out one right after the other.

A write wakes the client.  On another processor that is an interrupt, and a client that is quick sleeps again
before the next write, if a request is read and a call is made in between; and with the kernel's code and
Python's in turn, each drives the other from the processor's cache.  Written in a row, the same responses
wake a client once for many of them, and a small request costs a tenth less and more.

Whoever serves holds them no longer than HOLD and the call that it is at then.  If that call waits, those who
go on without it send first.  Until then a connection is as its request left it: it is parked, and whoever
may end it for its silence, or serve it further, does so after.
"""

from __future__ import annotations

from typing import Final

HOLD: Final = 0.0005
"""Seconds, from when the first one was made or the calls for a batch began."""
