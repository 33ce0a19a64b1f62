"""Whether a server lives, and whether it wants requests: for those who ask at either place.

    live    always, since whoever answers has come round; what it says is which process that was
    ready   it has begun, is not on its way out, and has turned nobody away for lack of a call just now

The address of --metrics-bind and the paths on the main listeners say the same.  Knows no HTTP beyond
the status.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .observe.subject import Subject

__all__ = ["Health"]

OVERLOADED: Final = 2.0
"""Seconds after an answer of 503 for which the server counts as overloaded."""

OK: Final = "200 OK"
UNAVAILABLE: Final = "503 Service Unavailable"


class Health:
    """Each check returns a status and a line of text; any thread may ask, and nothing waits."""

    def __init__(self, server: Subject) -> None:
        self._server = server

    def live(self) -> tuple[str, str]:
        return OK, f"process {os.getpid()} lives\n"

    def ready(self) -> tuple[str, str]:
        server = self._server
        if server.draining:
            return UNAVAILABLE, "draining\n"
        if not server.started:
            return UNAVAILABLE, "starting\n"
        if monotonic() - server.last_refusal < OVERLOADED:
            return UNAVAILABLE, "overloaded\n"
        return OK, "ready\n"
