"""What every room of settings is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Room"]


# Nobody makes a room, only all of them together: methods of its own would be made for nothing at each start.
@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Room:
    """Settings that stand under one heading; Config is all rooms together."""

    __slots__ = ()
    heading: ClassVar[str]
