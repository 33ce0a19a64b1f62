"""eventlet.pools: a bounded number of things that are expensive to make."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import queue
from .ground import ground

__all__ = ["Pool", "TokenPool"]


class Pool:
    """Things that are taken, used and given back; get() waits when all are in use.

    They are made by `create`, or by the method of that name of a subclass: `min_size` at the start,
    up to `max_size` as they are asked for.  `order_as_stack`: the last one given back is the next.
    """

    def __init__(
        self,
        min_size: int = 0,
        max_size: int = 4,
        order_as_stack: bool = False,
        create: Callable[[], Any] | None = None,
    ) -> None:
        self.min_size = min_size
        self.max_size = max_size
        self.order_as_stack = order_as_stack
        self.current_size = 0
        self._guard = ground.allocate_lock()
        self.channel = queue.LightQueue(0)
        self.free_items: deque[Any] = deque()
        if create is not None:
            self.create = create  # type: ignore[method-assign]
        for _ in range(min_size):
            self.current_size += 1
            self.free_items.append(self.create())

    def create(self) -> Any:
        """A new thing; to be overridden, unless it was given."""
        raise NotImplementedError("Implement in subclass")

    def get(self) -> Any:
        """A free thing, or a new one; waits if there is neither."""
        with self._guard:
            if self.free_items:
                return self.free_items.popleft()
            makes = self.current_size < self.max_size
            if makes:
                self.current_size += 1
        if not makes:
            return self.channel.get()
        try:
            return self.create()
        except BaseException:
            self.current_size -= 1
            raise

    @contextmanager
    def item(self) -> Iterator[Any]:
        """A thing for the length of a `with` block."""
        found = self.get()
        try:
            yield found
        finally:
            self.put(found)

    def put(self, item: Any) -> None:
        """Gives one back: to who waits longest, or to the free ones."""
        if self.current_size > self.max_size:
            self.current_size -= 1
            return
        if self.waiting():
            try:
                self.channel.put(item, block=False)
                return
            except queue.Full:
                pass
        if self.order_as_stack:
            self.free_items.appendleft(item)
        else:
            self.free_items.append(item)

    def resize(self, new_size: int) -> None:
        """Changes the most there may be; those in use beyond it go when they are given back."""
        self.max_size = new_size

    def free(self) -> int:
        """How many could be taken without waiting."""
        return len(self.free_items) + self.max_size - self.current_size

    def waiting(self) -> int:
        """How many wait in get()."""
        return max(0, self.channel.getting() - self.channel.putting())


class Token:
    """What a TokenPool gives."""


class TokenPool(Pool):
    """A pool of things that mean nothing but the right to do something."""

    def create(self) -> Token:
        return Token()
