"""The phase clock: where the time of requests goes, by watching some of them, or all.

    sampled   up to SAMPLES requests a second of each lane or hub, all of them where there are no more
    all       every one, and of those samples the processor's time, too
    off       none

A request that is not watched pays nothing: once a second the clock puts itself in the place of the
application, and takes itself out when it has seen enough; it stands before the log while a request that
it watches has not ended.  What it notes goes into the counters of whoever ends the request.

Requests that never come to the application are not watched, and in `all` those whose call fails are
only among the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic, thread_time
from typing import Any, Final

from ...config import ClockMode
from ...gateway.connection import Connection
from ...gateway.heads import Request
from ...gateway.phase import Phase
from ...gateway.site import Site
from .calls import Call, connection_of, watch_result

__all__ = ["PhaseClock"]

_Whole = tuple[float, float, float]
"""A call that returned the whole content: when its request had come, when it began and ended."""

SAMPLES: Final = 16
"""Requests a second of a lane or hub that are watched, if not all are."""

FURTHEST: Final = 31
"""Requests, at most, between two of these: each of them costs a call."""


class PhaseClock:
    """Watches the requests of one site.

    `gave_way` says, inside a call, whether others have used its thread since it began: then the time of
    the thread's processor is not the call's own, and is not told.
    """

    def __init__(self, site: Site, mode: ClockMode, gave_way: Callable[[], bool]) -> None:
        self._site = site
        self._app = site.app
        self._log = site.log
        self._gave_way = gave_way
        self._open: dict[Connection, Call | _Whole] = {}
        self._gap = self._skip = 0  # requests between two samples, and until the next
        self._left = 0  # samples of this second that are to come
        self._began = 0.0  # when they did
        site.on_tick = self.tick
        self.set_mode(mode)

    def set_mode(self, mode: ClockMode) -> None:
        """From the next request on; from any thread."""
        self.mode: ClockMode = mode
        self._usual = self._every if mode == "all" else self._app
        self._gap = self._left = 0
        self._site.app = self._usual
        self._site.log = self._ended if mode == "all" else self._log
        self.tick(monotonic())

    def tick(self, now: float) -> None:
        """About once a second while there is work: begins to take samples again."""
        for conn in list(self._open):
            if conn.phase is Phase.CLOSED:
                self._open.pop(conn, None)  # it was cut, and nobody told
        self._step_aside()
        if self.mode != "off":
            if self._left:
                self._gap //= 2  # too far apart to come to an end
            self._left, self._began = SAMPLES, now
            self._skip = self._gap
            self._site.app = self._some

    def _step_aside(self) -> None:
        if self.mode != "all" and not self._open:
            self._site.log = self._log

    # In the application's place

    def _some(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Takes samples, with all that there is to know."""
        if self._skip > 0:
            self._skip -= 1
            result: Iterable[bytes] = self._usual(environ, start_response)
            return result
        self._skip = self._gap
        self._left -= 1
        if self._left <= 0:
            self._site.app = self._usual
            # So that the next samples are spread over three quarters of a second.
            seconds = max(monotonic() - self._began, 1e-6)
            self._gap = min(FURTHEST, int(0.75 * (self._gap + 1) / seconds))
        self._site.log = self._ended
        conn: Connection = environ["dualwsgi.send_interim"].__self__
        began = monotonic()
        self._open[conn] = call = Call(conn, conn.since, began, thread_time)
        cpu = thread_time()
        result = self._app(environ, start_response)
        call.cpu = thread_time() - cpu
        if self._gave_way():
            call.clock, call.cpu = None, -1.0
        ended = monotonic()
        call.application = ended - began - call.waited()
        return watch_result(result, call, ended)

    def _every(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Takes the time of the others, of whom processor time is not asked: that is a system call."""
        conn = environ["dualwsgi.send_interim"].__self__
        waited = conn.waited
        began = monotonic()
        result: Iterable[bytes] = self._app(environ, start_response)
        # The short way, for what is sent as a whole: see _ended().
        if type(result) is list and conn.waited == waited:
            self._open[conn] = conn.since, began, monotonic()
            return result
        ended = monotonic()
        self._open[conn] = call = Call(conn, conn.since, began, None)
        call.application = ended - began - (conn.waited - waited)
        return watch_result(result, call, ended)

    # In the log's place

    def _ended(
        self, request: Request | None, peer: dict[str, Any], status: str, size: int, seconds: float
    ) -> None:
        """See dualwsgi.gateway.site.AccessLog."""
        conn = connection_of(peer)
        if conn is not None and request is not None:
            call = self._open.pop(conn, None)
            if call is not None:
                if not isinstance(call, Call):
                    came, began, ended = call
                    queued, application, first, cpu = began - came, ended - began, ended - came, -1.0
                    sending = seconds - first
                else:
                    queued, application, sending, first, cpu = call.told(seconds)
                    self._step_aside()
                head, body = conn.arrival
                clocked = conn.turn.counters.clocked
                clocked += (request.line, head, body, queued, application, sending, first, cpu, seconds)
        if self._log is not None:
            self._log(request, peer, status, size, seconds)
