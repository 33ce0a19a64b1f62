"""What is said to the log where nobody may wait, said elsewhere.

A log handler may have to wait: for its lock, which another thread or greenlet holds, or for the
network, if it sends what it is told.  Whoever looks after all connections of a backend must not wait for
that, and often logs in the middle of serving one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["hand_over"]

Elsewhere = Callable[..., object]

_backends: list[Callable[[], Elsewhere | None]] = []


def hand_over(logger: logging.Logger, elsewhere: Callable[[], Elsewhere | None]) -> None:
    """Has records given to the handlers where they may wait.

    `elsewhere()` says where that is, for the thread or greenlet that has just logged: what it returns
    calls its first argument with the others, there.  None: the handlers may be called here.
    """
    if elsewhere not in _backends:
        _backends.append(elsewhere)
    # Not a Filter, which would have to send the record past all other filters once more.
    logger.callHandlers = _call_handlers.__get__(logger)  # type: ignore[method-assign]


def _call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
    for elsewhere in _backends:
        call = elsewhere()
        if call is not None:
            call(type(self).callHandlers, self, record)
            return
    type(self).callHandlers(self, record)
