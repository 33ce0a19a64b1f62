"""Callables that the operator has called at four moments; see the settings of that heading.

    worker_started(server)                   before a connection is accepted; if it raises, nothing starts
    worker_stopped(server)                   after the last one has ended
    request_begun(environ)                   before the application is called, where it is called
    request_ended(environ, status, seconds)  after the response, by whoever ended it; it must not wait

A hook that is not set costs nothing: the application and the log stand there without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import ConfigError
from ..gateway.heads import Request
from ..gateway.site import AccessLog, Application
from .loader import load_hook
from .observe.calls import connection_of

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["RequestHooks", "find_hook", "request_hooks", "start_worker", "stop_worker"]

S = TypeVar("S")

logger = logging.getLogger("dualwsgi")

MOST: Final = 10_000
"""Requests whose end may be awaited; the oldest are forgotten then."""


def find_hook(config: Config, name: str) -> Callable[..., Any] | None:
    """The callable that a setting names, imported; None if it names none.  Raises ConfigError."""
    hook = getattr(config, name)
    return load_hook(hook) if isinstance(hook, str) else hook


def start_worker(hook: Callable[[S], object], server: S) -> None:
    """Raises ConfigError if the hook fails: what it was to prepare is not there."""
    try:
        hook(server)
    except Exception as error:
        logger.error("worker_started has failed", exc_info=True)
        raise ConfigError(f"worker_started: it failed with {error!r}; see the log") from None


def stop_worker(hook: Callable[[S], object], server: S) -> None:
    """Never raises: the server is at its end, and the rest of that has to be done."""
    try:
        hook(server)
    except Exception:
        logger.error("worker_stopped has failed", exc_info=True)


def request_hooks(config: Config) -> RequestHooks | None:
    """What calls the hooks of requests, if there are any.  Raises ConfigError."""
    begun, ended = find_hook(config, "request_begun"), find_hook(config, "request_ended")
    return RequestHooks(begun, ended) if begun is not None or ended is not None else None


class RequestHooks:
    """Laid round the application, and between it and the log, which is told of each response's end."""

    def __init__(self, begun: Callable[..., Any] | None, ended: Callable[..., Any] | None) -> None:
        self._begun = begun
        self._ended = ended
        # By connection, which has one request at a time.
        self._open: dict[Any, dict[str, Any]] = {}

    def wrap(self, app: Application) -> Application:
        """The same application, announced."""
        begun, ended, under_way = self._begun, self._ended, self._open

        def announced(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if ended is not None:
                if len(under_way) >= MOST:
                    under_way.pop(next(iter(under_way), None), None)
                under_way[connection_of(environ)] = environ
            if begun is not None:
                try:
                    begun(environ)
                except Exception:
                    logger.error("request_begun has failed", exc_info=True)
            result: Iterable[bytes] = app(environ, start_response)
            return result

        return announced

    def before(self, log: AccessLog | None) -> AccessLog | None:
        """A log that calls the hook and goes on to this one."""
        return log if self._ended is None else _Ends(self._ended, self._open, log)


class _Ends:
    """See dualwsgi.gateway.site.AccessLog."""

    def __init__(
        self, ended: Callable[..., Any], under_way: dict[Any, dict[str, Any]], log: AccessLog | None
    ) -> None:
        self._ended = ended
        self._open = under_way
        self._log = log
        self.reads = log.reads if log is not None else frozenset[str]()

    def __call__(
        self, request: Request | None, peer: dict[str, Any], status: str, size: int, seconds: float
    ) -> None:
        conn = connection_of(peer)
        environ = self._open.pop(conn, None) if conn is not None else None
        if environ is not None:
            try:
                self._ended(environ, status, seconds)
            except Exception:
                logger.error("request_ended has failed", exc_info=True)
        if self._log is not None:
            self._log(request, peer, status, size, seconds)

    def flush(self) -> None:
        if self._log is not None:
            self._log.flush()
