"""The connections of a lane that wait for their clients, and the one epoll that watches all there are.

Ownership.  A connection in `parked` is the leader's, and there is one leader.  Handing it over
takes it out of `parked` first; from then on it is the follower's alone, until the follower puts
it back as the last thing it does with it.  A follower may close it instead.

Events.  Descriptors are registered once, edge-triggered, for reading and writing, and never
touched again until close() drops them from the set, but by a follower that stays.  So nobody changes
the set for a request, a busy connection cannot spin, and an event costs at worst a read that finds
nothing: events are hints, and no verdict is drawn from their bits, but that one without the bit for
reading is left alone where only octets are waited for.  That also disarms reuse: an old event for a
number that is a new connection by now makes one read more.  Only of an end the connection is told,
since one that came together with octets makes no edge of its own: it reads once more than it would.

Lost edges.  An event for a descriptor that is not parked (a follower has it) is noted in
`_missed`, and `parked` is looked at again; a follower puts the connection into `parked`, and
looks at `_missed` after.  Whatever the order, one of the two sees the other, and takes the note.
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque
from typing import Final

from ...seam import Parked

__all__ = ["READY", "WRITABLE", "Parking"]

logger = logging.getLogger("dualwsgi")

EVENTS_A_POLL: Final = 256

EDGES: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

WRITABLE: Final = select.EPOLLOUT
READY: Final = select.EPOLLIN | WRITABLE
"""What most events tell.  One that is more than these two tells of an end."""


class Parking:
    """The leader polls, and serves what is `parked`, by descriptor; a follower puts back what it has served.

    `again` is what stands for events that do not come (again): descriptors and events.
    """

    def __init__(self) -> None:
        self.parked: dict[int, Parked] = {}
        self.again: deque[tuple[int, int]] = deque()
        self._missed: dict[int, int] = {}  # events by descriptor
        self._epoll = select.epoll()
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._alarm, select.EPOLLIN | select.EPOLLET)

    # The leader

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        """Waits for the next batch of events, for ring(), or so many seconds; -1: for ever."""
        batch = self._epoll.poll(timeout, EVENTS_A_POLL)
        return self._with_again(batch) if self.again else batch

    def _with_again(self, batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The kernel's events, and what stands for others; each descriptor once, as no second one may come to
        a connection whose request was read, and whose response is not sent."""
        found = dict(batch)
        while self.again:
            fd, events = self.again.popleft()
            found[fd] = found.get(fd, 0) | events | READY
        return list(found.items())

    def take_in(self, conn: Parked) -> bool:
        """Parks a new one; False if it is to be closed."""
        self._missed.pop(conn.fd, None)
        self.parked[conn.fd] = conn
        # Being writable, it has its first event at once, and by then often its request.
        return self.watch(conn)

    def miss(self, fd: int, events: int) -> None:
        """An event for a descriptor that was not parked when it came."""
        if fd == self._alarm:
            return  # it has woken the leader, which is all that it is for
        self._missed[fd] = self._missed.get(fd, 0) | events
        if fd in self.parked:
            self._recall(fd)

    # Followers

    def put_back(self, conn: Parked, *, again: bool) -> None:
        """Parks one, which must not be touched after; `again`: it can go on without an event."""
        fd = conn.fd
        self.parked[fd] = conn
        if again:
            self.again.append((fd, 0))
        if self._recall(fd) or again:
            self.ring()

    def _recall(self, fd: int) -> bool:
        """Has a parked connection told of the events that it has missed; whether there were any."""
        events = self._missed.pop(fd, None)
        if events is None:
            return False
        self.again.append((fd, events))
        return True

    # The set

    def watch(self, conn: Parked) -> bool:
        """Puts one into the set, where what has come in is an edge; False if it is to be closed."""
        try:
            self._epoll.register(conn.fd, EDGES)
        except OSError as error:  # the system bounds what may be watched, too
            logger.error("a connection cannot be watched and is closed: %s", error.strerror)
            return False
        return True

    def unwatch(self, conn: Parked) -> None:
        """Takes it out, for a follower that stays with it."""
        self._epoll.unregister(conn.fd)

    def add(self, fd: int) -> None:
        """A descriptor that is no connection's, and told of as long as it is readable."""
        self._epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Takes add() back.  Raises OSError if it has been closed."""
        self._epoll.unregister(fd)

    def ring(self) -> None:
        """Wakes the leader.  Each write is an edge, so nobody has to read the alarm."""
        if not self._epoll.closed:
            os.eventfd_write(self._alarm, 1)

    def close(self) -> None:
        """Nobody polls any more; whoever rings is not heard."""
        self._epoll.close()
        os.close(self._alarm)
