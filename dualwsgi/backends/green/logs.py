"""What a hub says to the log, said by a greenlet.

A log handler may have to wait: for its lock, which another thread or greenlet holds, or for the
network, if it sends what it is told.  The hub's greenlet must not wait, and where it logs it is in
the middle of serving a connection, which an error there would leave without its answer.
"""

from __future__ import annotations

import logging

import greenlet

from ... import green

__all__ = ["hand_over"]


def hand_over(logger: logging.Logger) -> None:
    """Has records that are logged in a hub's greenlet given to the handlers in a pooled one."""
    # Not a Filter, which would have to send the record past all other filters once more.
    logger.callHandlers = _call_handlers.__get__(logger)  # type: ignore[method-assign]


def _call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
    hub = green.current_hub()
    if hub is not None and greenlet.getcurrent() is hub.greenlet:
        hub.lend(type(self).callHandlers, self, record)
    else:
        type(self).callHandlers(self, record)
