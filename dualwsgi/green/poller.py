"""What the hub asks the kernel: which descriptors are ready, and how to be woken from outside.

Two pollers with the same four methods (`register`, `modify`, `unregister`, `poll`) and epoll's bits:
the native epoll object where there is one, and a slower one over `selectors` (kqueue, poll) where
there is none.  Knows nothing of greenlets, timers or callbacks.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
from typing import Any, Protocol

from dualwsgi.green import originals

__all__ = ["EDGE", "ERR", "HUP", "ONESHOT", "PRI", "RDHUP", "READ", "WRITE", "Poller", "Waker", "new_poller"]

# epoll's own values, spelled out so that they exist everywhere.
READ = 0x001
PRI = 0x002
WRITE = 0x004
ERR = 0x008
HUP = 0x010
RDHUP = 0x2000
ONESHOT = 1 << 30
EDGE = 1 << 31

# A wait shorter than this goes through select(), which counts microseconds; epoll.poll rounds up
# to whole milliseconds, which would stretch a 10 ms sleep by 5 % and more.
_FINE_WAIT = 0.002


class Poller(Protocol):
    """The hub's view of a set of descriptors."""

    def register(self, fd: int, mask: int) -> None:
        """Add `fd`; FileExistsError if it is there, PermissionError if it can not be polled."""

    def modify(self, fd: int, mask: int) -> None:
        """Change the mask, and report again what is ready now; FileNotFoundError if it is not there."""

    def unregister(self, fd: int) -> None:
        """Remove `fd`; FileNotFoundError or OSError(EBADF) if it is not there."""

    def forget(self, fd: int) -> None:
        """As `unregister`, for a descriptor that is there and is closed next."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait up to `timeout` seconds (None: for ever; 0: not at all) for events."""

    def close(self) -> None:
        """Give the kernel's object back."""


class EpollPoller:
    """epoll, with waits that are right to some 60 microseconds."""

    def __init__(self) -> None:
        self._epoll = originals.native_epoll()
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self._native_poll = self._epoll.poll
        self._selectable = [self._epoll.fileno()]

    def forget(self, fd: int) -> None:
        pass  # the kernel drops what is closed

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if timeout is None:
            return self._native_poll()  # type: ignore[no-any-return]
        if timeout <= 0:
            return self._native_poll(0)  # type: ignore[no-any-return]
        if timeout >= _FINE_WAIT or self._selectable[0] >= 1024:
            # Down to whole milliseconds, less a hair so that float error does not round it up again:
            # what is left is waited for in the next turn, finely.
            coarse = int(timeout * 1000) / 1000 - 1e-5 if timeout < 60 else 60
            return self._native_poll(max(coarse, 0.0005))  # type: ignore[no-any-return]
        readable = originals.native_select(self._selectable, (), (), timeout)[0]
        return self._native_poll(0) if readable else []

    def close(self) -> None:
        self._epoll.close()


class SelectorPoller:
    """The same over `selectors`: for systems without epoll.

    These are level-triggered.  EDGE is imitated: a descriptor that has been reported is muted until
    it is modified or `_MUTED` seconds have passed, so that a reader which does not drain makes no
    busy loop and loses no event.
    """

    _MUTED = 0.005

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector if selector is not None else originals.DefaultSelector()
        self._masks: dict[int, int] = {}
        self._muted: dict[int, float] = {}

    def register(self, fd: int, mask: int) -> None:
        if fd in self._masks:
            raise FileExistsError(fd)
        self._masks[fd] = mask
        self._show(fd)

    def modify(self, fd: int, mask: int) -> None:
        if fd not in self._masks:
            raise FileNotFoundError(fd)
        self._masks[fd] = mask
        self._muted.pop(fd, None)
        self._show(fd)

    def unregister(self, fd: int) -> None:
        if self._masks.pop(fd, None) is None:
            raise FileNotFoundError(fd)
        self._muted.pop(fd, None)
        self._hide(fd)

    forget = unregister

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        now = originals.monotonic()
        for fd in [fd for fd, until in self._muted.items() if until <= now]:
            del self._muted[fd]
            self._show(fd)
        if self._muted:
            rest = max(0.0, min(self._muted.values()) - now)
            timeout = rest if timeout is None else min(timeout, rest)
        found = []
        for key, events in self._selector.select(timeout):
            fd = key.fd
            mask = self._masks[fd]
            found.append((fd, (READ if events & 1 else 0) | (WRITE if events & 2 else 0)))
            if mask & ONESHOT:
                self._masks[fd] = 0
                self._hide(fd)
            elif mask & EDGE:
                self._muted[fd] = originals.monotonic() + self._MUTED
                self._hide(fd)
        return found

    def close(self) -> None:
        self._selector.close()

    def _show(self, fd: int) -> None:
        mask = self._masks[fd]
        events = (selectors.EVENT_READ if mask & (READ | RDHUP) else 0) | (
            selectors.EVENT_WRITE if mask & WRITE else 0
        )
        self._hide(fd)
        if events:
            self._selector.register(fd, events)

    def _hide(self, fd: int) -> None:
        with contextlib.suppress(KeyError, OSError, ValueError):
            self._selector.unregister(fd)


def new_poller() -> Poller:
    """The best poller of this system."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()


class Waker:
    """A descriptor that becomes readable when any thread or signal handler rings it."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._read = self._write = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read, self._write = nonblocking_pipe()

    def fileno(self) -> int:
        return self._read

    def ring(self) -> None:
        """Wake the poller.  Safe from any thread and from signal handlers; never blocks."""
        try:
            originals.os_write(self._write, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            pass  # full of rings already

    def hush(self) -> None:
        """Forget the rings so far."""
        try:
            originals.os_read(self._read, 8192)
        except BlockingIOError:
            pass

    def close(self) -> None:
        originals.os_close(self._read)
        if self._write != self._read:
            originals.os_close(self._write)


def nonblocking_pipe() -> tuple[int, int]:
    """A pipe whose ends never block and are not inherited by programs that this one starts."""
    ends: Any = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends[0], ends[1]
