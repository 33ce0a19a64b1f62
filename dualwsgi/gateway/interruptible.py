"""An application that another thread may interrupt by RequestTimeout: in its code, not in the driver's.

An exception from outside comes between any two steps.  In the driver it would leave a count or a lock as no
handler expects it, so a thread's Guard (see dualwsgi.seam) is entered for the application's call and for each
step of what that returned, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..seam import Guard
from .deadline import Deadline
from .steps import Steps, goes_on

__all__ = ["Interruptible"]


class Interruptible:
    """See above.  On a backend without guards it is the application and no more."""

    __slots__ = ("_app",)

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        guard: Guard | None = environ["dualwsgi.send_interim"].__self__.turn.guard
        if guard is None:
            return self._app(environ, start_response)
        deadline: Deadline = environ["dualwsgi.deadline"]  # of this request, whatever becomes of environ
        guard.enter()
        try:
            result = self._app(environ, start_response)
        finally:
            guard.leave()
        return _Steps(result, guard, deadline) if goes_on(result) else result


class _Steps(Steps):
    """What an application returned to be iterated over."""

    __slots__ = ("_deadline", "_guard")

    def __init__(self, result: Iterable[bytes], guard: Guard, deadline: Deadline) -> None:
        super().__init__(result)
        self._guard = guard
        self._deadline = deadline

    def __next__(self) -> bytes:
        self._deadline.check_ended()  # who has ended it between two steps has interrupted nobody
        return super().__next__()

    def _step(self, act: Callable[[], Any]) -> Any:
        guard = self._guard
        guard.enter()
        try:
            return act()
        finally:
            guard.leave()

    def _close(self, act: Callable[[], Any]) -> Any:
        return act()  # not to be interrupted
