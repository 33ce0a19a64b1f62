"""A journal of calls: what a log line, an id or a Server-Timing field must know of the application's call.

It is laid round the application where something asks for it, and costs nothing where nothing does: the
driver does not know it.  What it notes of a call waits under the call's connection until the response
has ended, and the access log comes for it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from time import monotonic, thread_time
from typing import Any, Final

from ...gateway.input import FileWrapper
from ...gateway.site import Application

__all__ = ["Call", "Journal", "request_id", "traceparent"]

request_id: ContextVar[str] = ContextVar("dualwsgi_request_id", default="")
"""The id of the request that is being served here, "" where there is none."""

traceparent: ContextVar[str] = ContextVar("dualwsgi_traceparent", default="")
"""Its W3C trace context, to be sent on with requests that are made for it; "" where there is none."""

_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""https://www.w3.org/TR/trace-context/, section 3.2."""

MOST: Final = 10_000
"""Calls that may wait for the end of their response; the oldest are forgotten then."""


class Call:
    """What was noted of one call.  Times in seconds, monotonic or lengths."""

    __slots__ = (
        "application",
        "began",
        "connection",
        "cpu",
        "environ",
        "fields",
        "first",
        "queued",
        "request_id",
        "trace_id",
        "traceparent",
    )

    def __init__(self, connection: Any, environ: Mapping[str, Any], began: float, queued: float) -> None:
        self.connection = connection  # so that its id() is no other's while this waits
        self.environ = environ
        self.began = began
        self.queued = queued
        self.first = 0.0  # when the response began
        self.application = -1.0
        self.cpu = -1.0
        self.fields: list[tuple[str, str]] = []
        self.request_id = ""
        self.trace_id = self.traceparent = ""


class _Iteration:
    """What an application returned to be iterated over: its code runs there, too, as part of the call.

    Only iterators are laid in one: lists and files, which the server sends by shorter ways, are let be.
    """

    __slots__ = ("_call", "_result")

    def __init__(self, result: Iterator[bytes], call: Call) -> None:
        self._result = result
        self._call = call

    def __iter__(self) -> _Iteration:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._within(self._result.__next__)
        return piece

    def close(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            self._within(close)

    def _within(self, act: Callable[[], Any]) -> Any:
        call = self._call
        began, cpu = monotonic(), thread_time()
        _enter(call)
        try:
            return act()
        finally:
            _leave()
            call.cpu += thread_time() - cpu
            call.application += monotonic() - began


def _enter(call: Call) -> None:
    request_id.set(call.request_id)
    traceparent.set(call.traceparent)


def _leave() -> None:
    request_id.set("")
    traceparent.set("")


class Journal:
    """Notes the calls of an application.

    `keeps`: somebody will take() what was noted.  `ids`: take the request's id from X-Request-ID, or make
    one; take or make a W3C trace context; say both to the application, and the id to the client.
    `timing`: add a Server-Timing field.
    """

    def __init__(self, *, keeps: bool, ids: bool, timing: bool) -> None:
        self._keeps = keeps
        self._ids = ids
        self._timing = timing
        self._calls: dict[int, Call] = {}

    def wrap(self, app: Application) -> Application:
        """The same application, watched."""
        calls = self._calls

        def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            connection = environ["dualwsgi.send_interim"].__self__
            began = monotonic()
            call = Call(connection, environ, began, max(0.0, began - connection.since))
            if self._keeps:
                if len(calls) >= MOST:
                    calls.pop(next(iter(calls), 0), None)
                calls[id(connection)] = call
            if self._ids:
                self._identify(call, environ)

            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                call.first = monotonic()
                call.fields = headers = [*headers, *self._fields(call, headers)]
                return start_response(status, headers, exc_info)

            cpu = thread_time()
            result: Iterable[bytes] = ()
            try:
                result = app(environ, start)
                if isinstance(result, Iterator) and type(result) is not FileWrapper:
                    result = _Iteration(result, call)  # the application goes on working in it
                return result
            finally:
                call.cpu = thread_time() - cpu
                call.application = monotonic() - began
                _leave()

        return watched

    def take(self, peer: Mapping[str, Any]) -> Call | None:
        """What was noted of the call that has ended on a connection, once."""
        said = peer.get("dualwsgi.send_interim")
        return self._calls.pop(id(said.__self__), None) if said is not None else None

    def _identify(self, call: Call, environ: dict[str, Any]) -> None:
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
        _enter(call)

    def _fields(self, call: Call, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        added = []
        if self._ids and not any(name.lower() == "x-request-id" for name, _ in headers):
            added.append(("X-Request-ID", call.request_id))
        if self._timing:
            spent = 1000 * (call.first - call.began)
            added.append(("Server-Timing", f"queue;dur={1000 * call.queued:.3f}, app;dur={spent:.3f}"))
        return added
