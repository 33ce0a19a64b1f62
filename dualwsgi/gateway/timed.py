"""A connection whose every request has a deadline: what `request_timeout` makes of a Connection.

Connections of servers without it pay nothing for it.
"""

from __future__ import annotations

from ..errors import RequestTimeout
from ..seam import Turn, Verdict
from . import overtime
from .connection import Connection


class TimedConnection(Connection):
    """See Connection."""

    __slots__ = ()

    def run(self, turn: Turn) -> Verdict:
        """Calls the application within the request's deadline, which counts from when the request came."""
        if self._environ is None:  # no call, but the tail of a response
            return super().run(turn)
        self.deadline.arm(self.since + self.site.config.request_timeout)
        guard = turn.guard
        if guard is None:
            return super().run(turn)
        try:
            guard.enter()
            try:
                return super().run(turn)
            finally:
                guard.leave()
        except RequestTimeout:  # it came when the application was at its end
            return overtime.end_unheld(self, turn)
