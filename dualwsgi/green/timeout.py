"""Timeout: an exception that raises itself in the greenlet that made it.

    with Timeout(5):            # raises this Timeout in the block after 5 seconds
        ...
    with Timeout(5, False):     # leaves the block silently instead
        ...
    with Timeout(5, ValueError("slow")):   # raises that
        ...

A BaseException, so that `except Exception` in a library does not swallow it.  They nest: each is its
own object, and `except Timeout as t` can ask `t is mine`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal

from greenlet import getcurrent

from dualwsgi.green.hub import Timer, get_hub

__all__ = ["Timeout", "with_timeout"]

_MISSING: Any = object()


class Timeout(BaseException):
    """Raised in the current greenlet when `seconds` have passed; the clock starts in the constructor.

    `seconds` None never fires.  `exception` is what to raise instead of this object (a class or an
    instance), or False to leave a `with` block silently.  As a context manager it starts again if
    it is not pending, and is cancelled at the end of the block.
    """

    def __init__(
        self,
        seconds: float | None = None,
        exception: BaseException | type[BaseException] | Literal[False] | None = None,
    ) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.exception = exception
        self.timer: Timer | None = None
        self.start()

    def start(self) -> None:
        """Start the clock for the current greenlet.  AssertionError if it runs already."""
        if self.pending:
            raise AssertionError(f"{self!r} has been started already; to restart it, cancel it first")
        if self.seconds is None:
            self.timer = None
            return
        what = self if self.exception is None or self.exception is False else self.exception
        current = getcurrent()
        self.timer = get_hub().call_later(self.seconds, _throw, current, what)

    @property
    def pending(self) -> bool:
        """Whether the clock runs."""
        return self.timer is not None and self.timer.pending

    def cancel(self) -> None:
        """Stop the clock."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def __enter__(self) -> Timeout:
        if not self.pending:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.cancel()
        return error is self and self.exception is False

    def __str__(self) -> str:
        if self.seconds is None:
            return ""
        plural = "" if self.seconds == 1 else "s"
        if self.exception is None:
            return f"{self.seconds} second{plural}"
        if self.exception is False:
            return f"{self.seconds} second{plural} (silent)"
        return f"{self.seconds} second{plural} ({self.exception!r})"

    def __repr__(self) -> str:
        state = " pending" if self.pending else ""
        return f"<Timeout at {id(self):#x} seconds={self.seconds!r} exception={self.exception!r}{state}>"


def _throw(target: Any, what: BaseException | type[BaseException]) -> None:
    if not target.dead:
        target.throw(what)


def with_timeout(
    seconds: float | None, fn: Any, *args: Any, timeout_value: Any = _MISSING, **kwargs: Any
) -> Any:
    """`fn(*args, **kwargs)` within `seconds`; on timeout `timeout_value` if given, else raises Timeout."""
    timeout = Timeout(seconds)
    try:
        return fn(*args, **kwargs)
    except Timeout as error:
        if error is timeout and timeout_value is not _MISSING:
            return timeout_value
        raise
    finally:
        timeout.cancel()
