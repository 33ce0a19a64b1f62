"""Queues between greenlets, and between greenlets and real threads.

A queue is a container and two semaphores: one permit an item (`_items`), one permit a free place
(`_places`, None when there is no bound).  Their hand-over is fair and loses nothing when a getter or
putter is killed or times out between its wake-up and its turn, so the queues have nothing to add.

`put` never switches when there is room, nor does `get` when there is an item.

`Queue(0)` is a rendezvous: `put` waits for a getter.  A getter announces itself by adding a place.
(The queues of the standard library, which patching leaves as they are, take 0 for "no bound";
here that is None.)
"""

from __future__ import annotations

import queue as _stdlib
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

from dualwsgi.green.originals import allocate_lock
from dualwsgi.green.sync import Condition, Lock, Semaphore

__all__ = ["Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"]

Empty = _stdlib.Empty
Full = _stdlib.Full

T = TypeVar("T")


class SimpleQueue(Generic[T]):
    """An unbounded FIFO queue; as `queue.SimpleQueue`, and `put` may be called from finalizers."""

    def __init__(self) -> None:
        self._content: deque[T] = deque()
        self._items = Semaphore(0)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Append `item`; never waits (the other arguments are for likeness)."""
        self._content.append(item)
        self._items.release()

    def put_nowait(self, item: T) -> None:
        """Append `item`."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """The oldest item; Empty if there is none at once (`block` False) or in `timeout` seconds."""
        if timeout is not None and timeout < 0 and block:
            raise ValueError("'timeout' must be a non-negative number")
        if not self._items.acquire(block, timeout if block else None):
            raise Empty
        return self._content.popleft()

    def get_nowait(self) -> T:
        """The oldest item; Empty if there is none."""
        return self.get(False)

    def empty(self) -> bool:
        """Whether there is nothing to get."""
        return not self._items.value

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._content)


class Queue(Generic[T]):
    """A FIFO queue of at most `maxsize` items: None for no bound, 0 for a rendezvous."""

    def __init__(self, maxsize: int | None = None) -> None:
        self.maxsize = maxsize if maxsize is None or maxsize >= 0 else None
        self._items = Semaphore(0)
        self._places = None if self.maxsize is None else Semaphore(self.maxsize)
        self._excess = 0  # places to take away when they come back, after a resize
        self._unfinished = 0
        self._all_done = Condition(Lock())
        self._init()

    # The container: what the subclasses change.

    def _init(self) -> None:
        self._content: deque[T] = deque()
        self._add: Callable[[T], object] = self._content.append
        self._take: Callable[[], T] = self._content.popleft

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._content)

    def empty(self) -> bool:
        """Whether there is nothing to get."""
        return not self._items.value

    def full(self) -> bool:
        """Whether `put` would wait."""
        return self._places is not None and not self._places.value

    @property
    def getting(self) -> int:
        """How many wait for an item."""
        return self._items.waiting

    @property
    def putting(self) -> int:
        """How many wait for a place."""
        return 0 if self._places is None else self._places.waiting

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put for which `task_done` has not been called."""
        return self._unfinished

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Add `item`; Full if there is no place at once (`block` False) or in `timeout` seconds."""
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        places = self._places
        if places is not None and not places.acquire(block, timeout if block else None):
            raise Full
        self._add(item)
        with self._all_done:
            self._unfinished += 1
        self._items.release()

    def put_nowait(self, item: T) -> None:
        """Add `item`; Full if there is no place."""
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """The next item; Empty if there is none at once (`block` False) or in `timeout` seconds."""
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if self.maxsize == 0:
            self._meet(block, timeout)
            return self._take()
        if not self._items.acquire(block, timeout if block else None):
            raise Empty
        item = self._take()
        if self._places is not None:
            self._give_place(self._places)
        return item

    def get_nowait(self) -> T:
        """The next item; Empty if there is none."""
        return self.get(False)

    def _give_place(self, places: Semaphore) -> None:
        if self._excess:
            self._excess -= 1
        else:
            places.release()

    def resize(self, maxsize: int | None) -> None:
        """Change the bound; what is in the queue stays, and who waits to put may go on.

        Between 0 (a rendezvous) and other bounds it cannot change: ValueError.
        """
        if maxsize == self.maxsize:
            return
        if 0 in (maxsize, self.maxsize):
            raise ValueError("a rendezvous cannot become another queue, nor the other way round")
        old, self.maxsize = self._places, maxsize
        if maxsize is None:
            self._places, self._excess = None, 0
            if old is not None and old.waiting:
                old.release(old.waiting)
        elif old is None:
            self._places = Semaphore(max(0, maxsize - self.qsize()))
            self._excess = max(0, self.qsize() - maxsize)
        else:
            taken = self.qsize()
            # Everything free is taken away, and what the new bound leaves is given back.
            while old.acquire(False):
                pass
            self._excess = max(0, taken - maxsize)
            if maxsize > taken:
                old.release(maxsize - taken)

    def _meet(self, block: bool, timeout: float | None) -> None:
        """Rendezvous: announce a place, and wait for the item that somebody puts there."""
        assert self._places is not None
        if self._items.acquire(False):  # put for a getter that left in the same moment
            return
        if not block and not self._places.waiting:
            raise Empty
        self._places.release()
        arrived = False
        try:
            # A putter that waits has its place now, and puts in its next turn: worth one wait even
            # for those who would not block.
            arrived = self._items.acquire(True, timeout if block else None)
        finally:
            if not arrived:
                self._places.acquire(False)  # if taken already: the item is for the next getter
        if not arrived:
            raise Empty

    def task_done(self) -> None:
        """One item that was got is dealt with.  ValueError if called too often."""
        with self._all_done:
            if self._unfinished <= 0:
                raise ValueError("task_done() called too many times")
            self._unfinished -= 1
            if not self._unfinished:
                self._all_done.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every item has been dealt with; False if `timeout` seconds passed first."""
        with self._all_done:
            return self._all_done.wait_for(lambda: not self._unfinished, timeout)

    def __iter__(self) -> Iterator[T]:
        """Items for ever."""
        while True:
            yield self.get()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.qsize()} of {self.maxsize} at {id(self):#x}>"


class LifoQueue(Queue[T]):
    """The same, last in, first out."""

    def _init(self) -> None:
        super()._init()
        self._take = self._content.pop


class PriorityQueue(Queue[T]):
    """The same, smallest item first."""

    def _init(self) -> None:
        self._heap: list[Any] = []
        # Comparing may run Python code of the items, in which another thread may get its turn.
        self._guard = allocate_lock()
        self._add = self._push
        self._take = self._pop

    def qsize(self) -> int:
        return len(self._heap)

    def _push(self, item: T) -> None:
        with self._guard:
            heappush(self._heap, item)

    def _pop(self) -> T:
        with self._guard:
            item: T = heappop(self._heap)
            return item
