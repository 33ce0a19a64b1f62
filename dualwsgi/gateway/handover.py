"""The client's socket, for an application that answers an upgrade by itself: environ["dualwsgi.socket"].

WebSocket libraries for WSGI (simple-websocket, and by it Flask-Sock, Flask-SocketIO, python-engineio) want
the socket and write 101 to it themselves.  PEP 3333 knows no such thing, so each server has a key of its
own, and they know the servers by their keys: hence the second name.  Nothing is handed over before a method
is called; from then on the response is the application's, and the connection ends with the call.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .phase import Phase

if TYPE_CHECKING:
    from socket import socket

    from .connection import Connection
    from .input import Input

SOCKET_KEYS: Final = ("dualwsgi.socket", "werkzeug.socket")

METHODS: Final = frozenset(
    {
        *("close", "detach", "dup", "fileno", "getblocking", "getpeername", "getsockname", "getsockopt"),
        *("gettimeout", "makefile", "recv", "recv_into", "recvmsg", "send", "sendall", "sendfile", "sendmsg"),
        *("setblocking", "setsockopt", "settimeout", "shutdown"),
    }
)


class ClientSocket:
    """The methods of a blocking socket.object; the first call of one takes the connection over.

    That raises OSError if the request is over, if its response has begun, or if the client has sent
    something that is read already, and could not be read from the socket.
    """

    __slots__ = ("_conn", "_input", "_taken")

    def __init__(self, conn: Connection, body: Input) -> None:
        self._conn = conn
        self._input = body  # which tells this request from the next
        self._taken: socket | None = None

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"the client's socket has no {name!r}")
        return partial(self._call, name)

    def __del__(self) -> None:
        # Whoever waits for it in a thread refers to it, so nobody does: what the application has not closed.
        if self._taken is not None:
            self._taken.close()

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *METHODS})

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        sock = self._taken
        if sock is None:
            sock = self._taken = self._take()
        return getattr(sock, name)(*args, **options)

    def _take(self) -> socket:
        conn = self._conn
        if conn.phase is not Phase.RUNNING or not conn.is_about(self._input):
            raise OSError(errno.EBADF, "the request is over, and its socket with it")
        if conn.buffer:
            raise OSError(errno.EPROTO, "the client did not wait for the answer to its upgrade")
        sock = conn.stream.hand_over()
        try:
            conn.handed_over()
        except BaseException:
            sock.close()
            raise
        return sock
