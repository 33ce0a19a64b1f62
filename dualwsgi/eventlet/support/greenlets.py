"""eventlet.support.greenlets: the class of greenlets, of threads here on threads, and what ends one."""

from __future__ import annotations

from typing import Any

from ..ground import ground

__all__ = ["GreenletExit", "getcurrent", "greenlet"]

GreenletExit: Any = ground.GreenletExit
getcurrent: Any = ground.getcurrent
greenlet: Any = ground.greenlet.greenlet
error: Any = getattr(ground.greenlet, "error", RuntimeError)
