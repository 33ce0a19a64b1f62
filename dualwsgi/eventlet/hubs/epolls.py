"""eventlet.hubs.epolls: not there; for programs that ask."""

from __future__ import annotations

from typing import Any

from ._other import other_hub

__all__ = ["Hub", "is_available"]

Hub: Any = other_hub("epolls")


def is_available() -> bool:
    return False
