"""A Stream whose waits switch to the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...errors import DeadlineExceeded
from ...green import RDHUP, Hub, Waiter, current_hub, originals
from ..ends import Ends
from ..stream import SocketStream

if TYPE_CHECKING:
    from socket import socket


class GreenStream(SocketStream):
    """See dualwsgi.seam.Stream.  `waiters` is its backend's, which gets the events of the descriptor."""

    __slots__ = ("_hub", "_waiters")

    def __init__(
        self,
        hub: Hub,
        waiters: dict[int, Waiter],
        ends: Ends,
        fd: int,
        peer_environ: dict[str, Any],
    ) -> None:
        super().__init__(ends, fd, peer_environ)
        self._hub: Final = hub
        self._waiters: Final = waiters

    def hand_over(self) -> socket:
        from ...green.socket import GreenSocket  # late: few applications want one

        return self._blocking(GreenSocket)

    def _wait(self, timeout: float) -> None:
        # Any event ends it: whoever waited tries again, and waits again if that was not his.
        self._waiters[self.fd] = waiter = Waiter(self._hub)
        try:
            if not waiter.wait(timeout):
                raise DeadlineExceeded("the peer did not keep its deadline")
        finally:
            del self._waiters[self.fd]

    def peer_ended(self, timeout: float) -> bool:
        if self._poll(RDHUP):
            return True
        if timeout <= 0:
            return False
        if current_hub() is not self._hub:
            return self._poll(RDHUP, timeout)  # a real thread, which may block
        waiter = Waiter(self._hub)
        wake = waiter.wake
        self._ends.watch(self.fd, wake)
        try:
            return waiter.wait(timeout)
        finally:
            self._ends.unwatch(self.fd, wake)

    def is_broken(self) -> bool:
        return self._poll(0)

    def _poll(self, events: int, timeout: float = 0.0) -> bool:
        assert originals.native_poll is not None
        poll = originals.native_poll()
        poll.register(self.fd, events)
        return bool(poll.poll(timeout * 1000))

    wait_readable = _wait
    wait_writable = _wait
