"""eventlet.semaphore: counters of permits, fair: who waits longest is served first."""

from __future__ import annotations

from collections import deque
from typing import Any

from .ground import ground

__all__ = ["BoundedSemaphore", "CappedSemaphore", "Semaphore"]


class Semaphore:
    """A counter of permits; acquire() waits while there is none.

    TypeError for what is no number, ValueError for a negative one.
    """

    def __init__(self, value: int = 1) -> None:
        try:
            value = int(value)
        except ValueError as error:
            raise TypeError(f"a semaphore's value must be a number, and {value!r} is not") from error
        if value < 0:
            raise ValueError(f"a semaphore's value must be 0 or more, not {value}")
        self.counter = value
        self._guard = ground.allocate_lock()
        self._waiters: deque[Any] = deque()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} c={self.counter} _w[{len(self._waiters)}]>"

    @property
    def balance(self) -> int:
        """The permits that are free, or how many wait for one, as a negative number."""
        return self.counter - len(self._waiters)

    def locked(self) -> bool:
        """Whether acquire() would wait."""
        return self.counter <= 0

    def bounded(self) -> bool:
        """For symmetry with CappedSemaphore."""
        return False

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Takes a permit; False if there was none at once (`blocking` False) or in `timeout` seconds."""
        if timeout == -1:
            timeout = None
        if timeout is not None and timeout < 0:
            raise ValueError("timeout value must be strictly positive")
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        with self._guard:
            if self.counter > 0 and not self._waiters:
                self.counter -= 1
                return True
            if not blocking:
                return False
            waiter = ground.new_waiter()
            self._waiters.append(waiter)
        try:
            waiter.wait(timeout)
        except BaseException:
            if not self._withdraw(waiter):
                self._give()  # it was ours by now: it is the next one's
            raise
        return not self._withdraw(waiter)

    def _withdraw(self, waiter: Any) -> bool:
        """Leaves the queue; False if a permit has been handed over already."""
        with self._guard:
            try:
                self._waiters.remove(waiter)
            except ValueError:
                return False
            return True

    def _give(self) -> None:
        with self._guard:
            if self._waiters:
                waiter = self._waiters.popleft()
            else:
                self.counter += 1
                return
        waiter.wake()

    def release(self, blocking: bool = True) -> bool:
        """Gives a permit back.  `blocking` is for symmetry with CappedSemaphore."""
        self._give()
        return True

    def __enter__(self) -> Semaphore:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class BoundedSemaphore(Semaphore):
    """release() raises ValueError where there would be more permits than at the start."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self.original_counter = self.counter

    def release(self, blocking: bool = True) -> bool:
        if self.counter >= self.original_counter:
            raise ValueError("Semaphore released too many times")
        return super().release(blocking)


class CappedSemaphore:
    """A semaphore whose release() waits where there would be more than `limit` permits."""

    def __init__(self, count: int, limit: int) -> None:
        if count < 0:
            raise ValueError(f"CappedSemaphore must be initialized with a positive number, got {count}")
        if count > limit:
            raise ValueError(f"'count' cannot be more than 'limit', got {count} > {limit}")
        self.lower_bound = Semaphore(count)
        self.upper_bound = Semaphore(limit - count)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} balance={self.balance}>"

    @property
    def balance(self) -> int:
        """Positive while permits are free or wait to be given, negative while some wait for one."""
        return self.lower_bound.balance - self.upper_bound.balance

    def locked(self) -> bool:
        """Whether acquire() would wait."""
        return self.lower_bound.locked()

    def bounded(self) -> bool:
        """Whether release() would wait."""
        return self.upper_bound.locked()

    def acquire(self, blocking: bool = True) -> bool:
        """Takes a permit; False if there is none and `blocking` is False."""
        if not blocking and self.locked():
            return False
        # In this order: who waits to release goes on as soon as there is room, even if that is late.
        self.upper_bound.release()
        try:
            return self.lower_bound.acquire()
        except BaseException:
            self.upper_bound.counter -= 1
            raise

    def release(self, blocking: bool = True) -> bool:
        """Gives a permit back; False if there is no room and `blocking` is False."""
        if not blocking and self.bounded():
            return False
        self.lower_bound.release()
        try:
            return self.upper_bound.acquire()
        except BaseException:
            self.lower_bound.counter -= 1
            raise

    def __enter__(self) -> CappedSemaphore:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()
