"""Accepting connections at a door, and what to do when the machine has no room for another."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from posix import close
from typing import Any, Final

from ..seam import Door, Parked, Stream, Turn

try:
    import resource  # now: without descriptors nothing can be imported
except ImportError:  # not every system has it
    HAS_LIMITS = False
else:
    HAS_LIMITS = True

logger = logging.getLogger("dualwsgi")

ACCEPTS_A_TURN: Final = 64

YIELD_REST: Final = 0.001
"""Seconds that a listener rests so that another process may accept there."""

ACCEPT_REST: Final = 0.1
"""Seconds that a listener rests when there are no descriptors or memory for another connection."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


class Acceptor:
    """One door, as a lane or hub uses it.

    `resting_until` is a time (monotonic seconds) before which the listener must not be polled, since
    it would be reported for ever; 0.0 if it need not rest.
    """

    __slots__ = ("_complained", "_make_stream", "door", "fd", "resting_until")

    def __init__(self, door: Door, make_stream: Callable[[int, dict[str, Any]], Stream]) -> None:
        self.door = door
        self.fd = door.sock.fileno()
        self.resting_until = 0.0
        self._make_stream = make_stream
        self._complained = -1.0

    def accept(self, turn: Turn, load: int) -> Iterator[Parked]:
        """The connections that wait, up to a turn's worth; none, and a rest, if there is no room.

        `load`: how many connections there are already; -1 to take what comes, however many.
        """
        door = self.door
        listener: Any = door.sock
        most = ACCEPTS_A_TURN
        if door.share is not None and load >= 0:
            most = door.share.room(load, most)
            if not most:
                self.resting_until = turn.now + YIELD_REST
                return
        for _ in range(most):
            try:
                number, address = listener._accept()  # accept() minus a layer
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._rest(error, turn)
                    return
                continue  # this client was gone before it was accepted
            turn.counters.connections += 1
            try:
                conn = door.welcome(self._make_stream(number, door.peer_environ(number, address)), turn)
            except BaseException as error:
                close(number)
                if isinstance(error, OSError):
                    continue  # gone again
                raise
            yield conn

    def _rest(self, error: OSError, turn: Turn) -> None:
        self.resting_until = turn.now + ACCEPT_REST
        if turn.now - self._complained >= 1.0:
            self._complained = turn.now
            logger.error(
                "cannot accept connections: %s%s; trying again in %g s",
                error.strerror,
                _limit() if error.errno == errno.EMFILE else "",
                ACCEPT_REST,
            )


def _limit() -> str:
    if not HAS_LIMITS:
        return ""
    number, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f" (the limit is {number}: raise it by `ulimit -n`, or LimitNOFILE= of the unit)"
