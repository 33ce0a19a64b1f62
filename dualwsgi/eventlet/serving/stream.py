"""A Stream over a socket object, by its own methods, as eventlet's server uses its connections.

The socket waits (blocking, or cooperatively) for as long as its own timeout says; programs replace
its methods, and those of the file that it makes.  So what the driver takes for "would block" is here
a timeout that has passed: the wait that follows it ends at once.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from ...errors import DeadlineExceeded
from ...seam import Verdict

RESET: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ESHUTDOWN, errno.ENOTCONN})
LINGER_OCTETS: Final = 65536
"""What is read and dropped at most of a client that goes on sending after its last answer."""
LINGER_TIME: Final = 0.5
"""Seconds."""


class SocketStream:
    """See dualwsgi.seam.Stream.  `file` is what the head is read from, and may hold octets of the body.

    `sent` counts what went out; `timed_out` and `failure` tell how reading or writing has ended.
    """

    lookahead = False
    rest = Verdict.WANT_READ
    has_socket = False
    is_greeted = False

    def __init__(self, sock: Any, file: Any, peer_environ: dict[str, str]) -> None:
        self._sock = sock
        self.file = file
        self.fd: int = sock.fileno()
        self.peer_environ = peer_environ
        self.sent = 0
        self.timed_out = False
        self.failure: OSError | None = None
        self.linger_time = LINGER_TIME  # seconds; 0: only what has come in already is read
        self._lingers_until = 0.0
        self._dropped = 0
        # read1 gives what is there; an unbuffered file has none, but its read() does the same.
        self._read: Callable[[int], bytes | None] = getattr(file, "read1", None) or file.read

    def read(self, size: int) -> bytes:
        """As os.read, but for the kind of its errors; after shutdown_write() only what lingering allows."""
        if self._lingers_until:
            return self._linger(size)
        try:
            data = self._read(size)
        except OSError as error:
            raise self.failed(error) from None
        except ValueError as error:  # the file was closed under us
            raise self.failed(OSError(errno.EBADF, str(error))) from None
        if data is None:
            raise BlockingIOError
        return data

    def write(self, data: bytes | memoryview) -> int:
        try:
            sent: int = self._sock.send(data)
        except OSError as error:
            raise self.failed(error) from None
        self.sent += sent
        return sent

    def writev(self, buffers: Sequence[bytes | memoryview]) -> int:
        total = 0
        for buffer in buffers:
            if buffer:
                sent = self.write(buffer)
                total += sent
                if sent < len(buffer):
                    break
        return total

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        raise NotImplementedError

    def failed(self, error: OSError) -> OSError:
        """Notes how a read or write has ended; what to raise of it."""
        self.failure = error
        if isinstance(error, TimeoutError):
            self.timed_out = True
            return BlockingIOError()
        return error

    @property
    def was_reset(self) -> bool:
        """Whether the peer has ended the connection while it was used."""
        return (
            self.failure is not None
            and not isinstance(self.failure, ssl.SSLError)
            and self.failure.errno in RESET
        )

    def handshake(self) -> Verdict:
        return Verdict.RUN

    def wait_readable(self, timeout: float) -> None:
        raise DeadlineExceeded("the client has sent nothing for as long as its socket's timeout")

    def wait_writable(self, timeout: float) -> None:
        raise DeadlineExceeded("the client has taken nothing for as long as its socket's timeout")

    def unread(self, data: bytes) -> None:
        """The next read gives `data` first."""
        self.file.put_back(data)

    # The end

    def _linger(self, size: int) -> bytes:
        left = self._lingers_until - monotonic() if self.linger_time else 0.0
        if left < 0 or self._dropped >= LINGER_OCTETS:
            return b""
        try:
            self._sock.settimeout(left)
            data: bytes = self._sock.recv(size)
        except (OSError, ValueError):
            return b""
        self._dropped += len(data)
        return data

    def hand_over(self) -> Any:
        raise NotImplementedError  # eventlet's applications have eventlet.input.get_socket()

    take_back = hand_over

    def interrupt(self) -> None:
        shut_down(self._sock)

    def abort(self) -> None:
        shut_down(self._sock)

    def peer_ended(self, timeout: float) -> bool:
        return self._told_of(select.POLLRDHUP, timeout)

    def is_broken(self) -> bool:
        return self._told_of(0, 0.0)

    def _told_of(self, events: int, timeout: float) -> bool:
        poll = select.poll()  # as patching has it
        poll.register(self.fd, events)
        return bool(poll.poll(timeout * 1000))

    def watch_end(self, callback: Callable[[], object]) -> None:
        def watch() -> None:
            while self._sock.fileno() >= 0:
                if self.peer_ended(1.0):
                    callback()
                    break

        threading.Thread(target=watch, name="dualwsgi-callback", daemon=True).start()

    def unsent(self) -> int:
        return 0

    def shutdown_write(self) -> None:
        self._lingers_until = monotonic() + self.linger_time
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def break_off(self) -> None:
        """The close is what it is: an application that dup()s its socket would have it reset, too."""

    def close(self) -> None:
        """It is its owner's to close."""


def shut_down(sock: Any) -> None:
    """shutdown(SHUT_RDWR), which ends every wait on it; a socket that is not connected is left alone."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.EBADF, errno.ENOTSOCK, errno.EINVAL):
            raise
