"""eventlet.wsgi: a WSGI server on greenlets, or on threads, by eventlet's names and in its ways.

    from dualwsgi import eventlet
    from dualwsgi.eventlet import wsgi

    def hello_world(env, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return ['Hello, World!\\r\\n']

    wsgi.server(eventlet.listen(('', 8090)), hello_world)

What differs from eventlet's own, and why, is in docs/eventlet.md.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from typing import Any

from .corolocal import local
from .ground import ground
from .serving.input import ChunkReadError, Input
from .serving.protocol import STATE_CLOSE, STATE_IDLE, STATE_REQUEST, HttpProtocol
from .serving.response import encode_header_line as _encode_header_line
from .serving.server import Server, _Stop
from .serving.stream import shut_down

__all__ = [
    "ALREADY_HANDLED",
    "DEFAULT_LOG_FORMAT",
    "DEFAULT_MAX_HTTP_VERSION",
    "DEFAULT_MAX_SIMULTANEOUS_REQUESTS",
    "MAX_HEADER_LINE",
    "MAX_REQUEST_LINE",
    "MAX_TOTAL_HEADER_SIZE",
    "MINIMUM_CHUNK_SIZE",
    "STATE_CLOSE",
    "STATE_IDLE",
    "STATE_REQUEST",
    "WSGI_LOCAL",
    "ChunkReadError",
    "HttpProtocol",
    "Input",
    "Server",
    "_encode_header_line",
    "format_date_time",
    "is_accepting",
    "server",
]

DEFAULT_MAX_SIMULTANEOUS_REQUESTS = 1024
DEFAULT_MAX_HTTP_VERSION = "HTTP/1.1"
MAX_REQUEST_LINE = 8192
MAX_HEADER_LINE = 8192
MAX_TOTAL_HEADER_SIZE = 65536
"""Octets; programs set these."""
MINIMUM_CHUNK_SIZE = 4096
DEFAULT_LOG_FORMAT = (
    '%(client_ip)s - - [%(date_time)s] "%(request_line)s" %(status_code)s %(body_length)s %(wall_seconds).6f'
)
is_accepting = True
"""False ends every accept loop of the process at its next connection."""

WSGI_LOCAL = local()
"""`already_handled = True`, set by an application for one request: it has answered by itself."""


class _AlreadyHandled:
    def __iter__(self) -> Iterator[bytes]:
        return iter(())


ALREADY_HANDLED = _AlreadyHandled()
"""What an application returns that has answered by itself, through its socket."""

# The client's trouble or TLS's, at accept().
_PASSING = frozenset(
    {
        *(errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.ESHUTDOWN),
        *(errno.EPROTO, errno.EINTR),
    }
)
# The machine's.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_REST = 0.1

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def format_date_time(timestamp: float) -> str:
    """Seconds since the epoch as HTTP writes a date (RFC 9110 section 5.6.7)."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(timestamp)
    date = f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:04d}"
    return f"{date} {hour:02d}:{minute:02d}:{second:02d} GMT"


