"""Greenlets that can be joined, killed and linked, and `sleep`.

A `GreenThread` is a greenlet whose parent is the hub.  It keeps what its function returned or raised,
wakes who joins it and calls who linked it.  Knows the hub, and nothing of patching or threading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from dualwsgi.green import originals
from dualwsgi.green.hub import Hub, NativeWaiter, Waiter, current_hub, get_hub, leave_forked_child, new_waiter
from dualwsgi.green.local import forget_all

__all__ = ["GreenThread", "GreenletExit", "getcurrent", "join_all", "kill", "sleep", "spawn", "spawn_after"]


class GreenThread(greenlet):
    """A function that runs in a greenlet of its own.

    It starts in the hub's next turn, in an empty contextvars context (as a thread does before Python
    3.14; hand `contextvars.copy_context().run` over to pass yours on).  An exception that nobody
    links to, joins or gets is reported by the hub's `on_error`.
    """

    def __init__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.hub: Hub = get_hub()
        super().__init__(None, self.hub.greenlet)
        self._call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = (fn, args, kwargs)
        self._timer: Any = None
        self._finished = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._watched = False
        self._joiners: list[Waiter | NativeWaiter] = []
        self._links: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []

    # Starting

    def start(self) -> None:
        """Run in the hub's next turn, in the order of the calls."""
        self.hub.greenlets.add(self)
        self.hub.call_soon(self._begin)

    def start_later(self, seconds: float) -> None:
        """Run when `seconds` have passed."""
        self.hub.greenlets.add(self)
        self._timer = self.hub.call_later(seconds, self._begin)

    def _begin(self) -> None:
        if self._call is not None:
            self.switch()

    def run(self) -> None:
        """The body: call, keep the outcome, tell."""
        assert self._call is not None
        fn, args, kwargs = self._call
        self._call = None
        try:
            self._value = fn(*args, **kwargs)
        except BaseException as error:
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            self._error = error
        finally:
            del fn, args, kwargs
        # The frames of the traceback refer to this one, and the error is ours: were `self` left in
        # here, that would be a cycle, and what the function held would live until it is collected.
        finish = [self._finish]
        del self
        finish.pop()()

    def _finish(self) -> None:
        self._finished = True
        self._call = None
        self.hub.greenlets.discard(self)
        error = self._error
        if error is not None and (not self._watched or isinstance(error, KeyboardInterrupt | SystemExit)):
            self.hub.failed(self, error)
        for waiter in self._joiners:
            waiter.wake()
        self._joiners.clear()
        if self._links:
            self.hub.call_soon(self._call_links)
        forget_all(self)
        if self.hub.main is self:
            leave_forked_child()

    def _call_links(self) -> None:
        while self._links:
            fn, args, kwargs = self._links.pop(0)
            try:
                fn(self, *args, **kwargs)
            except BaseException as error:
                self.hub.failed(fn, error)

    # Watching

    @property
    def finished(self) -> bool:
        """True when it has returned, raised or been killed."""
        return self._finished

    @property
    def value(self) -> Any:
        """What the function returned; None while it runs or when it raised."""
        return self._value

    @property
    def exception(self) -> BaseException | None:
        """What the function raised (GreenletExit if it was killed plainly)."""
        return self._error

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has finished; False if `timeout` seconds passed first.  Raises nothing of its own."""
        self._watched = True
        if self._finished:
            return True
        waiter = new_waiter()
        self._joiners.append(waiter)
        if self._finished:  # in another thread, just now
            return True  # type: ignore[unreachable]
        try:
            waiter.wait(timeout)
        finally:
            if waiter in self._joiners:
                self._joiners.remove(waiter)
        return self._finished

    def get(self, timeout: float | None = None) -> Any:
        """What the function returned; raises what it raised, and TimeoutError after `timeout` seconds."""
        if not self.join(timeout):
            raise TimeoutError(f"{self!r} has not finished in {timeout} s")
        if self._error is not None:
            raise self._error
        return self._value

    wait = get

    def link(self, fn: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call `fn(self, *args, **kwargs)` in the hub when it has finished; soon if it has already."""
        self._watched = True
        self._links.append((fn, args, kwargs))
        if self._finished:
            self.hub.call_soon(self._call_links)

    def unlink(self, fn: Callable[..., object], *args: Any, **kwargs: Any) -> bool:
        """Take a link back; False if there is none."""
        try:
            self._links.remove((fn, args, kwargs))
        except ValueError:
            return False
        return True

    # Ending

    def kill(self, error: BaseException | type[BaseException] = GreenletExit, block: bool = True) -> None:
        """Raise `error` where it waits; one that has not started never runs.

        `block` waits until it has finished.  From another thread, or for oneself, it does not wait:
        killing oneself raises here.
        """
        if self._finished:
            return
        if getcurrent() is self:
            raise error
        if current_hub() is not self.hub:
            self.hub.call_soon(self._kill_now, error)
        elif self._call is not None:
            self._kill_now(error)
        elif block and getcurrent() is not self.hub.greenlet:
            self.hub.call_soon(self._kill_now, error)
            self.join()
        else:
            self.hub.call_soon(self._kill_now, error)

    def _kill_now(self, error: BaseException | type[BaseException]) -> None:
        if self._finished:
            return
        if self._call is not None:  # not started
            if self._timer is not None:
                self._timer.cancel()
            self._watched = True
            self._error = error() if isinstance(error, type) else error
            self._finish()
            return
        self.throw(error)

    def cancel(self) -> None:
        """Kill it if it has not started yet; nothing otherwise."""
        if self._call is not None:
            self._kill_now(GreenletExit)

    def __repr__(self) -> str:
        state = "finished" if self._finished else "running" if self._call is None else "new"
        name = "" if self._call is None else getattr(self._call[0], "__qualname__", "")
        return f"<GreenThread {name} {state} at {id(self):#x}>"


def spawn(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """Run `fn(*args, **kwargs)` in a greenlet of its own, from the hub's next turn on."""
    thread = GreenThread(fn, *args, **kwargs)
    thread.start()
    return thread


def spawn_after(seconds: float, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """The same when `seconds` have passed."""
    thread = GreenThread(fn, *args, **kwargs)
    thread.start_later(seconds)
    return thread


def kill(thread: greenlet, error: BaseException | type[BaseException] = GreenletExit) -> None:
    """Raise `error` in a greenlet, where it waits; see `GreenThread.kill`.  Takes plain greenlets, too."""
    if isinstance(thread, GreenThread):
        thread.kill(error)
    elif not thread.dead:
        if getcurrent() is thread:
            raise error
        get_hub().call_soon(thread.throw, error)
        sleep(0)


def join_all(threads: list[GreenThread], timeout: float | None = None) -> bool:
    """Join each; False if `timeout` seconds were not enough for all."""
    deadline = None if timeout is None else originals.monotonic() + timeout
    for thread in threads:
        if not thread.join(None if deadline is None else max(0.0, deadline - originals.monotonic())):
            return False
    return True


def sleep(seconds: float = 0) -> None:
    """Wait `seconds`; 0 lets every other ready greenlet run once.  ValueError if negative."""
    hub = current_hub()
    if hub is None:
        originals.sleep(seconds)
        return
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    waiter = Waiter(hub)
    if seconds == 0:
        hub.call_soon(waiter.resume)
        waiter.wait()
    else:
        waiter.wait(seconds)
