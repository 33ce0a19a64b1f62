"""What an application returned to be iterated over: its code runs there, and somebody stands round it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Self

from .input import FileWrapper

__all__ = ["Steps", "goes_on"]

_WHOLE: Final = frozenset({list, tuple, FileWrapper})
"""What is sent by shorter ways, and does no work while it is."""


def goes_on(result: Iterable[bytes]) -> bool:
    """Whether an application that has returned this works on while it is sent."""
    return type(result) not in _WHOLE and (isinstance(result, Iterator) or not hasattr(result, "__len__"))


class Steps(ABC):
    """The same iterable.  How a step of it is taken is the subclass's to say."""

    __slots__ = ("_next", "_result")

    def __init__(self, result: Iterable[bytes]) -> None:
        self._result = result

    def __iter__(self) -> Self:
        self._next = self._step(self._result.__iter__).__next__
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._step(self._next)
        return piece

    def close(self) -> None:
        """PEP 3333."""
        close = getattr(self._result, "close", None)
        if close is not None:
            self._close(close)

    @abstractmethod
    def _step(self, act: Callable[[], Any]) -> Any:
        """Has the application do it."""

    @abstractmethod
    def _close(self, act: Callable[[], Any]) -> Any:
        """Has the application let go of what it holds."""
