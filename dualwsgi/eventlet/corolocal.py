"""eventlet.corolocal: attributes that each greenlet, or each thread, sees for itself."""

from __future__ import annotations

from typing import Any

from .ground import ground

__all__ = ["get_ident", "local"]

local: Any = ground.local


def get_ident() -> int:
    """A number that no other living greenlet or thread has."""
    return id(ground.getcurrent())
