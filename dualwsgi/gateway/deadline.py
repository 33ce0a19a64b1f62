"""The deadline of a request: when it must be answered, and who may still answer it.

Two may: the call, in its own time, and whoever looks after calls (the sweep), once the time is over;
on threads at the same moment.  Two tokens in lists settle it, since list.pop is one step for the
interpreter and only one can win it:

  - who takes `_end` says how the request ends.  The call takes it when its response is made; then the
    sweep can do nothing any more.  If the sweep has it, whatever the call still makes is dropped;
  - who takes `_start` sends the head of the final response.  So the sweep, having `_end`, either
    answers 504 itself or finds that the head is out, and cuts.

A request without a deadline has no tokens, and costs a comparison where it takes the long way, and
nothing where it takes the short one: a connection's `_write` is changed while there is a deadline.
"""

from __future__ import annotations

from math import inf
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from ..errors import RequestTimeout

if TYPE_CHECKING:
    from .connection import Connection

_NEVER: Final = 1e300
"""An `at` that does not come, of a request whose tokens are out."""

_NONE: Final[list[bool]] = []
"""No token, for all that have no deadline."""


class Deadline:
    """environ["dualwsgi.deadline"]: when the request must be answered.

    It belongs to the connection and speaks of its present request; use it during the call only.
    `at` is that time in seconds of time.monotonic(), infinite or far away for none.
    """

    __slots__ = ("_conn", "_end", "_start", "at", "settled")

    def __init__(self, conn: Connection) -> None:
        self._conn: Connection | None = conn
        self.at = inf
        self._start = self._end = _NONE
        self.settled = True  # the sweep is not at work on the connection

    # For the application

    def remaining(self) -> float:
        """Seconds that are left, 0.0 if none is, infinite without a deadline."""
        return max(0.0, self.at - monotonic()) if self.at < _NEVER else inf

    def set(self, seconds: float | None) -> None:
        """The request must be answered so many seconds from now; None: it need not be.

        Raises ValueError unless `seconds` is positive.
        """
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a deadline of {seconds!r} seconds; give a positive number, or None for none")
        if self.at != inf:
            self.at = _NEVER if seconds is None else monotonic() + seconds
        elif seconds is not None and self._conn is not None:
            self.arm(monotonic() + seconds)

    # For the connection

    def arm(self, at: float) -> None:
        """The present request has a deadline from now on, in monotonic seconds."""
        conn = self._conn
        if conn is not None:
            self.at = at
            self._start = [] if conn._head_out else [True]
            self._end = [True]
            self.settled = False
            conn.write_in_time()

    def begin(self) -> None:
        """The response begins.  Raises RequestTimeout if it must not."""
        if self.at != inf:
            try:
                self._start.pop()
            except IndexError:
                raise RequestTimeout("the deadline of the request has passed") from None

    def finish(self) -> bool:
        """The response is made; False if the sweep has ended it before."""
        if self.at == inf:
            return True
        try:
            self._end.pop()
        except IndexError:
            return False
        self.at = inf
        if self._conn is not None:
            self._conn.write_any_time()
        return True

    def mark(self) -> list[bool]:
        """What stands for the present request, and is empty once its response is made."""
        if self.at == inf:
            self.arm(_NEVER)
        return self._end

    def check(self) -> None:
        """Raises RequestTimeout once the deadline has passed."""
        if monotonic() >= self.at:
            raise RequestTimeout("the deadline of the request has passed")

    def check_ended(self) -> None:
        """Raises RequestTimeout if the sweep has ended the request, and taken its connection for that.

        What the call then reads or writes breaks as if the client had gone.
        """
        if self.at != inf and not self._end:
            raise RequestTimeout("the deadline of the request has passed")

    def drop(self) -> None:
        """The connection is closed."""
        self._conn = None

    # For the sweep

    def is_over(self, now: float) -> bool:
        """Whether the call should have ended, and has not."""
        return now > self.at and bool(self._end)

    def seize(self, now: float) -> bool | None:
        """Ends the request in place of its call, which must not touch the connection until `settled` is set.

        True if it is to be answered, False if its response has begun and must be cut, None if it has
        ended by itself or is in time.
        """
        end, start = self._end, self._start  # those of one request, whatever its call does meanwhile
        if now <= self.at:
            return None
        try:
            end.pop()
        except IndexError:
            return None
        try:
            return start.pop()
        except IndexError:
            return False

    def await_settlement(self) -> None:
        """For a call that finds that the sweep has ended its request: that takes a moment."""
        while not self.settled:
            sleep(0.0005)
