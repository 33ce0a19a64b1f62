"""eventlet.timeout: an exception that raises itself when its time is up.

On threads it can only do so where its thread waits in here (see dualwsgi.eventlet.ground.threads).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .ground import ground

__all__ = ["Timeout", "is_timeout", "with_timeout", "wrap_is_timeout"]

Timeout: Any = ground.Timeout
_MISSING: Any = object()


def with_timeout(seconds: float | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs) within `seconds`; else `timeout_value`, if given, or raises Timeout."""
    value = kwargs.pop("timeout_value", _MISSING)
    timeout = Timeout(seconds)
    try:
        try:
            return function(*args, **kwargs)
        except Timeout as error:
            if error is timeout and value is not _MISSING:
                return value
            raise
    finally:
        ground.end_timeout(timeout)


def wrap_is_timeout(base: Any) -> Any:
    """Gives an exception class, or exceptions, the attribute is_timeout."""
    if isinstance(base, type):
        base.is_timeout = property(lambda _: True)  # type: ignore[attr-defined]
        return base

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        error = base(*args, **kwargs)
        error.is_timeout = True
        return error

    return wrapped


def is_timeout(obj: Any) -> bool:
    """Whether an exception is a timeout, of whatever make."""
    return bool(getattr(obj, "is_timeout", False)) or isinstance(obj, TimeoutError)
