"""eventlet.greenpool: a bounded number of greenlets, or of threads, and results in order."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .event import Event
from .ground import ground
from .queue import LightQueue
from .semaphore import Semaphore

__all__ = ["GreenMap", "GreenPile", "GreenPool"]

DEBUG = True


class GreenPool:
    """Runs functions, at most `size` at a time; spawn() waits for a free place."""

    def __init__(self, size: int = 1000) -> None:
        try:
            size = int(size)
        except ValueError as error:
            raise TypeError(f"the size of a GreenPool must be a number, and {size!r} is not") from error
        if size < 0:
            raise ValueError(f"the size of a GreenPool must be 0 or more, not {size}")
        self.size = size
        self.coroutines_running: set[Any] = set()
        self.sem = Semaphore(size)
        self.no_coros_running = Event()

    # Asking

    def resize(self, new_size: int) -> None:
        """Changes the size; those above a smaller one end first."""
        change = new_size - self.size
        self.size = new_size
        self.sem.counter += change

    def running(self) -> int:
        """How many run, or are about to."""
        return len(self.coroutines_running)

    def free(self) -> int:
        """How many could be spawned without waiting."""
        return self.sem.counter

    def waiting(self) -> int:
        """How many wait in spawn()."""
        return max(0, -self.sem.balance) if self.sem.counter <= 0 else 0

    # Running

    def spawn(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Runs it in the pool; returns a GreenThread.  From inside a full pool it runs in the caller."""
        current = ground.getcurrent()
        if self.sem.locked() and current in self.coroutines_running:
            # Waiting for a place could be waiting for oneself.
            thread = ground.unstarted(function, args, kwargs)
            ground.run_inline(thread)
            return thread
        self.sem.acquire()
        try:
            thread = ground.unstarted(function, args, kwargs)
            self._enter(thread)
            thread.link(self._spawn_done)
            thread.start()
        except BaseException:
            self.sem.release()
            raise
        return thread

    def spawn_n(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """As spawn(), without a result."""
        current = ground.getcurrent()
        if self.sem.locked() and current in self.coroutines_running:
            self._call(function, args, kwargs)
            return
        self.sem.acquire()
        try:
            thread = ground.unstarted(self._call, (function, args, kwargs), {})
            self._enter(thread)
            thread.link(self._spawn_done)
            thread.start()
        except BaseException:
            self.sem.release()
            raise

    def _call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (KeyboardInterrupt, SystemExit, ground.GreenletExit):
            raise
        except BaseException:
            if DEBUG:
                traceback.print_exc()

    def _enter(self, thread: Any) -> None:
        if not self.coroutines_running:
            self.no_coros_running = Event()
        self.coroutines_running.add(thread)

    def _spawn_done(self, thread: Any) -> None:
        self.sem.release()
        self.coroutines_running.discard(thread)
        if not self.coroutines_running and not self.no_coros_running.ready():
            self.no_coros_running.send(None)

    def waitall(self) -> None:
        """Waits until none runs.  AssertionError from inside of the pool."""
        assert ground.getcurrent() not in self.coroutines_running, (
            "waitall() inside of the pool: it would wait for its caller"
        )
        while self.coroutines_running:
            self.no_coros_running.wait()

    # Maps

    def starmap(self, function: Callable[..., Any] | None, iterable: Iterable[Any]) -> Iterator[Any]:
        """itertools.starmap, each call in the pool, the results in order; reads ahead by the pool's size."""
        gmap = GreenMap(self.size)
        gmap.pool = self
        gmap.feed(function or _as_tuple, iterable)
        return gmap

    def imap(self, function: Callable[..., Any] | None, *iterables: Iterable[Any]) -> Iterator[Any]:
        """map(), each call in the pool, the results in order."""
        return self.starmap(function, zip(*iterables, strict=False))


class _Stop(Exception):
    """The end of what a pile was given."""


class GreenPile:
    """Calls in a pool, and an iterator over their results in the order of the calls."""

    def __init__(self, size_or_pool: int | GreenPool = 1000) -> None:
        self.pool = size_or_pool if isinstance(size_or_pool, GreenPool) else GreenPool(size_or_pool)
        self.waiters: LightQueue = LightQueue()
        self.counter = 0

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Calls it; its result is the next that iterating gives."""
        self.counter += 1
        try:
            thread = self.pool.spawn(func, *args, **kwargs)
            self.waiters.put(thread)
        except BaseException:
            self.counter -= 1
            raise

    def __iter__(self) -> GreenPile:
        return self

    def next(self) -> Any:
        """The next result; raises what its call raised, and StopIteration when there is no other call."""
        if self.counter == 0:
            raise StopIteration
        thread = self.waiters.get()
        self.counter -= 1
        return thread.wait()

    __next__ = next


class GreenMap(GreenPile):
    """The iterator that GreenPool.imap returns."""

    def __init__(self, size_or_pool: int | GreenPool) -> None:
        super().__init__(size_or_pool)
        size = size_or_pool.size if isinstance(size_or_pool, GreenPool) else size_or_pool
        self.waiters = LightQueue(maxsize=max(size, 1))

    def feed(self, function: Callable[..., Any], iterable: Iterable[Any]) -> None:
        """Has a greenlet or thread make the calls, as results are taken."""
        self.counter = 1
        ground.spawn_n(self._feed, function, iter(iterable))

    def _feed(self, function: Callable[..., Any], iterator: Iterator[Any]) -> None:
        try:
            for args in iterator:
                thread = self.pool.spawn(function, *args)
                self.waiters.put(thread)
        except Exception as error:  # the iterable's own
            self.waiters.put(self.pool.spawn(_raise, error))
        self.waiters.put(None)

    def next(self) -> Any:
        if self.counter == 0:
            raise StopIteration
        thread = self.waiters.get()
        if thread is None:
            self.counter = 0
            raise StopIteration
        return thread.wait()

    __next__ = next


def _raise(error: Exception) -> None:
    raise error


def _as_tuple(*args: Any) -> Any:
    """What None stands for as the function of a map."""
    return args
