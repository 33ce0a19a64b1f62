"""How many connections each peer address has, so that no one of them takes all there are.

Of IPv6 a whole /64 counts as one address, since that is what one customer gets.  Peers on a unix
socket have none, and are not counted.  The count is that of one process.
"""

from __future__ import annotations

from _socket import AF_INET6, inet_pton
from functools import partial

from ..gateway.connection import Connection
from ..native import native_lock


class Census:
    """Connections by peer address, at most `limit` for each.  Shared by all doors, so by threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[str | bytes, int] = {}
        self._lock = native_lock()  # nothing waits while it is held

    def admit(self, conn: Connection) -> None:
        """Counts a new connection until its end, or has it turned away."""
        address = conn.stream.peer_environ["REMOTE_ADDR"]
        if not address:
            return
        block = _block(address)
        with self._lock:
            count = self._counts.get(block, 0)
            if count < self._limit:
                self._counts[block] = count + 1
        if count < self._limit:
            conn.on_close = partial(self._leave, block)
        else:
            conn.turn_away()

    def _leave(self, block: str | bytes) -> None:
        with self._lock:
            count = self._counts.pop(block) - 1
            if count:
                self._counts[block] = count


def _block(address: str) -> str | bytes:
    if ":" not in address:
        return address
    try:
        return inet_pton(AF_INET6, address.partition("%")[0])[:8]
    except OSError:
        return address
