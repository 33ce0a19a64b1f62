"""A Stream whose waits block the calling thread."""

from __future__ import annotations

import _socket
import os
import select
import struct
from typing import TYPE_CHECKING

from ...errors import DeadlineExceeded
from ..stream import Borrowed, SocketStream

if TYPE_CHECKING:
    from socket import socket


class ThreadStream(SocketStream):
    """See dualwsgi.seam.Stream."""

    __slots__ = ()

    def allow_waits(self, seconds: float) -> None:
        """From now on reads and writes wait, up to so many seconds, before they raise BlockingIOError."""
        timeval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
        with Borrowed(fileno=self.fd) as sock:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, timeval)
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, timeval)
        os.set_blocking(self.fd, True)

    def forbid_waits(self) -> None:
        """Takes allow_waits() back."""
        os.set_blocking(self.fd, False)

    def hand_over(self) -> socket:
        self.allow_waits(0.0)  # zero is no limit: one of an earlier allow_waits() would hold on
        return super().hand_over()

    def wait_readable(self, timeout: float) -> None:
        self._wait(select.POLLIN, timeout)

    def wait_writable(self, timeout: float) -> None:
        self._wait(select.POLLOUT, timeout)

    def peer_ended(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self.fd, select.POLLRDHUP)
        return bool(poll.poll(timeout * 1000))

    def is_broken(self) -> bool:
        poll = select.poll()
        poll.register(self.fd, 0)  # errors and the end of both sides are always told
        return bool(poll.poll(0))

    def _wait(self, events: int, timeout: float) -> None:
        poll = select.poll()
        poll.register(self.fd, events)
        if not poll.poll(timeout * 1000):
            raise DeadlineExceeded("the peer did not keep its deadline")
