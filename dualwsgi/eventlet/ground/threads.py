"""The annexe on OS threads: eventlet's names for what a thread can do.

A thread cannot be stopped from outside.  What eventlet does between any two switches (killing, timeouts)
is done here at *safe points*: wherever a thread waits in this package, in sleep(), an Event, a Queue,
a Semaphore, a pool, accept(), and the sockets of this package while a Timeout is running.  Elsewhere

  - kill() of a thread that is not at a safe point warns, with the caller's place, and ends it at the
    next one;
  - a Timeout whose time is up is raised at the next one; one that could not be raised before its
    block was over warns, with the place of the block.

Never imports greenlet.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import local
from time import monotonic
from types import SimpleNamespace, TracebackType
from typing import Any, Final

__all__ = [
    "GreenThread",
    "GreenletExit",
    "Interrupter",
    "Timeout",
    "accept",
    "allocate_lock",
    "cancel",
    "getcurrent",
    "greenlet",
    "kill",
    "local",
    "new_event",
    "new_waiter",
    "sleep",
    "spawn",
    "spawn_after",
    "spawn_after_local",
    "spawn_n",
]

NAME = "threads"
allocate_lock = threading.Lock
new_event = threading.Event

KILL_PATIENCE: Final = 0.25
"""Seconds for which kill() waits for a thread at a safe point to end."""


_MOMENT: Final = 1e-6
"""Seconds, which the system makes some 50 times as long."""


class GreenletExit(BaseException):
    """What kill() raises."""


# Safe points


class Strand:
    """One OS thread, as this package sees it: what is thrown at it, and what it waits on."""

    dead = False
    parent = None

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._thrown: list[BaseException] = []
        self._waiter: Waiter | None = None
        self._bell: tuple[int, int] | None = None
        self._polled = -1  # the descriptor that it waits for
        self.timeouts: list[Timeout] = []

    def throw(self, *throw: Any) -> bool:
        """Has it raise at its next safe point, which is now if it waits at one; whether it does."""
        with self._guard:
            self._thrown.append(_exception(throw))
            waiter, polling = self._waiter, self._polled >= 0
        if waiter is not None:
            waiter.nudge()
        if polling:
            self._ring()
        return waiter is not None or polling

    def take_back(self, errors: list[BaseException]) -> None:
        """Of these, it raises none that it has not raised yet."""
        with self._guard:
            self._thrown = [error for error in self._thrown if error not in errors]

    def forget(self, fd: int) -> None:
        """Has it raise EBADF if it waits for `fd`."""
        with self._guard:
            if self._polled != fd:
                return
            self._polled = -1
        self._ring()

    def _ring(self) -> None:
        bell = self._bell
        if bell is not None:
            with suppress(OSError):
                os.write(bell[1], b"!")

    def check(self) -> None:
        """A safe point: raises what was thrown, or a Timeout whose time is up."""
        if self._thrown:
            with self._guard:
                error = self._thrown.pop(0)
            raise error
        if self.timeouts:
            now = monotonic()
            for timeout in self.timeouts:
                if timeout.due <= now:
                    timeout.fire()

    def until(self, deadline: float | None) -> float | None:
        """Seconds to wait at most, None for ever: until `deadline` or the first Timeout."""
        if self.timeouts:
            first = min(timeout.due for timeout in self.timeouts)
            deadline = first if deadline is None else min(first, deadline)
        return None if deadline is None else max(0.0, deadline - monotonic())

    def wait_fd(self, fd: int, write: bool, timeout: float | None) -> bool:
        """Whether `fd` became readable, or writable, within `timeout` seconds."""
        if fd < 0:
            raise OSError(9, "Bad file descriptor")
        deadline = None if timeout is None else monotonic() + timeout
        bell = self._bell
        if bell is None:
            bell = self._bell = os.pipe()
            for end in bell:
                os.set_blocking(end, False)
        poll = select.poll()
        poll.register(fd, select.POLLOUT if write else select.POLLIN)
        poll.register(bell[0], select.POLLIN)
        self._polled = fd
        _polling.add(self)
        try:
            while True:
                self.check()
                if self._polled != fd:
                    raise OSError(9, "Bad file descriptor")
                left = self.until(deadline)
                found = poll.poll(None if left is None else left * 1000 + 1)
                if any(number == bell[0] for number, _ in found):
                    with suppress(BlockingIOError):
                        os.read(bell[0], 4096)
                if self._polled == fd and any(number == fd for number, _ in found):
                    if any(event & select.POLLNVAL for _, event in found):
                        raise OSError(9, "Bad file descriptor")
                    return True
                if deadline is not None and monotonic() >= deadline:
                    return False
        finally:
            self._polled = -1
            _polling.discard(self)

    def close(self) -> None:
        """Its thread has ended."""
        bell, self._bell = self._bell, None
        for end in bell or ():
            os.close(end)

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


_polling: set[Strand] = set()
"""Those that wait for a descriptor."""


class _Here(local):
    strand: Strand | None = None


_here = _Here()


def getcurrent() -> Any:
    """The running thread: a GreenThread if it was spawned here."""
    strand = _here.strand
    if strand is None:
        strand = _here.strand = Strand()
        if threading.current_thread() is threading.main_thread():
            global _main
            _main = strand
    return strand


_main: Strand | None = None


class Waiter:
    """One wait of one thread: made for it, thrown away after it.  `wake` may come from anywhere."""

    __slots__ = ("_lock", "woken")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.woken = False

    def wait(self, timeout: float | None = None) -> bool:
        """Until wake(): True.  Or until `timeout` seconds have passed: False."""
        strand: Strand = getcurrent()
        deadline = None if timeout is None else monotonic() + timeout
        strand._waiter = self
        try:
            while not self.woken:
                strand.check()
                left = strand.until(deadline)
                self._lock.acquire(True, -1 if left is None else min(left, 1e6))
                if deadline is not None and monotonic() >= deadline:
                    break
        finally:
            strand._waiter = None
        return self.woken

    def wake(self) -> None:
        """Ends the wait."""
        self.woken = True
        self.nudge()

    def nudge(self) -> None:
        """Has the waiting thread look at what has happened."""
        with suppress(RuntimeError):  # nudged twice
            self._lock.release()


new_waiter = Waiter


def wake(waiter: Waiter) -> None:
    """Ends a wait."""
    waiter.wake()


def sleep(seconds: float = 0) -> None:
    """Waits `seconds`; 0 lets other threads run."""
    if seconds <= 0:
        getcurrent().check()
        # time.sleep(0) gives the interpreter back before anybody who waits for it has woken up.
        time.sleep(_MOMENT)
    else:
        Waiter().wait(seconds)


class Interrupter:
    """Raises errors where its maker waits; called by any thread, without waiting, until close()."""

    def __init__(self) -> None:
        self._strand: Strand = getcurrent()
        self._guard = threading.Lock()
        self._errors: list[BaseException] | None = []

    def __call__(self, error: BaseException) -> None:
        with self._guard:
            if self._errors is not None:
                self._errors.append(error)
                self._strand.throw(error)

    def close(self) -> None:
        """What has not been raised by now is not."""
        with self._guard:
            errors, self._errors = self._errors, None
        self._strand.take_back(errors or [])


def accept(sock: Any) -> tuple[Any, Any]:
    """accept(), in which a kill or an interrupt ends the wait if the socket is a plain one."""
    import socket
    import ssl

    standard = (socket.socket.accept, ssl.SSLSocket.accept)
    if type(sock).accept not in standard or "accept" in getattr(sock, "__dict__", ()):
        return sock.accept()  # type: ignore[no-any-return]
    while True:
        if not getcurrent().wait_fd(sock.fileno(), False, sock.gettimeout()):
            raise TimeoutError("timed out")
        try:
            return sock.accept()  # type: ignore[no-any-return]
        except BlockingIOError:
            pass  # another process was quicker


def open_for_accepting(sock: Any) -> Callable[[], None]:
    """A listener that other processes share must not block the one who was late; returns the undo."""
    fd = sock.fileno()
    if not os.get_blocking(fd):
        return lambda: None
    os.set_blocking(fd, False)

    def undo() -> None:
        if sock.fileno() == fd:  # else it was closed, and the number may be another's
            os.set_blocking(fd, True)

    return undo


# Timeouts


class Timeout(BaseException):
    """Raised in the current thread, at a safe point, when `seconds` have passed.

    `exception` is what to raise instead, or False to leave a `with` block silently.
    """

    is_timeout = True

    def __init__(
        self,
        seconds: float | None = None,
        exception: BaseException | type[BaseException] | bool | None = None,
    ) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.exception = None if exception is True else exception
        self.due = 0.0
        self._strand: Strand | None = None
        self._place = ("", 0)  # file and line that started it
        self.start()

    def start(self) -> None:
        """Starts the clock for the current thread.  AssertionError if it runs already."""
        assert not self.pending, f"{self!r} has been started already; to restart it, cancel it first"
        if self.seconds is not None:
            self.due = monotonic() + self.seconds
            strand: Strand = getcurrent()
            self._strand = strand
            self._place = _place_outside()
            strand.timeouts.append(self)

    @property
    def pending(self) -> bool:
        """Whether the clock runs."""
        return self._strand is not None

    def fire(self) -> None:
        """Raises: the time is up."""
        self._stop()
        if self.exception is None or self.exception is False:
            raise self
        raise self.exception

    def _stop(self) -> None:
        strand, self._strand = self._strand, None
        if strand is not None and self in strand.timeouts:
            strand.timeouts.remove(self)

    def cancel(self) -> None:
        """Stops the clock.  Warns if it should have raised."""
        self._cancel(3)

    def _cancel(self, level: int) -> None:
        if self._strand is None:
            return
        self._stop()
        late = monotonic() - self.due
        if late > 0:
            warnings.warn(self._excuse(late), RuntimeWarning, stacklevel=level)

    def outlive(self) -> None:
        """Its thread ends without having cancelled it.  Warns if it should have raised."""
        late = monotonic() - self.due
        if late > 0:
            file, line = self._place
            warnings.warn_explicit(self._excuse(late), RuntimeWarning, file, line)

    def _excuse(self, late: float) -> str:
        return (
            f"Timeout({self.seconds}) was up {late:.3f} s before its end and could not be raised: on"
            " threads that is done only where the thread waits in dualwsgi.eventlet. Use the timeouts"
            " of what is called (a socket's, a lock's), or the green backend."
        )

    def __enter__(self) -> Timeout:
        if not self.pending:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self._cancel(3)
        else:
            self._stop()
        return error is self and self.exception is False

    def __str__(self) -> str:
        if self.seconds is None:
            return ""
        plural = "" if self.seconds == 1 else "s"
        if self.exception is None:
            return f"{self.seconds} second{plural}"
        if self.exception is False:
            return f"{self.seconds} second{plural} (silent)"
        return f"{self.seconds} second{plural} ({self.exception!r})"

    def __repr__(self) -> str:
        state = " pending" if self.pending else ""
        return f"<Timeout at {id(self):#x} seconds={self.seconds!r} exception={self.exception!r}{state}>"


def end_timeout(timeout: Timeout) -> None:
    """cancel() in the name of who called the function that calls this one."""
    timeout._cancel(4)


def _place_outside() -> tuple[str, int]:
    """File and line of who has called what stands in this file."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


