"""The locks and pipes of `multiprocessing`, waited for in the hub.

A lock between processes is a semaphore of the system, which nobody can wait for but by blocking; so a
greenlet looks for it again and again, at most 10 ms apart.  Its recursive kind counts by OS thread,
which all greenlets share; a green lock in front of it tells them apart.

Processes that start anew ("spawn", "forkserver") are not patched unless they patch themselves.
"""

from __future__ import annotations

from typing import Any

from dualwsgi.green import os as green_os
from dualwsgi.green.hub import current_hub
from dualwsgi.green.originals import monotonic
from dualwsgi.green.sync import RLock
from dualwsgi.green.thread import sleep

__all__ = ["patch_connections", "patch_locks"]

_LONGEST_PAUSE = 0.01


def patch_locks(synchronize: Any) -> None:
    """Let the locks of `multiprocessing.synchronize` be waited for."""
    sem_lock = synchronize.SemLock

    def make_methods(self: Any) -> None:
        recursive = self._semlock.kind == synchronize.RECURSIVE_MUTEX
        self._green_front = RLock() if recursive else None
        self.acquire = lambda block=True, timeout=None: _acquire(self, block, timeout)
        self.release = lambda: _release(self)

    sem_lock._make_methods = make_methods
    sem_lock.__enter__ = lambda self: self.acquire()
    sem_lock.__exit__ = lambda self, *exc_info: self.release()


def _acquire(lock: Any, block: bool = True, timeout: float | None = None) -> bool:
    native = lock._semlock.acquire
    front = lock._green_front
    if current_hub() is None:
        taken: bool = native(block, timeout)
        return taken
    deadline = None if timeout is None else monotonic() + max(timeout, 0)
    if front is not None and not (
        front.acquire(False)
        if not block
        else front.acquire(timeout=-1 if timeout is None else max(timeout, 0))
    ):
        return False
    pause = 0.0
    try:
        while not native(False):
            if not block or (deadline is not None and monotonic() >= deadline):
                if front is not None:
                    front.release()
                return False
            sleep(pause)
            pause = min(pause * 2 or 0.0005, _LONGEST_PAUSE)
    except BaseException:
        if front is not None:
            front.release()
        raise
    return True


def _release(lock: Any) -> None:
    lock._semlock.release()
    front = lock._green_front
    if front is not None and front._is_owned():
        front.release()


def patch_connections(connection: Any) -> None:
    """Connections keep os.read and os.write as default arguments: replace those."""
    kind = connection.Connection
    kind._read, kind._write = staticmethod(green_os.read), staticmethod(green_os.write)
    kind._send.__defaults__ = (green_os.write,)
    kind._recv.__defaults__ = (green_os.read,)
