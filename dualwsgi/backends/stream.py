"""A connection's octets on a socket that never blocks: what both backends share of a Stream.

It works on the descriptor by `posix`, below the modules that a green backend patches; a C socket is
made of it where only that will do, which most connections never need.  A backend adds the two waits,
and nothing else.
"""

from __future__ import annotations

import _socket
import errno
import os
import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial
from posix import close, read, sendfile, set_blocking, write, writev
from typing import TYPE_CHECKING, Any

from ..seam import Verdict, closed
from .ends import Ends

if TYPE_CHECKING:
    from socket import socket

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Borrowed(_socket.socket):
    """A descriptor as a socket, inside a `with`: Borrowed(fileno=fd).

    Raises OSError if it is none, ValueError if it is negative.
    """

    def __enter__(self) -> Borrowed:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.detach()


class SocketStream:
    """A stream socket; see dualwsgi.seam.Stream.  Takes the descriptor over and makes it non-blocking.

    `ends` is its backend's.
    """

    __slots__ = ("_ends", "fd", "peer_environ", "read", "write")

    lookahead = False
    rest = Verdict.WANT_READ
    has_socket = True
    is_greeted = False

    def __init__(self, ends: Ends, fd: int, peer_environ: dict[str, Any]) -> None:
        set_blocking(fd, False)
        self._ends = ends
        self.peer_environ = peer_environ
        self.fd = fd
        # posix and not the socket's methods: they take their arguments in half the time.
        self.read: Callable[[int], bytes] = partial(read, fd)
        self.write: Callable[[bytes | memoryview], int] = partial(write, fd)

    def writev(self, buffers: Sequence[bytes | memoryview]) -> int:
        return writev(self.fd, buffers)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        try:
            return sendfile(self.fd, fd, offset, count)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                raise NotImplementedError from None  # not for this kind of file; the octets can be read
            raise

    def unread(self, data: bytes) -> None:
        raise NotImplementedError  # nothing precedes its first octet

    def handshake(self) -> Verdict:
        return Verdict.RUN

    def watch_end(self, callback: Callable[[], object]) -> None:
        self._ends.watch(self.fd, callback)

    def unsent(self) -> int:
        from fcntl import ioctl  # asked for only where a client does not read
        from termios import TIOCOUTQ

        try:
            return int.from_bytes(ioctl(self.fd, TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)
        except OSError:
            return 0

    def hand_over(self) -> socket:
        # With a descriptor of its own: a thread that waits there still must not read another connection's.
        import socket

        return self._blocking(socket.socket)

    def _blocking(self, kind: type[socket]) -> socket:
        fd = os.dup(self.fd)
        try:
            sock = kind(fileno=fd)
        except BaseException:
            close(fd)
            raise
        sock.settimeout(None)
        return sock

    def take_back(self) -> None:
        set_blocking(self.fd, False)  # which both descriptors share

    def interrupt(self) -> None:
        self._shut_down(_socket.SHUT_RDWR)

    def abort(self) -> None:
        # What takes its place is at its end already, and keeps the number from being used again.
        self.break_off()
        end, other = _socket.socketpair()
        other.close()
        os.dup2(end.fileno(), self.fd, inheritable=False)
        end.close()

    def shutdown_write(self) -> None:
        self._shut_down(_socket.SHUT_WR)

    def _shut_down(self, how: int) -> None:
        try:
            with Borrowed(fileno=self.fd) as sock:
                sock.shutdown(how)
        except (OSError, ValueError):
            pass  # it is not connected any more, or closed

    def break_off(self) -> None:
        try:
            with Borrowed(fileno=self.fd) as sock:
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET_ON_CLOSE)
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        fd, self.fd = self.fd, -1  # the number may soon be another's
        if fd < 0:
            return
        if fd in self._ends.watched:
            self._ends.forget(fd)
        self.read = self.write = closed
        try:
            close(fd)
        except OSError:
            pass  # what could not be sent is lost, and the descriptor is free
