"""A bounded number of greenlets, and a bounded number of real threads.

`Pool` runs functions in at most `size` greenlets at a time.  `ThreadPool` runs what cannot wait
cooperatively (name resolution, files, C libraries that block) in real threads, while the greenlet
that asked waits and all others go on.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greenlet import getcurrent

from dualwsgi.green import originals
from dualwsgi.green.hub import NativeWaiter, Waiter, new_waiter
from dualwsgi.green.sync import Event, Semaphore
from dualwsgi.green.thread import GreenThread, spawn

__all__ = ["Pool", "ThreadPool", "default_thread_pool"]


class Pool:
    """Runs functions in at most `size` greenlets; `spawn` waits for a free place, first come first served."""

    def __init__(self, size: int = 1000) -> None:
        if size < 0:
            raise ValueError("size must not be negative")
        self.size = size
        self._places = Semaphore(size)
        self._excess = 0  # places to take away when they come back, after a resize
        self._idle = Event()
        self._idle.set()
        self.threads: set[GreenThread] = set()

    def spawn(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
        """Run `fn(*args, **kwargs)` in a greenlet of the pool; waits while it is full."""
        self._places.acquire()
        try:
            thread = spawn(fn, *args, **kwargs)
        except BaseException:
            self._give_back()
            raise
        self.threads.add(thread)
        self._idle.clear()
        # Not counted as somebody who watches: errors nobody asks for are still reported.
        watched = thread._watched
        thread.link(self._finished)
        thread._watched = watched
        return thread

    def _finished(self, thread: GreenThread) -> None:
        self.threads.discard(thread)
        self._give_back()
        if not self.threads:
            self._idle.set()

    def _give_back(self) -> None:
        if self._excess:
            self._excess -= 1
        else:
            self._places.release()

    def resize(self, size: int) -> None:
        """Change the size; those above a smaller one finish first."""
        grow, self.size = size - self.size, size
        while grow > 0:
            self._give_back()
            grow -= 1
        while grow < 0:
            if not self._places.acquire(False):
                self._excess += 1
            grow += 1

    @property
    def running(self) -> int:
        """How many greenlets of the pool have not finished."""
        return len(self.threads)

    @property
    def waiting(self) -> int:
        """How many wait in `spawn`."""
        return self._places.waiting

    @property
    def free(self) -> int:
        """How many could be spawned now without waiting; negative after a resize below use."""
        return self._places.value - self._excess

    def join(self, timeout: float | None = None) -> bool:
        """Wait until none runs; False if `timeout` seconds passed first.  AssertionError from inside."""
        if getcurrent() in self.threads:
            raise AssertionError("a greenlet of the pool cannot wait for the pool: it would wait for itself")
        return self._idle.wait(timeout)

    waitall = join

    def kill(self) -> None:
        """Kill all, and wait for them."""
        for thread in list(self.threads):
            thread.kill(block=False)
        self.join()

    def imap(self, fn: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
        """`map`, concurrently, results in order; reads ahead by at most the size of the pool."""
        pending: deque[GreenThread] = deque()
        arguments = zip(*iterables, strict=False)
        try:
            for args in itertools.islice(arguments, self.size):
                pending.append(self.spawn(fn, *args))
            while pending:
                thread = pending.popleft()
                result = thread.get()
                for args in itertools.islice(arguments, 1):
                    pending.append(self.spawn(fn, *args))
                yield result
        finally:
            for thread in pending:
                thread._watched = True

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any]) -> list[Any]:
        """The same as a list."""
        return list(self.imap(fn, *iterables))


class _Job:
    __slots__ = ("args", "call", "done", "error", "kwargs", "value")

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.call = call
        self.args = args
        self.kwargs = kwargs
        self.done: Waiter | NativeWaiter = new_waiter()
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value = self.call(*self.args, **self.kwargs)
        except BaseException as error:
            self.error = error
        self.done.wake()


class ThreadPool:
    """At most `size` real threads, made as they are needed and gone after `idle` seconds without work.

    Idle threads leave because a process that forks should have one thread (Python 3.12 and newer
    warn otherwise), and because they would be dead in the child.  They are daemons: a call that never
    returns does not hold up the end of the process.  With `signals` False the threads take no signals:
    not for calls that start programs, which would inherit that.
    """

    def __init__(self, size: int = 10, idle: float = 5.0, *, signals: bool = True) -> None:
        self.size = size
        self.idle = idle
        self._signals = signals
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._guard = originals.native_lock()
        self._jobs: deque[_Job] = deque()
        self._sleepers: deque[Any] = deque()
        self.threads = 0

    def apply(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`fn(*args, **kwargs)` in a real thread; its result or exception.

        A greenlet that is killed meanwhile stops waiting; the call itself goes on to its end.
        """
        job = _Job(fn, args, kwargs)
        sleeper = None
        with self._guard:
            self._jobs.append(job)
            if self._sleepers:
                sleeper = self._sleepers.popleft()
                grow = False
            else:
                grow = self.threads < self.size
                self.threads += grow
        if sleeper is not None:
            sleeper.release()
        elif grow:
            try:
                if self._signals:
                    originals.start_native_thread(self._work, ())
                else:
                    originals.start_background_thread(self._work)
            except BaseException:
                with self._guard:
                    self.threads -= 1
                    if not self.threads:
                        with contextlib.suppress(ValueError):
                            self._jobs.remove(job)
                        raise
        try:
            job.done.wait()
        except BaseException:
            with contextlib.suppress(ValueError):
                self._jobs.remove(job)
            raise
        if job.error is not None:
            try:
                raise job.error
            finally:
                del job  # the traceback would hold what it belongs to
        return job.value

    def _work(self) -> None:
        bell = originals.allocate_lock()
        bell.acquire()
        while True:
            try:
                job = self._jobs.popleft()
            except IndexError:
                pass
            else:
                job.run()
                del job
                continue
            with self._guard:
                if self._jobs:
                    continue
                self._sleepers.append(bell)
            if bell.acquire(True, self.idle):
                continue
            with self._guard:
                if bell in self._sleepers:
                    self._sleepers.remove(bell)
                    self.threads -= 1
                    return
            bell.acquire()  # rung just now


_default: ThreadPool | None = None


def default_thread_pool() -> ThreadPool:
    """The pool that the library itself uses: for names, `os.wait`, and whoever asks."""
    global _default
    if _default is None:
        _default = ThreadPool()
    return _default
