"""The annexe on greenlets: dualwsgi.green under eventlet's names and with its habits."""

from __future__ import annotations

import signal
import sys
import traceback
from _thread import get_ident as native_ident
from collections.abc import Callable
from functools import partial
from typing import Any

from dualwsgi import green
from dualwsgi.green import GreenletExit, getcurrent, local
from dualwsgi.green import Timeout as _Timeout
from dualwsgi.green import sleep as _sleep
from dualwsgi.green.hub import Timer, Waiter, forget_fd, leave_forked_child, report_error
from dualwsgi.green.originals import allocate_lock, monotonic, start_background_thread

__all__ = [
    "GreenThread",
    "GreenletExit",
    "Interrupter",
    "Timeout",
    "accept",
    "allocate_lock",
    "cancel",
    "forget_fd",
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

NAME = "green"
greenlet: Any = sys.modules["greenlet"]  # the module, which eventlet shows as support.greenlets
new_event = green.Event
start_native_thread = start_background_thread


def new_waiter() -> Waiter:
    """What the current greenlet can wait on, once."""
    return Waiter(green.get_hub())


def wake(waiter: Waiter) -> None:
    """Ends a wait: in the hub itself at once, so that what a callback gives is taken when it returns."""
    if getcurrent() is waiter.hub.greenlet and waiter.greenlet is not None:
        waiter.resume()
    else:
        waiter.wake()


def sleep(seconds: float = 0) -> None:
    """Lets the others run for `seconds`; 0 lets each that is ready run once."""
    if getcurrent() is green.get_hub().greenlet and seconds <= 0:
        return  # a callback, which cannot wait
    _sleep(seconds if seconds > 0 else 0)


def accept(sock: Any) -> tuple[Any, Any]:
    """accept(), in which a kill or an interrupt ends the wait."""
    return sock.accept()  # type: ignore[no-any-return]


class Timeout(_Timeout):
    """Raised in the current greenlet when `seconds` have passed; see dualwsgi.green.Timeout."""

    is_timeout = True

    def __init__(self, seconds: float | None = None, exception: Any = None) -> None:
        super().__init__(seconds, None if exception is True else exception)


def end_timeout(timeout: Timeout) -> None:
    """cancel()."""
    timeout.cancel()


# Greenlets

Throw = tuple[Any, ...]
"""What throw() takes: a class or an instance, or a class, a value and a traceback."""


class _Simple(greenlet.greenlet):  # type: ignore[misc]
    """What spawn_n returns: a greenlet that nobody waits for."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hub = green.get_hub()
        super().__init__(None, hub.greenlet)
        self._hub = hub
        self._call: Any = (fn, args, kwargs)
        self._timer: Timer | None = None

    def start(self, seconds: float | None = None) -> None:
        self._hub.greenlets.add(self)
        if seconds is None:
            self._hub.call_soon(self._begin)
        else:
            self._timer = self._hub.call_later(seconds, self._begin)

    def _begin(self) -> None:
        if self._call is not None and not self.dead:
            self.switch()

    def run(self) -> None:
        fn, args, kwargs = self._call
        self._call = None
        try:
            fn(*args, **kwargs)
        except GreenletExit:
            pass
        except BaseException as error:
            self._hub.failed(fn, error)
        finally:
            del fn, args, kwargs
            self._over()

    def _over(self) -> None:
        self._hub.greenlets.discard(self)
        if self._hub.main is self:
            leave_forked_child()

    def unstart(self) -> None:
        """It will never run."""
        if self._timer is not None:
            self._timer.cancel()
        self._call = None
        self._hub.greenlets.discard(self)


class GreenThread(green.GreenThread):
    """What spawn returns: a greenlet that can be waited for, linked and killed."""

    shown: Any = None  # what threading.current_thread() says of it, if that was asked

    def wait(self, timeout: float | None = None) -> Any:
        """What its function returned; raises what that raised, GreenletExit if it was killed."""
        return self.get(timeout)

    def _finish(self) -> None:
        error = self._error
        links, self._links = self._links, []
        self._finished = True
        for fn, args, kwargs in links:
            try:
                fn(self, *args, **kwargs)
            except BaseException as another:
                self.hub.failed(fn, another)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            # The main greenlet gets it before it runs again, as if it had passed through the hub.
            self.hub._ready.appendleft((self.hub._throw_into_main, (error,)))
            self._error = None
        # Like eventlet: told, although somebody may wait for it and be told as well.
        self._watched = isinstance(error, GreenletExit)
        super()._finish()
        self._error = error

    def link(self, fn: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Calls fn(self, *args, **kwargs) when it has ended; at once if it has."""
        if self._finished:
            fn(self, *args, **kwargs)
        else:
            self._links.append((fn, args, kwargs))

    def kill(self, *throw: Any) -> None:
        """Raises GreenletExit, or what is given, where it waits."""
        kill(self, *throw)

    def cancel(self, *throw: Any) -> None:
        """As kill(), for one that has not begun; nothing otherwise."""
        cancel(self, *throw)


def unstarted(func: Callable[..., Any], args: Any, kwargs: Any) -> GreenThread:
    """A GreenThread that is not started: start() does that."""
    # Its own parameters have names, too, which may be among those of the call.
    return GreenThread(partial(func, *args, **kwargs)) if kwargs else GreenThread(func, *args)


def spawn(func: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """Runs func(*args, **kwargs) in a greenlet of its own, when the caller next waits."""
    thread = unstarted(func, args, kwargs)
    thread.start()
    return thread


def spawn_n(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """As spawn(), without a result to wait for."""
    thread = _Simple(func, args, kwargs)
    thread.start()
    return thread


def spawn_after(seconds: float, func: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """As spawn(), when `seconds` have passed."""
    thread = unstarted(func, args, kwargs)
    thread.start_later(seconds)
    return thread


def spawn_after_local(seconds: float, func: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """As spawn_after(), unless the calling greenlet has ended by then."""
    caller = getcurrent()

    def begin() -> None:
        if caller.dead:
            thread.cancel()
        else:
            thread._begin()

    thread = unstarted(func, args, kwargs)
    hub = green.get_hub()
    hub.greenlets.add(thread)
    thread._timer = hub.call_later(seconds, begin)
    return thread


def kill(thread: Any, *throw: Any) -> None:
    """Raises GreenletExit, or what is given, where `thread` waits; the caller goes on after it.

    One that has not begun never runs.
    """
    if thread is None or thread.dead:
        return
    if getcurrent() is thread:
        raise _exception(throw)
    hub = green.get_hub()
    if isinstance(thread, GreenThread) and thread._call is not None:
        thread._kill_now(_exception(throw))
        throw = ()
    elif isinstance(thread, _Simple) and thread._call is not None:
        thread.unstart()
        throw = ()
    hub.call_soon(_throw, thread, throw or (GreenletExit,))
    if getcurrent() is not hub.greenlet:
        sleep(0)


def cancel(thread: Any, *throw: Any) -> None:
    """As kill(), for a greenlet that has not begun; nothing otherwise."""
    if not thread.dead and getattr(thread, "_call", None) is not None:
        kill(thread, *throw)


class Interrupter:
    """Raises errors where its maker waits; for any greenlet or thread, without waiting, until close()."""

    def __init__(self) -> None:
        self._hub, self._maker = green.get_hub(), getcurrent()
        self._is_closed = False

    def __call__(self, error: BaseException) -> None:
        self._hub.call_soon(self._throw, error)

    def _throw(self, error: BaseException) -> None:
        if not self._is_closed:
            _throw(self._maker, (error,))

    def close(self) -> None:
        """What has not been raised by now is not."""
        self._is_closed = True


def _throw(thread: Any, throw: Throw) -> None:
    if not thread.dead:
        thread.throw(*throw)


def _exception(throw: Throw) -> BaseException:
    if not throw:
        return GreenletExit()
    kind, *rest = throw
    error: BaseException = kind if isinstance(kind, BaseException) else kind(*rest[:1])
    return error.with_traceback(rest[1]) if len(rest) > 1 else error


# For pools and queues


def run_inline(thread: GreenThread) -> None:
    """Runs one that is not started to its end, in the caller's greenlet."""
    thread.run()


def give_way() -> None:
    """Lets those who are ready run; nothing in the hub itself."""
    if getcurrent() is not green.get_hub().greenlet:
        sleep(0)


# The hub, as eventlet shows it


class HubView:
    """A hub under eventlet's names, for those who ask it or give it calls."""

    def __init__(self, hub: green.Hub) -> None:
        self.hub = hub
        self.clock = monotonic
        self.call_soon = hub.call_soon
        self.debug_exceptions = True
        self.debug_blocking = False
        self._aborted_in = -1

    @property
    def greenlet(self) -> Any:
        return self.hub.greenlet

    @property
    def running(self) -> bool:
        """Whether the loop has turned since abort()."""
        return self.hub.turn != self._aborted_in

    def switch(self) -> Any:
        """Waits until somebody switches to the caller, or throws into it."""
        return self.hub.switch()

    def ensure_greenlet(self) -> None: ...

    # Timers

    def schedule_call_global(self, seconds: float, cb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """cb(*args, **kwargs) in the hub, when `seconds` have passed; returns what has cancel()."""
        return HubTimer(self.hub, seconds, partial(cb, *args, **kwargs), None)

    def schedule_call_local(self, seconds: float, cb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The same, unless the calling greenlet has ended by then."""
        return HubTimer(self.hub, seconds, partial(cb, *args, **kwargs), getcurrent())

    @property
    def timers(self) -> list[Any]:
        return [timer for _, _, timer in self.hub._timers]

    @property
    def timers_canceled(self) -> int:
        return self.hub._cancelled

    def get_timers_count(self) -> int:
        """Timers that are kept, cancelled ones among them."""
        return len(self.hub._timers)

    # Descriptors

    def get_readers(self) -> list[int]:
        return self.hub.waiting(green.READ)

    def get_writers(self) -> list[int]:
        return self.hub.waiting(green.WRITE)

    def mark_as_reopened(self, fd: int) -> None:
        """`fd` is a new descriptor: who waits for one that had its number waits for nothing, and is told."""
        forget_fd(fd)

    # Telling

    def set_debug_listeners(self, value: bool) -> None: ...

    def set_timer_exceptions(self, value: bool) -> None:
        self.debug_exceptions = value

    def squelch_exception(self, fd: int, exc_info: Any) -> None:
        traceback.print_exception(*exc_info)

    def abort(self, wait: bool = False) -> None:
        """eventlet's loop ends by this until somebody waits; here it turns no more until then."""
        self._aborted_in = self.hub.turn


class HubTimer:
    """A call that the hub will make."""

    def __init__(self, hub: green.Hub, seconds: float, call: Callable[[], Any], owner: Any) -> None:
        self._call = call
        self._owner = owner
        self.called = False
        self.seconds = seconds
        self._timer: Timer | None = None
        if seconds > 0:
            self._timer = hub.call_later(seconds, self)
        else:
            hub.call_soon(self)  # before those who become ready after it

    def __call__(self) -> None:
        if self.called:
            return
        self.called = True
        if self._owner is None or not self._owner.dead:
            self._call()

    @property
    def pending(self) -> bool:
        return not self.called

    def cancel(self) -> None:
        self.called = True
        if self._timer is not None:
            self._timer.cancel()


_views: dict[int, HubView] = {}


def hub_view() -> HubView:
    """The hub of this OS thread."""
    hub = green.get_hub()
    view = _views.get(id(hub))
    if view is None or view.hub is not hub:
        view = _views[id(hub)] = HubView(hub)
        hub.on_error = partial(_report, view)
    return view


def notify_opened(fd: int) -> None:
    """`fd` is a new descriptor: who waits for one that had its number is told.  Makes no hub."""
    if green.current_hub() is not None:
        hub_view().mark_as_reopened(fd)
    else:
        forget_fd(fd)


def _report(view: HubView, where: object, error: BaseException) -> None:
    if view.debug_exceptions:
        report_error(where, error)


def print_exceptions(state: bool) -> None:
    """Whether what nobody catches is printed to standard error."""
    hub_view().debug_exceptions = state


def choose_hub(name: str) -> None:
    """There is one hub, and it is in use."""


def trace(function: Any) -> None:
    """A trace function for all greenlets of this thread; None for no more."""
    sys.settrace(function)


_sole_waiters = True


def sole_waiters() -> bool:
    """Whether a second greenlet that waits to read, or to write, one socket is refused."""
    return _sole_waiters


def prevent_multiple_readers(state: bool) -> None:
    """Whether that is so."""
    global _sole_waiters
    _sole_waiters = state


def wait_fd(fd: int, write: bool, timeout: float | None) -> bool:
    """Whether `fd` became readable, or writable, within `timeout` seconds."""
    return green.get_hub().wait_fd(fd, green.WRITE if write else green.READ, timeout)


def blocking_detection(state: bool, resolution: float) -> None:
    """Raises RuntimeError in whoever keeps the hub for `resolution` seconds, by SIGALRM."""
    global _detector
    if _detector is not None:
        _detector.stop()
        _detector = None
    if state:
        _detector = _Detector(green.get_hub(), resolution)


class _Detector:
    """Sets an alarm whenever the hub begins a turn."""

    def __init__(self, hub: green.Hub, resolution: float) -> None:
        self._hub = hub
        self._resolution = resolution
        self._before = signal.signal(signal.SIGALRM, self._held)
        self._timer: Timer | None = None
        self._again()

    def _again(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._resolution)
        self._timer = self._hub.call_later(self._resolution / 2, self._again)

    def _held(self, number: int, frame: Any) -> None:
        raise RuntimeError(f"Blocking detector ALARMED at {traceback.format_stack(frame)[-1].strip()}")

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


_detector: _Detector | None = None


# Real threads

_native: green.ThreadPool | None = None
_native_size = 20


def in_native_thread(call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Runs it in a real thread, while the other greenlets go on."""
    global _native
    if _native_size == 0 or native_ident() in _working:
        return call(*args, **kwargs)
    if _native is None:
        _native = green.ThreadPool(_native_size)
    green.get_hub()
    return _native.apply(_work, call, args, kwargs)


_working: set[int] = set()


def _work(call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    me = native_ident()
    _working.add(me)
    try:
        return call(*args, **kwargs)
    finally:
        _working.discard(me)


def end_native_threads() -> None:
    """The pool's threads leave by themselves when they have had no work for a while."""
    global _native
    _native = None


def size_native_threads(size: int) -> None:
    """How many real threads run calls at once."""
    global _native, _native_size
    _native_size = size
    _native = None


def open_for_accepting(sock: Any) -> Callable[[], None]:
    """Green listeners never block; returns the undo."""
    return lambda: None
