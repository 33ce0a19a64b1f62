"""What a process of the fleet is told when it starts, and what it says by its exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..config import Config

__all__ = ["EXIT_LOAD", "Job"]

EXIT_LOAD: Final = 3
"""The exit code of a process whose application cannot be loaded or whose settings cannot work."""


@dataclass(frozen=True, slots=True)
class Job:
    """One generation's work for one process.

    `listeners` are pairs of an address, as text, and the descriptor that listens there; `shares` is
    the descriptor of what workers know of each other, and `slot` this one's place in it; `core` is
    the processor to stay on (-1: any); `lineage` names the supervisor and those that it has followed.
    """

    role: Literal["worker", "nursery"]
    target: str
    app_dir: str
    config: Config
    listeners: tuple[tuple[str, int], ...]
    shares: int
    place: int
    core: int
    slot: int
    lineage: str = ""
