"""select, poll and epoll, and so `selectors`, waiting in the hub.

Each asks the system without waiting first; only if nothing is ready does the greenlet wait, and then
it asks again.  To wait for one descriptor it waits for that; for many, the kernel does the work: they
go into an epoll of their own, which is a descriptor that becomes readable, and the hub waits for it.
"""

from __future__ import annotations

import errno
import os
import selectors
from collections.abc import Iterable
from typing import Any

from dualwsgi.green import originals
from dualwsgi.green.hub import Hub, current_hub, forget_fd
from dualwsgi.green.originals import monotonic
from dualwsgi.green.poller import ERR, HUP, PRI, READ, WRITE
from dualwsgi.green.thread import sleep

__all__ = ["epoll", "poll", "select"]

_NVAL = 0x20


def _fileno(thing: Any) -> int:
    fd = thing if isinstance(thing, int) else getattr(thing, "fileno", str)()
    if not isinstance(fd, int):
        raise TypeError("argument must be an int, or have a fileno() method.")
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def _wait_any(hub: Hub, masks: dict[int, int], timeout: float | None) -> None:
    """Wait until one of the descriptors may have an event, or `timeout` seconds have passed."""
    if not masks:
        if timeout is None:
            hub.switch()  # for ever: only an exception ends it
        sleep(timeout or 0)
        return
    if len(masks) == 1 or originals.native_epoll is None:
        ((fd, mask),) = list(masks.items())[:1]
        if len(masks) > 1:  # without epoll: look again soon
            timeout = 0.01 if timeout is None else min(timeout, 0.01)
        hub.wait_fd(fd, mask, timeout)
        return
    many = originals.native_epoll()
    try:
        for fd, mask in masks.items():
            try:
                many.register(fd, mask)
            except OSError as error:
                if error.errno == errno.EPERM:  # a regular file: always ready
                    return
                raise
        hub.wait_fd(many.fileno(), READ, timeout)
    finally:
        many.close()


def select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
) -> tuple[list[Any], list[Any], list[Any]]:
    """As `select.select`, for descriptors of any number."""
    hub = current_hub()
    if hub is None or originals.native_poll is None:
        return originals.native_select(rlist, wlist, xlist, timeout)
    if timeout is not None:
        timeout = float(timeout)
        if timeout < 0:
            raise ValueError("timeout must be non-negative")
    reads, writes, others = (
        [(_fileno(thing), thing) for thing in things] for things in (rlist, wlist, xlist)
    )
    masks: dict[int, int] = {}
    for wanted, mask in ((reads, READ), (writes, WRITE), (others, PRI)):
        for fd, _ in wanted:
            masks[fd] = masks.get(fd, 0) | mask
    native = originals.native_poll()
    for fd, mask in masks.items():
        native.register(fd, mask)
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        events = dict(native.poll(0))
        if any(event & _NVAL for event in events.values()):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        found = (
            [thing for fd, thing in reads if events.get(fd, 0) & (READ | HUP | ERR)],
            [thing for fd, thing in writes if events.get(fd, 0) & (WRITE | ERR)],
            [thing for fd, thing in others if events.get(fd, 0) & PRI],
        )
        if any(found):
            return found
        rest = None if deadline is None else deadline - monotonic()
        if rest is not None and rest <= 0:
            if timeout == 0:
                sleep(0)  # who polls in a loop must let the others run
            return found
        _wait_any(hub, masks, rest)


class poll:
    """As the object of `select.poll()`."""

    def __init__(self) -> None:
        assert originals.native_poll is not None
        self._native: Any = originals.native_poll()
        self._masks: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = READ | PRI | WRITE, /) -> None:
        """Watch `fd`, or change what is watched."""
        self._native.register(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Change what is watched."""
        self._native.modify(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def unregister(self, fd: Any, /) -> None:
        """Watch it no more.  KeyError if it is not watched."""
        self._native.unregister(fd)
        self._masks.pop(_fileno(fd), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Events, as (descriptor, bits); waits up to `timeout` milliseconds (None, negative: for ever)."""
        found: list[tuple[int, int]] = self._native.poll(0)
        hub = current_hub()
        if found:
            return found
        if hub is None:
            return self._native.poll(timeout)  # type: ignore[no-any-return]
        deadline = None if timeout is None or timeout < 0 else monotonic() + timeout / 1000
        while not found:
            rest = None if deadline is None else deadline - monotonic()
            if rest is not None and rest <= 0:
                if timeout == 0:
                    sleep(0)
                break
            # Error conditions are always reported; the poller reports them unasked.
            _wait_any(hub, self._masks, rest)
            found = self._native.poll(0)
        return found


class epoll:
    """As `select.epoll`; the hub waits for the native epoll's own descriptor."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._native = originals.native_epoll(sizehint, flags)
        self._take_methods()

    def _take_methods(self) -> None:
        self.register = self._native.register
        self.modify = self._native.modify
        self.unregister = self._native.unregister
        self.fileno = self._native.fileno

    @classmethod
    def fromfd(cls, fd: int, /) -> epoll:
        """An epoll object for a descriptor that is one."""
        self = cls.__new__(cls)
        self._native = originals.native_epoll.fromfd(fd)
        self._take_methods()
        return self

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._native.closed  # type: ignore[no-any-return]

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Events, as (descriptor, bits); waits up to `timeout` seconds (None, negative: for ever)."""
        hub = current_hub()
        if hub is None:
            return self._native.poll(timeout, maxevents)  # type: ignore[no-any-return]
        found: list[tuple[int, int]] = self._native.poll(0, maxevents)
        deadline = None if timeout is None or timeout < 0 else monotonic() + timeout
        while not found:
            rest = None if deadline is None else deadline - monotonic()
            if rest is not None and rest <= 0:
                if timeout == 0:
                    sleep(0)
                break
            hub.wait_fd(self._native.fileno(), READ, rest)
            found = self._native.poll(0, maxevents)
        return found

    def close(self) -> None:
        """Close it; who waits for it gets EBADF."""
        if not self._native.closed:
            forget_fd(self._native.fileno())
        self._native.close()

    def __enter__(self) -> epoll:
        if self._native.closed:
            raise ValueError("I/O operation on closed epoll object")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def patch_selectors() -> None:
    """Have the classes of `selectors` wait here; in place, so that names imported before serve, too."""
    for name, selector in (("EpollSelector", epoll), ("PollSelector", poll)):
        if hasattr(selectors, name):
            getattr(selectors, name)._selector_cls = selector
    selectors.SelectSelector._select = staticmethod(select)  # type: ignore[attr-defined]
