"""A journal of calls: what a log line, an id or a Server-Timing field must know of the application's call.

It is laid round the application where something asks for it, and costs nothing where nothing does: the
driver does not know it.  What it notes of a call waits under the call's connection until the response
has ended, and the access log comes for it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from time import monotonic, thread_time
from typing import Any, Final

from ...gateway.connection import Connection
from ...gateway.site import Application
from .calls import Call, connection_of, watch_result

__all__ = ["Journal", "NotedCall", "request_id", "traceparent"]

request_id: ContextVar[str] = ContextVar("dualwsgi_request_id", default="")
"""The id of the request that is being served here, "" where there is none."""

traceparent: ContextVar[str] = ContextVar("dualwsgi_traceparent", default="")
"""Its W3C trace context, to be sent on with requests that are made for it; "" where there is none."""

_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT: Final = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""https://www.w3.org/TR/trace-context/, section 3.2; in version 00, of 55 characters, nothing may follow."""

MOST: Final = 10_000
"""Calls that may wait for the end of their response; the oldest are forgotten then."""


class NotedCall(Call):
    """A call, and what else a log line may want to know of it."""

    __slots__ = ("environ", "fields", "request_id", "trace_id", "traceparent")

    def __init__(
        self, conn: Connection, environ: Mapping[str, Any], clock: Callable[[], float] | None
    ) -> None:
        super().__init__(conn, conn.came, monotonic(), clock)
        self.environ = environ
        self.fields: list[tuple[str, str]] = []
        self.request_id = ""
        self.trace_id = self.traceparent = ""

    def enter(self) -> None:
        request_id.set(self.request_id)
        traceparent.set(self.traceparent)

    def leave(self) -> None:
        _leave()


def _leave() -> None:
    request_id.set("")
    traceparent.set("")


class Journal:
    """Notes the calls of an application.

    `keeps`: somebody will take() what was noted, and `cpu`: ask it for processor time.  `ids`: take the
    request's id from X-Request-ID, or make one; take or make a W3C trace context; say both to the
    application, and the id to the client.  `timing`: add a Server-Timing field.
    """

    def __init__(self, *, keeps: bool, cpu: bool, ids: bool, timing: bool) -> None:
        self._keeps = keeps
        self._clock = thread_time if cpu else None
        self._ids = ids
        self._timing = timing
        self._calls: dict[Connection, NotedCall] = {}

    def wrap(self, app: Application) -> Application:
        """The same application, watched."""
        calls, clock = self._calls, self._clock

        def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            conn: Connection = environ["dualwsgi.send_interim"].__self__
            call = NotedCall(conn, environ, clock)
            began = monotonic()
            if self._keeps:
                if len(calls) >= MOST:
                    calls.pop(next(iter(calls), conn), None)
                calls[conn] = call
            if self._ids:
                self._identify(call, environ)

            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                call.fields = headers = [*headers, *self._fields(call, headers, began)]
                return start_response(status, headers, exc_info)

            cpu = clock() if clock is not None else 0.0
            try:
                result: Iterable[bytes] = app(environ, start)
            finally:
                if clock is not None:
                    call.cpu = clock() - cpu
                ended = monotonic()
                call.application = ended - began - call.waited()
                _leave()
            return watch_result(result, call, ended)

        return watched

    def take(self, peer: Mapping[str, Any]) -> NotedCall | None:
        """What was noted of the call that has ended on a connection, once."""
        conn = connection_of(peer)
        return self._calls.pop(conn, None) if conn is not None else None

    def _identify(self, call: NotedCall, environ: dict[str, Any]) -> None:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        call.request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        parent = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
        if parent is not None:
            call.trace_id = parent[1]
        else:
            call.trace_id = secrets.token_hex(16)
            environ["HTTP_TRACEPARENT"] = f"00-{call.trace_id}-{secrets.token_hex(8)}-00"
            environ.pop("HTTP_TRACESTATE", None)  # it belongs to the parent that was refused
        environ["HTTP_X_REQUEST_ID"] = environ["dualwsgi.request_id"] = call.request_id
        environ["dualwsgi.trace_id"] = call.trace_id
        call.traceparent = environ["HTTP_TRACEPARENT"]
        call.enter()

    def _fields(
        self, call: NotedCall, headers: Iterable[tuple[str, str]], began: float
    ) -> list[tuple[str, str]]:
        added = []
        if self._ids and not any(name.lower() == "x-request-id" for name, _ in headers):
            added.append(("X-Request-ID", call.request_id))
        if self._timing:
            spent = 1000 * (monotonic() - began)
            added.append(("Server-Timing", f"queue;dur={1000 * call.queued:.3f}, app;dur={spent:.3f}"))
        return added
