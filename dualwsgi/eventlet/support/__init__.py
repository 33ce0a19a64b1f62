"""eventlet.support: small things that programs import from there."""

from __future__ import annotations

from typing import Any

from . import greenlets

__all__ = ["bytes_to_str", "clear_sys_exc_info", "get_errno", "greenlets"]


def get_errno(exc: BaseException) -> Any:
    """The number of an error of the operating system, None if it has none."""
    number = getattr(exc, "errno", None)
    if number is not None:
        return number
    return exc.args[0] if exc.args else None


def bytes_to_str(b: bytes, encoding: str = "ascii") -> str:
    return b.decode(encoding)


def clear_sys_exc_info() -> None:
    """Python 3 clears it by itself."""
