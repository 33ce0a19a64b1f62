"""A call of the application, watched from outside: what it took, and the iterator in which it goes on.

The journal watches every call, the phase clock some or all: what a call is, is said here once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from ...gateway.connection import Connection
from ...gateway.steps import Steps, goes_on

__all__ = ["Call", "connection_of", "watch_result"]


class Call:
    """What was noted of one call, in seconds.  `clock` tells the processor's time, None if nobody asks.

    Where the application sends by write(), its waiting for the client to read is not the application's.
    """

    __slots__ = ("_before", "_conn", "application", "came", "clock", "cpu", "first", "queued")

    def __init__(
        self, conn: Connection, came: float, began: float, clock: Callable[[], float] | None
    ) -> None:
        self._conn = conn
        self._before = conn.waited
        self.came = came  # when the request was whole, in monotonic seconds
        self.queued = max(0.0, began - came)
        self.clock = clock
        self.application = -1.0  # while it has not returned
        self.cpu = 0.0 if clock is not None else -1.0
        self.first = -1.0  # when, after it had come, the first octets of the response could go out

    def told(self, seconds: float) -> tuple[float, float, float, float, float]:
        """Queued, application, sending, first octets and processor time, at the end after so many seconds."""
        queued = self.queued
        application = self.application
        if application < 0:  # a call that its deadline cut off, or that has raised, has not returned
            application = max(0.0, seconds - queued - self.waited())
        first = self.first if self.first >= 0 else queued + application
        return queued, application, max(0.0, seconds - queued - application), first, self.cpu

    def waited(self) -> float:
        """Seconds in which it has waited for the client to read what it sends."""
        return self._conn.waited - self._before

    def enter(self) -> None:
        """The application is about to work on it, in its call or in its iterator."""

    def leave(self) -> None:
        """It has done so for now."""


def connection_of(said: Any) -> Connection | None:
    """The connection that has said this to environ, if it is not closed."""
    interim = said.get("dualwsgi.send_interim")
    return interim.__self__ if interim is not None else None


def watch_result(result: Iterable[bytes], call: Call, ended: float) -> Iterable[bytes]:
    """What an application has returned at `ended`, watched if it is to be iterated over."""
    if goes_on(result):
        return _Watched(result, call)
    call.first = ended - call.came
    return result


class _Watched(Steps):
    """What an application returned to be iterated over: its code runs there, too, as part of the call."""

    __slots__ = ("_call",)

    def __init__(self, result: Iterable[bytes], call: Call) -> None:
        super().__init__(result)
        self._call = call

    def __next__(self) -> bytes:
        piece = super().__next__()
        call = self._call
        if piece and call.first < 0:
            call.first = monotonic() - call.came
        return piece

    def _step(self, act: Callable[[], Any]) -> Any:
        call, clock = self._call, self._call.clock
        began, waited = monotonic(), call.waited()
        cpu = clock() if clock is not None else 0.0
        call.enter()
        try:
            return act()
        finally:
            call.leave()
            if clock is not None:
                call.cpu += clock() - cpu
            call.application += monotonic() - began - (call.waited() - waited)

    _close = _step
