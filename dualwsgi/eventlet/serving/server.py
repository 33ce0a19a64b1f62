"""eventlet's Server: what all connections of one listener share, and the life of one of them.

The accept loop is in wsgi.py; `stop` ends it, on greenlets and on threads alike.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from ...config import Config
from ...gateway.environ import Environ
from ...gateway.site import Site
from ...http11.head import Limits, Tolerance
from ..ground import ground
from .log import NullLog, log_of
from .protocol import HttpProtocol
from .stream import RESET, shut_down

FIELDS = 100
"""Header fields of a request, at most; over it: 431."""


class Server:
    """One listening socket and one application.

    Arguments are those of eventlet's own; see dualwsgi.eventlet.wsgi.server for what they mean.
    """

    def __init__(
        self,
        socket: Any,
        address: Any,
        app: Callable[..., Any],
        log: Any = None,
        environ: dict[str, Any] | None = None,
        max_http_version: str | None = None,
        protocol: Any = HttpProtocol,
        minimum_chunk_size: int | None = None,
        log_x_forwarded_for: bool = True,
        keepalive: bool | float = True,
        log_output: bool = True,
        log_format: str | None = None,
        url_length_limit: int | None = None,
        debug: bool = True,
        socket_timeout: float | None = None,
        capitalize_response_headers: bool = True,
    ) -> None:
        from .. import wsgi

        self._module = wsgi
        self.local = wsgi.WSGI_LOCAL
        self.already_handled = wsgi.ALREADY_HANDLED
        self.socket = socket
        self.address = address
        self.app = app
        self.outstanding_requests = 0
        self.pid = os.getpid()
        self.environ = environ
        self.max_http_version = max_http_version or wsgi.DEFAULT_MAX_HTTP_VERSION
        self.protocol = protocol
        self.minimum_chunk_size = minimum_chunk_size
        self.log_x_forwarded_for = log_x_forwarded_for
        self.keepalive = keepalive
        self.log_output = log_output
        self.log_format = log_format or wsgi.DEFAULT_LOG_FORMAT
        self.url_length_limit = wsgi.MAX_REQUEST_LINE if url_length_limit is None else url_length_limit
        self.debug = debug
        self.socket_timeout = socket_timeout
        self.capitalize_response_headers = capitalize_response_headers
        self.log: Any = log_of(sys.stderr if log is None else log, debug) if log_output else NullLog()
        # What the driver asks of a site; the limits are those of limits_for().
        self.site = Site(app, Config(debug=debug, limit_request_body=0))
        self._limits: dict[tuple[Any, ...], Limits] = {}
        self.connections: dict[int, list[Any]] = {}
        self.is_stopping = False
        self._interrupt: Any = None  # a ground.Interrupter of the accept loop
        self._over = ground.new_event()

    # What requests ask

    @property
    def max_header_line(self) -> int:
        return self._module.MAX_HEADER_LINE

    @property
    def max_total_header_size(self) -> int:
        return self._module.MAX_TOTAL_HEADER_SIZE

    def limits_for(self, protocol: HttpProtocol) -> Limits:
        """What a request may take; programs set the globals of the wsgi module."""
        tolerates = not protocol.reject_bad_requests
        key = (tolerates, self.url_length_limit, self.max_header_line, self.max_total_header_size)
        limits = self._limits.get(key)
        if limits is None:
            tolerance = Tolerance(
                no_host=True,
                http_10_chunked=True,
                http_10_expect=True,
                chunked_with_length=tolerates,
                chunk_extensions=True,
            )
            limits = self._limits[key] = Limits(
                request_line=self.url_length_limit,
                fields=FIELDS,
                field_size=self.max_header_line,
                head=self.url_length_limit + self.max_total_header_size,
                body=0,
                tolerance=tolerance,
            )
            self.site.limits = limits
        return limits

    def get_environ(self) -> Environ:
        """What is the same for every request."""
        environ: Environ = {
            "wsgi.errors": sys.stderr,
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.url_scheme": "http",
        }
        if hasattr(self.socket, "do_handshake"):
            environ["wsgi.url_scheme"] = "https"
            environ["HTTPS"] = "on"
        if self.environ is not None:
            environ.update(self.environ)
        return environ

    def log_message(self, message: str) -> None:
        self.log.info(message)

    # Connections

    def process_request(self, conn_state: list[Any]) -> None:
        """Serves the connection [address, socket, state] to its end."""
        try:
            # The object does it all, in its constructor, as those of the standard library do.
            self.protocol(conn_state, self)
        except OSError as error:
            if error.errno not in RESET:
                raise

    def serve_connection(self, conn_state: list[Any]) -> None:
        """process_request() as the accept loop has it run."""
        self.process_request(conn_state)

    def close_idle(self) -> None:
        """Every connection ends: at once if it waits for a request, else after its response."""
        for state in list(self.connections.values()):
            was, state[2] = state[2], self._module.STATE_CLOSE
            if was is self._module.STATE_IDLE:
                shut_down(state[1])

    # Stopping

    def begin(self) -> None:
        """The accept loop runs in the calling greenlet or thread."""
        self._interrupt = ground.Interrupter()

    def end(self) -> None:
        """The accept loop is over, and all connections with it."""
        self._interrupt.close()
        self._over.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Has server() return: no new connections, idle ones closed, responses finished.

        Waits up to `timeout` seconds (None: without a bound) and then cuts what has not ended.
        Returns whether nothing had to be cut.  From any greenlet or thread but those that serve.
        """
        was_stopping, self.is_stopping = self.is_stopping, True
        if self._interrupt is None:
            return True
        deadline = None if timeout is None else monotonic() + timeout
        if not was_stopping:
            self._interrupt(_Stop())
        if self._over.wait(timeout):
            return True
        for state in list(self.connections.values()):
            shut_down(state[1])
        left = 1.0 if deadline is None else max(1.0, deadline - monotonic())
        self._over.wait(left)
        return False


class _Stop(BaseException):
    """Ends an accept loop; Server.stop raises it there."""
