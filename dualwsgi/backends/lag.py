"""How late a loop's own chores come: that tells that something holds it.  It notes it, anybody reads it."""

from __future__ import annotations

from typing import Final

__all__ = ["Lag"]

LIFE: Final = 5.0
"""Seconds for which a delay is told that was longer than those after it: eyes and scrapes come seldom."""


class Lag:
    """Times in monotonic seconds."""

    __slots__ = ("_at", "_due", "_late")

    def __init__(self) -> None:
        self._due = 0.0
        self._late = self._at = 0.0  # the delay that is told, and since when

    def came(self, now: float) -> None:
        """The chores are done now."""
        late = now - self._due if self._due else 0.0
        if late >= self._late or now - self._at > LIFE:
            self._late, self._at = late, now

    def expect(self, due: float) -> None:
        """They are due then; 0.0 if nobody expects them, since there is no work."""
        self._due = due

    def seconds(self, now: float) -> float:
        """The present delay, or one of late."""
        due = self._due
        present = now - due if due else 0.0
        return max(0.0, present, self._late if now - self._at <= LIFE else 0.0)
