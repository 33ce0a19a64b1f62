"""How long a request may wait for a call: up to its bound, or adaptively, by the delay that is measured.

A queue that empties now and then takes up bursts, which is what it is for.  One that does not empty
only makes everybody wait, and the longer it is, the more of what is answered nobody waits for any
more.  So, as CoDel does for packets (RFC 8289), a queue that has stood for a while is held to a target
delay: who has waited longer when his turn comes is refused, so that those who are served are served
quickly.
"""

from __future__ import annotations

from typing import Final

STANDING: Final = 0.1
"""Seconds without an empty queue after which it is not a burst."""


class Patience:
    """`timeout` (seconds) is what a request may wait at most,
    `target` in a queue that stands, 0 for the same.
    """

    __slots__ = ("_since", "_target", "timeout")

    def __init__(self, timeout: float, target: float) -> None:
        self.timeout = timeout
        self._target = min(target or timeout, timeout)
        self._since = 0.0

    def begins(self, now: float) -> None:
        """A request begins to wait where none did."""
        self._since = now

    def limit(self, now: float) -> float:
        """Seconds that a request may have waited when its turn comes."""
        return self._target if now - self._since > STANDING else self.timeout
