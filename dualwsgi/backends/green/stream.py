"""A Stream whose waits switch to the hub."""

from __future__ import annotations

import _socket
from typing import Final

from ...errors import DeadlineExceeded
from ...green import Hub, Waiter
from ..stream import SocketStream


class GreenStream(SocketStream):
    """See dualwsgi.seam.Stream.  `waiters` is its backend's, which gets the events of the descriptor."""

    __slots__ = ("_hub", "_waiters")

    def __init__(
        self, hub: Hub, waiters: dict[int, Waiter], sock: _socket.socket, peer_environ: dict[str, str]
    ) -> None:
        super().__init__(sock, peer_environ)
        self._hub: Final = hub
        self._waiters: Final = waiters

    def _wait(self, timeout: float) -> None:
        # Any event ends it: whoever waited tries again, and waits again if that was not his.
        self._waiters[self.fd] = waiter = Waiter(self._hub)
        try:
            if not waiter.wait(timeout):
                raise DeadlineExceeded("the peer did not keep its deadline")
        finally:
            del self._waiters[self.fd]

    wait_readable = _wait
    wait_writable = _wait
