"""Telling an application that its client has left.

Nothing is watched until the application asks.  What is told is the end of the client's side (FIN) or
of the connection (a reset).  The two ways to send FIN cannot be told apart: a client that has closed
is gone, one that has only shut down its sending side still reads.  So this is advice; the answer is
still sent, and only if that fails, or the connection was reset, the request is logged as 499.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from .phase import Phase
from .site import logger

if TYPE_CHECKING:
    from .connection import Connection


class GoneSignal:
    """environ["dualwsgi.client_gone"]: whether the client has ended its side of the connection.

    It belongs to the connection; use it during the call only.  Any thread may.
    """

    __slots__ = ("_callbacks", "_conn", "_request")

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._callbacks: list[Callable[[], object]] | None = None  # while the end is watched for
        self._request: list[bool] = []  # whose they are, see Deadline.mark()

    def is_set(self) -> bool:
        """Whether it has left.  Asks the system, which takes a microsecond or two."""
        return self._is_closed or self._conn.stream.peer_ended(0.0)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it leaves, at most `timeout` seconds; whether it has."""
        deadline = None if timeout is None else monotonic() + timeout
        while not self.is_set():
            left = 3600.0 if deadline is None else deadline - monotonic()
            if left <= 0:
                return False
            if not self._conn.stream.peer_ended(min(left, 3600.0)) and self._is_closed:
                break
        return True

    def call(self, callback: Callable[[], object]) -> None:
        """Has `callback()` called once it leaves, if that is before the response is made.

        In a thread of its own, or greenlet, so it may wait; also if it has left already.  What it
        raises is logged.
        """
        conn = self._conn
        request, watched = conn.deadline.mark(), self._callbacks is not None
        if self._callbacks is not None and self._request is request:
            self._callbacks.append(callback)
            return
        self._request, self._callbacks = request, [callback]
        if not watched:
            conn.stream.watch_end(self._tell)

    def _tell(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        if self._request:
            for callback in callbacks or ():
                try:
                    callback()
                except Exception:
                    logger.exception("a callback of dualwsgi.client_gone failed")

    @property
    def _is_closed(self) -> bool:
        return self._conn.phase is Phase.CLOSED
