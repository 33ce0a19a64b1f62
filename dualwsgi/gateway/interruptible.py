"""An application that another thread may interrupt by RequestTimeout: in its code, not in the driver's.

An exception from outside comes between any two steps.  In the driver it would leave a count or a lock as no
handler expects it, so a thread's Guard (see dualwsgi.seam) is entered for the application's call and for each
step of what that returned, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ..seam import Guard
from .deadline import Deadline
from .input import FileWrapper

__all__ = ["Interruptible", "goes_on"]

_WHOLE: Final = frozenset({list, tuple, FileWrapper})
"""What is sent by shorter ways, and does no work while it is."""


def goes_on(result: Iterable[bytes]) -> bool:
    """Whether an application that has returned this works on while it is sent."""
    return type(result) not in _WHOLE and (isinstance(result, Iterator) or not hasattr(result, "__len__"))


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


class _Steps:
    """What an application returned to be iterated over."""

    __slots__ = ("_deadline", "_guard", "_next", "_result")

    def __init__(self, result: Iterable[bytes], guard: Guard, deadline: Deadline) -> None:
        self._result = result
        self._guard = guard
        self._deadline = deadline

    def __iter__(self) -> _Steps:
        self._next = self._step(self._result.__iter__).__next__
        return self

    def __next__(self) -> bytes:
        self._deadline.check_ended()  # who has ended it between two steps has interrupted nobody
        piece: bytes = self._step(self._next)
        return piece

    def close(self) -> None:
        # Not to be interrupted: it is how the application lets go of what it holds.
        close = getattr(self._result, "close", None)
        if close is not None:
            close()

    def _step(self, act: Callable[[], Any]) -> Any:
        guard = self._guard
        guard.enter()
        try:
            return act()
        finally:
            guard.leave()
