"""Blocking sockets under eventlet's names: safe points for timeouts, and a reset reads as an end."""

from __future__ import annotations

import socket as _socket
import ssl as _ssl
from typing import Any

from .threads import Strand, forget_fd, getcurrent

__all__ = ["SSLSocket", "create", "functions", "socket"]


def _safely(sock: Any, write: bool) -> None:
    """Where a Timeout runs, the wait is this package's, so that it can be raised."""
    strand: Strand = getcurrent()
    if strand.timeouts:
        timeout = sock.gettimeout()
        if timeout != 0 and sock.fileno() >= 0 and not strand.wait_fd(sock.fileno(), write, timeout):
            raise TimeoutError("timed out")


class socket(_socket.socket):
    """A socket.socket whose waits are safe points while a Timeout runs."""

    def __init__(
        self, family: Any = -1, type: Any = -1, proto: Any = -1, fileno: Any = None, **kwargs: Any
    ) -> None:
        if isinstance(family, _socket.socket):  # GreenSocket(a_socket)
            other = family
            super().__init__(other.family, other.type, other.proto, other.fileno())
            self._given = other
            self.settimeout(other.gettimeout())
            return
        super().__init__(family, type, proto, fileno)

    @property
    def _sock(self) -> socket:
        """eventlet's sockets wrap another; these are it."""
        return self

    @property
    def fd(self) -> socket:
        return self

    def accept(self) -> tuple[_socket.socket, Any]:
        while True:
            timeout = self.gettimeout()
            if (
                timeout != 0
                and self.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
                and not getcurrent().wait_fd(self.fileno(), False, timeout)
            ):
                raise TimeoutError("timed out")
            try:
                fd, address = self._accept()  # type: ignore[attr-defined]
                break
            except BlockingIOError:
                if timeout == 0:
                    raise
        new = socket(self.family, self.type, self.proto, fd)
        if _socket.getdefaulttimeout() is None:
            new.setblocking(True)
        return new, address

    def _real_close(self, *args: Any) -> None:
        forget_fd(self.fileno())  # poll() notices no close: who waits in accept() would wait for ever
        super()._real_close(*args)  # type: ignore[misc]

    def dup(self) -> socket:
        new = socket(self.family, self.type, self.proto, _socket.dup(self.fileno()))
        new.settimeout(self.gettimeout())
        return new

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        _safely(self, False)
        try:
            return super().recv(bufsize, flags)
        except ConnectionResetError:
            return b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        _safely(self, False)
        try:
            return super().recv_into(buffer, nbytes, flags)
        except ConnectionResetError:
            return 0

    def recvfrom(self, *args: Any) -> Any:
        _safely(self, False)
        return super().recvfrom(*args)


class SSLSocket(_ssl.SSLSocket):
    """An SSLSocket likewise; what it accepts is not negotiated yet."""

    suppress_ragged_eofs: bool

    def accept(self) -> tuple[Any, Any]:
        while True:
            if not getcurrent().wait_fd(self.fileno(), False, self.gettimeout()):
                raise TimeoutError("timed out")
            try:
                plain, address = _socket.socket.accept(self)
                break
            except BlockingIOError:
                if self.gettimeout() == 0:
                    raise
        return create(
            self.context,
            plain,
            server_side=True,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=self.suppress_ragged_eofs,
        ), address

    def _real_close(self) -> None:
        forget_fd(self.fileno())
        super()._real_close()  # type: ignore[misc]

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        if not self.pending():
            _safely(self, False)
        return super().read(len, buffer)


def create(context: _ssl.SSLContext, sock: Any, **kwargs: Any) -> Any:
    """`context.wrap_socket(sock, ...)` with a socket of this file's as the result."""
    return SSLSocket._create(sock, context=context, **kwargs)  # type: ignore[attr-defined]


def functions() -> dict[str, Any]:
    """The functions of the socket module that make sockets."""
    return {
        "fromfd": _fromfd,
        "socketpair": _socketpair,
        "create_connection": _create_connection,
        "GreenSocket": socket,
    }


def _fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    return socket(family, type, proto, _socket.dup(fd))


def _ours(plain: _socket.socket) -> socket:
    timeout = plain.gettimeout()
    new = socket(plain.family, plain.type, plain.proto, plain.detach())
    new.settimeout(timeout)
    return new


def _socketpair(*args: Any) -> tuple[socket, socket]:
    first, second = _socket.socketpair(*args)
    return _ours(first), _ours(second)


def _create_connection(*args: Any, **kwargs: Any) -> socket:
    return _ours(_socket.create_connection(*args, **kwargs))


def open_pipe(fd: int, mode: str, bufsize: int) -> Any:
    """A descriptor as a file."""
    import os

    return os.fdopen(fd, mode, bufsize)


def parts(module: str) -> dict[str, Any]:
    """What of a standard module is replaced: nothing."""
    return {}
