"""A connection whose every request has a deadline: what `request_timeout` makes of a Connection.

Connections of servers without it pay nothing for it.
"""

from __future__ import annotations

from ..seam import Turn, Verdict
from .connection import Connection


class TimedConnection(Connection):
    """See Connection."""

    __slots__ = ()

    def run(self, turn: Turn) -> Verdict:
        """Calls the application within the request's deadline, which counts from when the request came."""
        if self._environ is None:  # no call, but the tail of a response
            return super().run(turn)
        self.deadline.arm(self.since + self.site.config.request_timeout)
        return super().run(turn)
