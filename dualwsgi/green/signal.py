"""Signals: handlers that may wait, and waiting for signals.

Python runs a handler between two bytecodes of the main thread, so in whichever greenlet is current;
when all wait that is the hub's, where nothing may wait.  Handlers set by `signal` here therefore run

- in place, if the main greenlet is current, as without greenlets;
- in a greenlet of their own, if it is the hub's; what they raise is raised in the main greenlet;
- in place, too, if another greenlet is current (so that an alarm can interrupt a busy one); but
  KeyboardInterrupt and SystemExit go to the main greenlet, as they would with threads.

The hub itself wakes for signals by Python's wake-up descriptor (see `Hub`); who wants it, too, gets
the bytes passed on.
"""

from __future__ import annotations

import signal as _signal
import sys
from collections.abc import Iterable
from typing import Any

from greenlet import getcurrent

from dualwsgi.green import originals
from dualwsgi.green.hub import Hub, Waiter, current_hub
from dualwsgi.green.originals import monotonic
from dualwsgi.green.poller import READ
from dualwsgi.green.thread import sleep

__all__ = [
    "getsignal",
    "pause",
    "set_wakeup_fd",
    "signal",
    "sigtimedwait",
    "sigwait",
    "sigwaitinfo",
]


class _Handler:
    """A Python signal handler, run where it may wait."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: Any) -> None:
        hub = current_hub()
        try:
            me = getcurrent()
        except RuntimeError:  # the interpreter is ending
            me = None
        if hub is None or me is None or me is hub.main:
            self.handler(number, frame)
        elif me is hub.greenlet:
            hub.call_soon(hub.lend, self._run, hub, number)
        else:
            try:
                self.handler(number, frame)
            except (KeyboardInterrupt, SystemExit) as error:
                hub.failed(self.handler, error)

    def _run(self, hub: Hub, number: int) -> None:
        try:
            self.handler(number, hub.main.gr_frame)
        except BaseException as error:
            hub.call_soon(hub._throw_into_main, error)


def signal(signalnum: int, handler: Any, /) -> Any:
    """As `signal.signal`; the handler may wait."""
    return _plain(originals.signal_signal(signalnum, _Handler(handler) if callable(handler) else handler))


def getsignal(signalnum: int, /) -> Any:
    """As `signal.getsignal`."""
    return _plain(originals.signal_getsignal(signalnum))


def _plain(handler: Any) -> Any:
    return handler.handler if isinstance(handler, _Handler) else handler


def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
    """As `signal.set_wakeup_fd`: the hub passes the bytes on to `fd`."""
    hub = current_hub()
    if hub is None or hub._wakeup_pipe is None:
        return originals.set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    previous, hub.user_wakeup_fd = hub.user_wakeup_fd, fd
    return previous


def pause() -> None:
    """As `signal.pause`: wait until a handler has run."""
    hub = current_hub()
    if hub is None:
        originals.signal_pause()
        return
    waiter = Waiter(hub)
    hub.signal_waiters.append(waiter)
    try:
        waiter.wait()
    finally:
        hub.signal_waiters.remove(waiter)


def _signal_descriptor(signals: set[int]) -> int:
    """A descriptor that is readable while one of these (blocked) signals is pending; -1 if there is none."""
    if not sys.platform.startswith("linux"):
        return -1
    import ctypes  # only who waits for signals pays for it

    bits = (ctypes.c_ubyte * 128)()
    for number in signals:
        bits[(number - 1) // 8] |= 1 << (number - 1) % 8
    try:
        fd: int = ctypes.CDLL(None).signalfd(-1, bits, 0o2004000)  # SFD_CLOEXEC | SFD_NONBLOCK
    except AttributeError:
        return -1
    return fd


def sigtimedwait(sigset: Iterable[int], timeout: float | None, /) -> Any:
    """As `signal.sigtimedwait`: the signal, or None after `timeout` seconds."""
    native: Any = originals.sigtimedwait
    wanted = {int(number) for number in sigset}
    hub = current_hub()
    if hub is None:
        return native(wanted, timeout)
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    deadline = None if timeout is None else monotonic() + timeout
    found = native(wanted, 0)
    fd = -1 if found else _signal_descriptor(wanted)
    try:
        while found is None:
            rest = None if deadline is None else deadline - monotonic()
            if rest is not None and rest <= 0:
                return None
            if fd >= 0:
                hub.wait_fd(fd, READ, rest)
            else:
                sleep(0.01 if rest is None else min(rest, 0.01))
            found = native(wanted, 0)
        return found
    finally:
        if fd >= 0:
            originals.os_close(fd)


def sigwaitinfo(sigset: Iterable[int], /) -> Any:
    """As `signal.sigwaitinfo`."""
    return sigtimedwait(sigset, None)


def sigwait(sigset: Iterable[int], /) -> Any:
    """As `signal.sigwait`."""
    if current_hub() is None:
        return originals.sigwait(sigset)
    number = sigtimedwait(sigset, None).si_signo
    try:
        return _signal.Signals(number)
    except ValueError:
        return number
