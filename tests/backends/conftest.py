"""A World for each test, which must leave no thread and no descriptor behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wire import eventually

from .world import World, descriptors


@pytest.fixture
def world() -> Iterator[Callable[..., World]]:
    """world(verb=act, ...): made once a test."""
    made: list[World] = []
    before, files = set(threading.enumerate()), descriptors()

    def make(**acts: Any) -> World:
        made.append(World(**acts))
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.check()
    eventually(lambda: not set(threading.enumerate()) - before)
    eventually(lambda: not descriptors() - files or None) if descriptors() - files else None
