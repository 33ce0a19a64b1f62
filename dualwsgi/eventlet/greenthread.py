"""eventlet.greenthread: running functions in greenlets, or in threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .ground import ground
from .timeout import with_timeout

__all__ = [
    "GreenThread",
    "cancel",
    "exc_after",
    "getcurrent",
    "kill",
    "sleep",
    "spawn",
    "spawn_after",
    "spawn_after_local",
    "spawn_n",
    "with_timeout",
]

GreenThread: Any = ground.GreenThread
greenlet: Any = ground.greenlet
getcurrent: Callable[[], Any] = ground.getcurrent
sleep: Callable[..., None] = ground.sleep
spawn: Callable[..., Any] = ground.spawn
spawn_n: Callable[..., Any] = ground.spawn_n
spawn_after: Callable[..., Any] = ground.spawn_after
spawn_after_local: Callable[..., Any] = ground.spawn_after_local
kill: Callable[..., None] = ground.kill
cancel: Callable[..., None] = ground.cancel


def exc_after(seconds: float, *throw: Any) -> Any:
    """Raises an exception in the caller when `seconds` have passed; an old name of Timeout."""
    return ground.Timeout(seconds, throw[0] if throw else None)
