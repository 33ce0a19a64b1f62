"""Who wants to know that a peer has ended its side, while the backend has other things in mind.

A connection whose request runs is not read, and on threads it may not even be polled; so those whose
end is of interest are watched by an epoll of their own, which the backend polls beside the rest.  It
is made when it is first needed.  An end is told once.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Final

from ..native import native_lock

# Nothing to read, to write or to be told of but the end; an error is always told.
_END: Final = getattr(select, "EPOLLRDHUP", 0) | getattr(select, "EPOLLONESHOT", 0)


class Ends:
    """The watched descriptors of a lane or hub.

    `adopt(fd)` has collect() called whenever `fd` is readable; `spawn(callback)` calls back where
    that may wait.  `make_epoll` is the native one.  Any thread may call every method.
    """

    def __init__(
        self,
        adopt: Callable[[int], object],
        spawn: Callable[[Callable[[], object]], object],
        make_epoll: Callable[[], Any],
    ) -> None:
        self._adopt = adopt
        self._spawn = spawn
        self._make_epoll = make_epoll
        self._epoll: Any = None
        self._lock = native_lock()  # nothing waits while it is held
        self.watched: dict[int, list[Callable[[], object]]] = {}

    def watch(self, fd: int, callback: Callable[[], object]) -> None:
        """Has `callback` called, once, when the peer of `fd` has ended its side; soon if it has already."""
        with self._lock:
            new = self._epoll is None
            if new:
                self._epoll = self._make_epoll()
            epoll = self._epoll
            known = fd in self.watched
            self.watched.setdefault(fd, []).append(callback)
            if not known:
                epoll.register(fd, _END)
        if new:
            self._adopt(epoll.fileno())

    def unwatch(self, fd: int, callback: Callable[[], object]) -> None:
        """Takes watch() back, if the callback has not been called."""
        with self._lock:
            callbacks = self.watched.get(fd)
            if callbacks is not None and callback in callbacks:
                callbacks.remove(callback)

    def forget(self, fd: int) -> None:
        """`fd` is about to be closed."""
        with self._lock:
            if self.watched.pop(fd, None) is not None:
                try:
                    self._epoll.unregister(fd)
                except OSError:
                    pass  # it has been replaced

    @property
    def fd(self) -> int:
        """The descriptor to be polled; -1 as long as there is none."""
        return self._epoll.fileno() if self._epoll is not None else -1

    def collect(self) -> None:
        """Calls back for those that have ended."""
        callbacks: list[Callable[[], object]] = []
        with self._lock:
            if self._epoll.closed:
                return
            for fd, _ in self._epoll.poll(0):
                callbacks += self.watched.pop(fd, ())
                try:
                    self._epoll.unregister(fd)
                except OSError:
                    pass  # who closes it has not found it here any more, and has not waited for this
        for callback in callbacks:
            self._spawn(callback)

    def close(self) -> None:
        """Gives the descriptor back; nothing is watched any more."""
        with self._lock:
            self.watched.clear()
            if self._epoll is not None:
                self._epoll.close()