# Threads

_print_exceptions = True


class GreenThread(Strand):
    """What spawn returns: a thread that can be waited for, linked, and ended at a safe point."""

    def __init__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._call: Any = (fn, args, kwargs)
        self._delay: Waiter | None = None
        self._owner: Strand | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._finished = threading.Event()
        self._joiners: list[Waiter] = []
        self._links: list[tuple[Any, Any, Any]] = []

    def start(self) -> None:
        """Begins at once."""
        threading.Thread(target=self._live, args=(None,), daemon=True).start()

    def start_later(self, seconds: float, owner: Strand | None = None) -> None:
        """Begins when `seconds` have passed, unless `owner` has ended by then."""
        self._delay, self._owner = Waiter(), owner
        threading.Thread(target=self._live, args=(seconds,), daemon=True).start()

    def _live(self, seconds: float | None) -> None:
        _here.strand = self
        try:
            if seconds is not None and self._delay is not None:
                self._delay.wait(seconds)
            with self._guard:
                begins = self._call is not None and not (self._owner is not None and self._owner.dead)
            if begins:
                self.run()
            elif not self.dead:
                self._finish(GreenletExit())
        except BaseException as error:
            if not self.dead:
                self._finish(error)
        finally:
            self.close()

    def run(self) -> None:
        """Calls its function, in the calling thread, and keeps the outcome."""
        with self._guard:
            call, self._call = self._call, None
        if call is None:
            return
        fn, args, kwargs = call
        del call
        error: BaseException | None = None
        try:
            self._value = fn(*args, **kwargs)
            for timeout in self.timeouts:
                timeout.outlive()
        except BaseException as caught:
            error = caught
        del fn, args, kwargs
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        self._error = error
        with self._guard:
            self.dead = True
            links, self._links = self._links, []
        try:
            for fn, args, kwargs in links:
                try:
                    fn(self, *args, **kwargs)
                except Exception as another:
                    _report(another)
        finally:
            with self._guard:  # who begins to wait sees that it has ended, or is among those who are woken
                self._finished.set()
                joiners, self._joiners = self._joiners, []
            for waiter in joiners:
                waiter.wake()
        if isinstance(error, KeyboardInterrupt | SystemExit) and _main is not None:
            _main.throw(error)
        elif error is not None and not isinstance(error, GreenletExit):
            _report(error)

    # Watching

    def __bool__(self) -> bool:
        return self._call is None and not self.dead

    def wait(self) -> Any:
        """What its function returned; raises what that raised, GreenletExit if it was killed."""
        self._join(None)
        if self._error is not None:
            raise self._error
        return self._value

    def _join(self, timeout: float | None) -> bool:
        waiter = Waiter()
        with self._guard:
            if self._finished.is_set():
                return True
            self._joiners.append(waiter)
        return waiter.wait(timeout)

    def link(self, fn: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Calls fn(self, *args, **kwargs) when it has ended, in its thread; at once if it has."""
        with self._guard:
            if not self.dead:
                self._links.append((fn, args, kwargs))
                return
        fn(self, *args, **kwargs)

    def unlink(self, fn: Callable[..., object], *args: Any, **kwargs: Any) -> bool:
        """Takes a link back; False if there is none."""
        with self._guard:
            try:
                self._links.remove((fn, args, kwargs))
            except ValueError:
                return False
        return True

    # Ending

    def kill(self, *throw: Any) -> None:
        """Raises GreenletExit, or what is given, at its next safe point."""
        _kill(self, throw, 3)

    def cancel(self, *throw: Any) -> None:
        """As kill(), for one that has not begun; nothing otherwise."""
        cancel(self, *throw)

    def unstart(self, throw: Any) -> bool:
        """Has it never begin; False if it has begun."""
        with self._guard:
            if self._call is None:
                return False
            self._call = None
        self._finish(_exception(throw))
        if self._delay is not None:
            self._delay.wake()
        return True


def unstarted(func: Callable[..., Any], args: Any, kwargs: Any) -> GreenThread:
    """A GreenThread that is not started: start() does that."""
    # Its own parameters have names, too, which may be among those of the call.
    return GreenThread(partial(func, *args, **kwargs)) if kwargs else GreenThread(func, *args)


def spawn(func: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """Runs func(*args, **kwargs) in a thread of its own."""
    thread = unstarted(func, args, kwargs)
    thread.start()
    return thread


spawn_n = spawn


def spawn_after(seconds: float, func: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """As spawn(), when `seconds` have passed."""
    thread = unstarted(func, args, kwargs)
    thread.start_later(seconds)
    return thread


def spawn_after_local(seconds: float, func: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """As spawn_after(), unless the calling thread has ended by then."""
    thread = unstarted(func, args, kwargs)
    thread.start_later(seconds, getcurrent())
    return thread


def kill(thread: Any, *throw: Any) -> None:
    """Raises GreenletExit, or what is given, at the next safe point of `thread`.

    One that has not begun never runs.  RuntimeWarning if it is not at a safe point now.
    """
    _kill(thread, throw, 3)


def _kill(thread: Any, throw: Any, level: int) -> None:
    if thread is None or thread.dead:
        return
    if thread is getcurrent():
        raise _exception(throw)
    if isinstance(thread, GreenThread):
        if thread.unstart(throw):
            return
        if thread.throw(*throw):
            thread._join(KILL_PATIENCE)
            return
        if thread._join(KILL_PATIENCE):
            return
    else:
        thread.throw(*throw)
    warnings.warn(
        "kill() of a thread that does not wait in dualwsgi.eventlet: it goes on until it does. On threads"
        " nothing can be stopped from outside; have it look at an Event, or use the green backend.",
        RuntimeWarning,
        stacklevel=level,
    )


def cancel(thread: Any, *throw: Any) -> None:
    """As kill(), for a thread that has not begun; nothing otherwise."""
    thread.unstart(throw)


def _exception(throw: Any) -> BaseException:
    if not throw:
        return GreenletExit()
    kind, *rest = throw
    error: BaseException = kind if isinstance(kind, BaseException) else kind(*rest[:1])
    return error.with_traceback(rest[1]) if len(rest) > 1 else error


def _report(error: BaseException) -> None:
    if _print_exceptions and sys.stderr is not None:
        traceback.print_exception(error, file=sys.stderr)


def run_inline(thread: GreenThread) -> None:
    """Runs one that is not started to its end, in the caller's thread."""
    thread.run()


def give_way() -> None:
    """Others run anyway."""


greenlet: Any = SimpleNamespace(
    GreenletExit=GreenletExit, getcurrent=getcurrent, greenlet=GreenThread, __name__="greenlet"
)


# What a hub is asked for


class HubView:
    """What can be said under the names of a hub, where there is none."""

    clock = staticmethod(monotonic)
    running = True
    timers_canceled = 0
    greenlet: Any = None

    def get_readers(self) -> list[int]:
        return []

    get_writers = get_readers

    def get_timers_count(self) -> int:
        return 0

    def switch(self) -> Any:
        """Waits for good, or until something is thrown: nobody switches to a thread."""
        Waiter().wait()

    def schedule_call_global(self, seconds: float, cb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """cb(*args, **kwargs) in a thread, when `seconds` have passed; returns what has cancel()."""
        return spawn_after(seconds, cb, *args, **kwargs)

    def schedule_call_local(self, seconds: float, cb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The same, unless the calling thread has ended by then."""
        return spawn_after_local(seconds, cb, *args, **kwargs)

    def mark_as_reopened(self, fd: int) -> None:
        """`fd` is a new descriptor: who waits for one that had its number waits for nothing, and is told."""
        forget_fd(fd)

    def set_debug_listeners(self, value: bool) -> None: ...

    def set_timer_exceptions(self, value: bool) -> None:
        print_exceptions(value)

    def abort(self, wait: bool = False) -> None: ...


_view = HubView()


def hub_view() -> HubView:
    return _view


def print_exceptions(state: bool) -> None:
    """Whether what nobody catches is printed to standard error."""
    global _print_exceptions
    _print_exceptions = state


def prevent_multiple_readers(state: bool) -> None:
    """Several threads may always wait for one descriptor: warns if that is not to be."""
    if state:
        _warn("hub_prevent_multiple_readers(): on threads several may always wait for one socket")


def choose_hub(name: str) -> None:
    """There is none to choose: warns."""
    _warn(f"use_hub({name}) does nothing on threads, where there is no hub; remove the call")


def trace(function: Any) -> None:
    """A trace function for this thread, and for those that begin after it; None for no more."""
    sys.settrace(function)
    threading.settrace(function)


def _warn(text: str) -> None:
    """Warns of what cannot be had, at the place of who called the function that called this one's caller."""
    warnings.warn(text, RuntimeWarning, stacklevel=4)


def wait_fd(fd: int, write: bool, timeout: float | None) -> bool:
    """Whether `fd` became readable, or writable, within `timeout` seconds."""
    strand: Strand = getcurrent()
    return strand.wait_fd(fd, write, timeout)


def forget_fd(fd: int) -> None:
    """`fd` is about to be closed: who waits for it gets EBADF."""
    for strand in list(_polling):
        strand.forget(fd)


def notify_opened(fd: int) -> None:
    """The same."""


def blocking_detection(state: bool, resolution: float) -> None:
    """There is no hub that could be held: warns."""
    if state:
        _warn("hub_blocking_detection: on threads there is no hub to be blocked")


# Native threads are what everything runs in


def in_native_thread(call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    return call(*args, **kwargs)


def end_native_threads() -> None:
    """There is no pool of them."""


def size_native_threads(size: int) -> None:
    """There is no pool of them: warns, unless calls are to be made where the caller is, as they are."""
    if size:
        _warn(
            f"tpool.set_num_threads({size}) bounds nothing on threads, where tpool calls in the caller's"
            " thread; bound what runs at once by a GreenPool or a Semaphore"
        )