def server(
    sock: Any,
    site: Callable[..., Any],
    log: Any = None,
    environ: dict[str, Any] | None = None,
    max_size: int | None = None,
    max_http_version: str = DEFAULT_MAX_HTTP_VERSION,
    protocol: Any = HttpProtocol,
    server_event: Any = None,
    minimum_chunk_size: int | None = None,
    log_x_forwarded_for: bool = True,
    custom_pool: Any = None,
    keepalive: bool | float = True,
    log_output: bool = True,
    log_format: str = DEFAULT_LOG_FORMAT,
    url_length_limit: int = MAX_REQUEST_LINE,
    debug: bool = True,
    socket_timeout: float | None = None,
    capitalize_response_headers: bool = True,
) -> None:
    """Serves `site` on the listening socket `sock` until that is closed, stopped or killed.

    sock: a listening socket; wrapped by wrap_ssl or ssl it serves HTTPS.  It is closed at the end;
        descriptors that were dup()ed from it stay.
    log: a file-like object, or a logger; standard error if None.
    environ: keys to add to that of every request.
    max_size: connections at once (default 1024); with `custom_pool`, the pool's own size counts.
    max_http_version: "HTTP/1.0" serves without chunks and persistent connections.
    protocol: a subclass of HttpProtocol.
    server_event: an Event that is sent the Server, whose stop(timeout) ends all of this.
    minimum_chunk_size: octets up to which small pieces of a response are gathered (default 4096).
    log_x_forwarded_for: whether the access line starts with what X-Forwarded-For says.
    custom_pool: an object with spawn() and waitall(), such as a GreenPool.
    keepalive: False closes after each response; a number is how many seconds an idle one is kept.
    log_output: False logs nothing at all.
    log_format: of the access line; client_ip, client_port, date_time, request_line, status_code,
        body_length and wall_seconds.
    url_length_limit: octets of a request line, from which on it is answered 414.
    debug: whether a traceback is sent to the client when the application fails, and connections logged.
    socket_timeout: seconds for which a client may neither send nor take anything.
    capitalize_response_headers: whether x-any becomes X-Any.

    Returns when all connections have ended.
    """
    serv = Server(
        sock,
        sock.getsockname(),
        site,
        log,
        environ,
        max_http_version,
        protocol=protocol,
        minimum_chunk_size=minimum_chunk_size,
        log_x_forwarded_for=log_x_forwarded_for,
        keepalive=keepalive,
        log_output=log_output,
        log_format=log_format,
        url_length_limit=url_length_limit,
        debug=debug,
        socket_timeout=socket_timeout,
        capitalize_response_headers=capitalize_response_headers,
    )
    if custom_pool is None:
        from .greenpool import GreenPool

        pool: Any = GreenPool(DEFAULT_MAX_SIMULTANEOUS_REQUESTS if max_size is None else max_size)
    else:
        pool = custom_pool
        for name in ("spawn", "waitall"):
            if not hasattr(pool, name):
                raise AttributeError(f"custom_pool must have {name}(), as a GreenPool has")
    serv.begin()
    if server_event is not None:
        server_event.send(serv)
    secure = hasattr(sock, "do_handshake")
    if secure:
        # Where it is done at accept(), one stalled client holds up all others.
        sock.do_handshake_on_connect = False
    undo = ground.open_for_accepting(sock)
    try:
        serv.log.info(f"({serv.pid}) wsgi starting up on {_url(serv.address, secure)}")
        while is_accepting and not serv.is_stopping:
            _accept_one(serv, sock, pool)
    except _Stop:
        pass
    except (KeyboardInterrupt, SystemExit):
        serv.log.info("wsgi exiting")
    finally:
        try:
            serv.close_idle()
            _wait_for(serv, pool)
            serv.log.info(f"({serv.pid}) wsgi exited, is_accepting={is_accepting}")
        finally:
            undo()
            try:
                sock.close()
            except OSError:
                pass
            serv.end()


def _accept_one(serv: Server, sock: Any, pool: Any) -> None:
    try:
        client, address = ground.accept(sock)
    except TimeoutError:
        return  # the listener's own, which only says that nobody came
    except OSError as error:
        if serv.is_stopping:
            return
        if error.errno in _EXHAUSTED:
            serv.log.error(f"({serv.pid}) cannot accept connections: {error.strerror}")
            ground.sleep(_REST)
        elif error.errno in _PASSING or _is_tls(error):
            serv.log.debug(f"({serv.pid}) not accepted: {error.strerror or error}")
        else:
            raise
        return
    client.settimeout(serv.socket_timeout)
    serv.log.debug(f"({serv.pid}) accepted {address!r}")
    state = [address, client, STATE_IDLE]
    serv.connections[id(state)] = state
    try:
        thread = pool.spawn(serv.serve_connection, state)
        thread.link(_connection_ended, serv, state)
    except BaseException:
        serv.connections.pop(id(state), None)
        shut_down(client)
        client.close()
        raise


def _connection_ended(thread: Any, serv: Server, state: list[Any]) -> None:
    serv.connections.pop(id(state), None)
    state[2] = STATE_CLOSE
    shut_down(state[1])
    state[1].close()


def _wait_for(serv: Server, pool: Any) -> None:
    """Waits for the pool; a kill or an interrupt ends the wait, a stop has a bound of its own."""
    try:
        pool.waitall()
    except _Stop:
        pool.waitall()


def _is_tls(error: OSError) -> bool:
    import ssl

    return isinstance(error, ssl.SSLError)


def _url(address: Any, secure: bool) -> str:
    scheme = "https" if secure else "http"
    if not isinstance(address, tuple):
        return f"{scheme}:{address}"
    host, port = address[:2]
    return f"{scheme}://{f'[{host}]' if ':' in str(host) else host}:{port}"
