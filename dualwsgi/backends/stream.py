"""A connection's octets on a socket that never blocks: what both backends share of a Stream.

It works on the C socket and on `posix`, below the modules that a green backend patches.  A backend
adds the two waits, and nothing else.
"""

from __future__ import annotations

import _socket
import errno
import os
import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial
from posix import read, sendfile, write, writev

from ..seam import Verdict
from .ends import Ends

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SocketStream:
    """A stream socket; see dualwsgi.seam.Stream.  Takes the socket over and makes it non-blocking.

    `ends` is its backend's.
    """

    __slots__ = ("_ends", "_sock", "fd", "peer_environ", "read", "write")

    lookahead = False

    def __init__(self, ends: Ends, sock: _socket.socket, peer_environ: dict[str, str]) -> None:
        sock.setblocking(False)
        self._ends = ends
        self._sock = sock
        self.peer_environ = peer_environ
        self.fd = fd = sock.fileno()
        # posix and not the socket's methods: they take their arguments in half the time.
        self.read = partial(read, fd)
        self.write = partial(write, fd)

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

    def interrupt(self) -> None:
        try:
            self._sock.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # it is not connected any more

    def abort(self) -> None:
        # What takes its place is at its end already, and keeps the number from being used again.
        self.break_off()
        end, other = _socket.socketpair()
        other.close()
        os.dup2(end.fileno(), self.fd, inheritable=False)
        end.close()

    def shutdown_write(self) -> None:
        try:
            self._sock.shutdown(_socket.SHUT_WR)
        except OSError:
            pass

    def break_off(self) -> None:
        try:
            self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET_ON_CLOSE)
        except OSError:
            pass

    def close(self) -> None:
        if self.fd in self._ends.watched:
            self._ends.forget(self.fd)
        self._sock.close()
