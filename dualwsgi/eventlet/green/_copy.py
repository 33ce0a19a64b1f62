"""Filling a module with the names of another, under its own."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def fill(names: dict[str, Any], module: ModuleType) -> None:
    """All names of `module`, public or not, but those that a module has of itself."""
    for name, value in vars(module).items():
        if not (name.startswith("__") and name.endswith("__")):
            names.setdefault(name, value)
    if "__all__" in vars(module):
        names.setdefault("__all__", list(module.__all__))
