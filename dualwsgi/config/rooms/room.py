"""What every room of settings is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Room"]


@dataclass(frozen=True, kw_only=True)
class Room:
    """Settings that stand under one heading; Config is all rooms together."""

    __slots__ = ()
    heading: ClassVar[str]
