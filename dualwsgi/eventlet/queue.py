"""eventlet.queue: queues between greenlets, or threads; Queue(0) is a rendezvous.

LightQueue has no task_done() and join(); None as size means no bound.
"""

from __future__ import annotations

import queue as _stdlib
from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Any

from .event import Event
from .ground import ground

__all__ = ["Empty", "Full", "LifoQueue", "LightQueue", "PriorityQueue", "Queue"]

Empty = _stdlib.Empty
Full = _stdlib.Full
_NOTHING: Any = object()


class _Putter:
    """One who waits to put `item`, and where to tell that it was taken."""

    __slots__ = ("item", "waiter")

    def __init__(self, item: Any, waiter: Any) -> None:
        self.item = item
        self.waiter = waiter


class _Getter:
    __slots__ = ("item", "waiter")

    def __init__(self, waiter: Any) -> None:
        self.item = _NOTHING
        self.waiter = waiter


class LightQueue:
    """A FIFO queue of at most `maxsize` items: None for no bound, 0 for a rendezvous."""

    def __init__(self, maxsize: int | None = None) -> None:
        self.maxsize = None if maxsize is None or maxsize < 0 else maxsize
        self._guard = ground.allocate_lock()
        self.getters: deque[_Getter] = deque()
        self.putters: deque[_Putter] = deque()
        self._init(maxsize)

    # The container: what the subclasses change

    def _init(self, maxsize: int | None) -> None:
        self.queue: Any = deque()

    def _get(self) -> Any:
        return self.queue.popleft()

    def _put(self, item: Any) -> None:
        self.queue.append(item)

    # Asking

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self._format()}>"

    def _format(self) -> str:
        text = f"maxsize={self.maxsize!r}"
        for name in ("queue", "getters", "putters"):
            value = getattr(self, name)
            if value:
                text += f" {name}[{len(value)}]"
        return text

    def __bool__(self) -> bool:
        return True

    def qsize(self) -> int:
        """How many items are in it."""
        return len(self.queue)

    def empty(self) -> bool:
        return not self.queue

    def full(self) -> bool:
        """Whether put() would wait, but for getters."""
        return self.maxsize is not None and self.qsize() >= self.maxsize

    def getting(self) -> int:
        """How many wait for an item."""
        return len(self.getters)

    def putting(self) -> int:
        """How many wait to put one."""
        return len(self.putters)

    def resize(self, size: int | None) -> None:
        """Changes the bound; items that are in it stay."""
        with self._guard:
            self.maxsize = size
            woken = self._let_putters_in()
        _wake(woken)

    def _let_putters_in(self) -> list[Any]:
        """Takes what fits from those who wait to put; returns whom to wake."""
        woken = []
        while self.putters and not self.full():
            putter = self.putters.popleft()
            self._enter(putter.item)
            woken.append(putter.waiter)
        return woken

    def _enter(self, item: Any) -> None:
        self._put(item)

    # Putting

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Adds `item`; Full if there is no room at once (`block` False) or within `timeout` seconds."""
        with self._guard:
            if self.getters:
                getter = self.getters.popleft()
                self._hand_over(getter, item)
                taken: Any = getter.waiter
            elif not self.full():
                self._enter(item)
                return
            elif not block:
                raise Full
            else:
                taken = None
                putter = _Putter(item, ground.new_waiter())
                self.putters.append(putter)
        if taken is not None:
            ground.wake(taken)
            if self.maxsize == 0 and block:
                ground.give_way()
            return
        try:
            putter.waiter.wait(timeout)
        finally:
            with self._guard:
                left = putter in self.putters
                if left:
                    self.putters.remove(putter)
        if left:
            raise Full

    def put_nowait(self, item: Any) -> None:
        """Adds `item`; Full if there is no room."""
        self.put(item, False)

    def _hand_over(self, getter: _Getter, item: Any) -> None:
        # Through the container, so that a getter of a priority queue gets the first of all.
        self._enter(item)
        getter.item = self._get()

    # Getting

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The next item; Empty if there is none at once (`block` False) or within `timeout` seconds."""
        with self._guard:
            if self.qsize():
                item = self._get()
                woken = self._let_putters_in()
                getter = None
            elif self.putters:  # a rendezvous
                putter = self.putters.popleft()
                self._enter(putter.item)
                item = self._get()
                woken = [putter.waiter]
                getter = None
            elif not block:
                raise Empty
            else:
                getter = _Getter(ground.new_waiter())
                self.getters.append(getter)
        if getter is None:
            _wake(woken)
            return item
        try:
            getter.waiter.wait(timeout)
        except BaseException:
            with self._guard:
                if getter in self.getters:
                    self.getters.remove(getter)
                handed = getter.item
            if handed is not _NOTHING:
                self._put_back(handed)
            raise
        with self._guard:
            if getter in self.getters:
                self.getters.remove(getter)
        if getter.item is _NOTHING:
            raise Empty
        return getter.item

    def get_nowait(self) -> Any:
        """The next item; Empty if there is none."""
        return self.get(False)

    def _put_back(self, item: Any) -> None:
        """What was handed to one who is not there any more goes to the next, before all else."""
        with self._guard:
            if self.getters:
                getter = self.getters.popleft()
                getter.item = item
            else:
                self._put_first(item)
                return
        getter.waiter.wake()

    def _put_first(self, item: Any) -> None:
        self.queue.appendleft(item)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.get()


def _wake(waiters: list[Any]) -> None:
    for waiter in waiters:
        ground.wake(waiter)


class Queue(LightQueue):
    """A LightQueue that counts what is not done yet: task_done() and join()."""

    def __init__(self, maxsize: int | None = None) -> None:
        self.unfinished_tasks = 0
        self._cond = Event()
        super().__init__(maxsize)

    def _format(self) -> str:
        text = super()._format()
        return f"{text} tasks={self.unfinished_tasks}" if self.unfinished_tasks else text

    def _enter(self, item: Any) -> None:
        super()._enter(item)
        self.unfinished_tasks += 1
        if self._cond.ready():
            self._cond.reset()

    def task_done(self) -> None:
        """One item that was got is dealt with.  ValueError if called too often."""
        with self._guard:
            if self.unfinished_tasks <= 0:
                raise ValueError("task_done() called too many times")
            self.unfinished_tasks -= 1
            done = self.unfinished_tasks == 0
        if done and not self._cond.ready():
            self._cond.send(None)

    def join(self) -> None:
        """Waits until all that was put is dealt with."""
        if self.unfinished_tasks > 0:
            self._cond.wait()


class PriorityQueue(Queue):
    """The smallest item first; items are often (priority, data)."""

    def _init(self, maxsize: int | None) -> None:
        self.queue = []

    def _put(self, item: Any) -> None:
        heappush(self.queue, item)

    def _get(self) -> Any:
        return heappop(self.queue)

    def _put_first(self, item: Any) -> None:
        self.queue.append(item)
        heapify(self.queue)


class LifoQueue(Queue):
    """Last in, first out."""

    def _init(self, maxsize: int | None) -> None:
        self.queue = []

    def _put(self, item: Any) -> None:
        self.queue.append(item)

    def _get(self) -> Any:
        return self.queue.pop()

    def _put_first(self, item: Any) -> None:
        self.queue.append(item)
