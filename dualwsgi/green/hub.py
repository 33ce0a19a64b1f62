"""The hub: one loop an OS thread that knows what every waiting greenlet waits for.

How it works.  A greenlet that must wait leaves a note about what should wake it (a timer, a
descriptor, a place in some primitive's queue) and switches to the hub's greenlet.  The hub runs what
is ready, fires the timers that are due, asks the poller for descriptors, and switches into whoever
may go on.  Nothing else ever switches into a waiting greenlet; so, whoever wakes somebody (from this
greenlet, another OS thread, a signal handler, a finalizer) only appends to the run queue.

What it guarantees.
- `call_soon` may be called from any thread and any signal handler.  Appending to a deque is atomic;
  the poller is rung only if the hub sleeps.  The hub says that it sleeps *before* it looks at the
  queue for the last time, so a wake-up falls either into that look or into the ring.
- A wake-up that comes late hits nobody: each wait has a `Waiter` of its own, empty once it is over.
- An event of a descriptor that was closed, and whose number was taken again in the same batch of
  events, is not delivered to the newcomer.
- An idle hub notices signals: the C handler of Python writes to a pipe the hub reads.
- After a fork the child's hub is new: own poller, own waker, no timers, no waiting greenlets.

A thread that never had a hub simply blocks: `current_hub()` is None there, and every primitive falls
back to what the system offers.  So real threads (DNS, libraries' own) need no hub and pay for none.

Callbacks run in the hub's greenlet and must not wait; what must wait belongs into a greenlet
(`hub.lend`).  The hub knows no sockets, locks or HTTP.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from dualwsgi.green import originals, poller
from dualwsgi.green.originals import get_native_ident, monotonic, sleep
from dualwsgi.green.poller import EDGE, ERR, HUP, PRI, RDHUP, READ, WRITE

__all__ = [
    "FdWatch",
    "Hub",
    "NativeWaiter",
    "Timer",
    "Waiter",
    "current_hub",
    "forget_fd",
    "get_hub",
    "leave_forked_child",
    "new_waiter",
    "set_aside_running_loop",
]

_READABLE = READ | PRI | RDHUP | HUP | ERR
_WRITABLE = WRITE | HUP | ERR

BLIND_REST = 0.5
"""Seconds between two tries to poll by a descriptor that is gone."""

Callback = Callable[[int, int], object]


class Timer:
    """A call that is due at `when` (seconds of `time.monotonic`)."""

    __slots__ = ("_args", "_fn", "_hub", "pending", "when")

    def __init__(self, hub: Hub, when: float, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._hub = hub
        self.when = when
        self._fn: Callable[..., object] | None = fn
        self._args = args
        self.pending = True
        """True until it has fired or was cancelled; only to be read."""

    def __repr__(self) -> str:
        return f"<Timer of {self._fn!r}>"

    def fire(self) -> None:
        """By the hub, when it is due."""
        fn, args = self._fn, self._args
        self._args = ()
        assert fn is not None
        fn(*args)
        self._fn = None  # if it raises, the report names it

    def cancel(self) -> None:
        """Never call it.  Harmless when it has fired; only for the hub's own thread."""
        if self.pending:
            self.pending = False
            self._fn = None
            self._args = ()
            self._hub._timer_cancelled()


class Hub:
    """The loop of one OS thread.  Get it by `get_hub()`; all but `call_soon` is for its own thread.

    Public attributes: `turn` (int, counts the turns of the loop), `now` (monotonic seconds, when the
    present batch of events was polled), `batch` (what of it is still to be delivered: a callback may
    take its next events by itself, from the left, and put back there what is not its own), `asleep`
    (True while the loop waits for events), `thread_id` (the native ident of its thread), `greenlet`
    (the one it runs in), `main`
    (the greenlet that gets KeyboardInterrupt), `greenlets` (all started and unfinished GreenThreads;
    they are kept alive here, so that a greenlet nobody refers to is not killed by the collector),
    `on_error(where, exception)` (replaceable; reports what a callback or greenlet raised), `on_blind(error)`
    (replaceable; its descriptors can be polled no more, and will not be again).
    """

    def __init__(self, new_poller: Callable[[], poller.Poller] = poller.new_poller) -> None:
        self._new_poller = new_poller
        self.main: greenlet = getcurrent()
        while self.main.parent is not None:
            self.main = self.main.parent
        self.on_error: Callable[[object, BaseException], None] = report_error
        self.on_blind: Callable[[OSError], object] = lambda _: None
        self._seq = itertools.count().__next__
        self._wakeup_pipe: tuple[int, int] | None = None
        self._abandoned: list[object] = []
        self.user_wakeup_fd = -1
        self.turn = 0
        self.now = monotonic()
        # Set by the watcher while it sleeps because this hub does; called at the next turn.
        self.rouse_watcher: Callable[[], None] | None = None
        self._start_afresh()
        _hubs.add(self)

    def _start_afresh(self) -> None:
        """Everything that must not outlive a fork."""
        self.closed = False
        self.thread_id = get_native_ident()
        self.asleep = False
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        # When, a number that tells equal times apart, and what is due then: a wait is its own timer.
        self._timers: list[tuple[float, int, Timer | Waiter]] = []
        self._cancelled = 0
        self._callbacks: dict[int, Callback] = {}
        self._fresh: set[int] = set()
        self.batch: deque[tuple[int, int]] = deque()
        self._idle: list[greenlet] = []
        self.greenlets: set[greenlet] = set()
        self.signal_waiters: list[Waiter] = []
        self._poller = self._new_poller()
        self._waker = poller.Waker()
        self._poller.register(self._waker.fileno(), READ)
        self._callbacks[self._waker.fileno()] = self._on_ring
        self.greenlet = greenlet(self._run, self.main)
        # switch(): wait until somebody switches back into this greenlet.  Bound here, so that a
        # wait costs no Python frame.
        self.switch = self.greenlet.switch
        self._listen_for_signals()

    # Calling functions in the hub

    def call_soon(self, fn: Callable[..., object], *args: Any) -> None:
        """Call `fn(*args)` in the hub's next turn.  From any thread, signal handler or finalizer."""
        self._ready.append((fn, args))
        if self.asleep:
            self._waker.ring()

    call_threadsafe = call_soon

    def call_later(self, seconds: float, fn: Callable[..., object], *args: Any) -> Timer:
        """Call `fn(*args)` in the hub when `seconds` have passed; returns a Timer with `cancel()`."""
        timer = Timer(self, monotonic() + seconds, fn, args)
        heappush(self._timers, (timer.when, self._seq(), timer))
        if self.asleep:  # we are a signal handler that has interrupted the poller
            self._waker.ring()
        return timer

    def lend(self, fn: Callable[..., object], *args: Any) -> None:
        """Run `fn(*args)` at once in a pooled greenlet; returns when it has finished or waits.

        For callbacks: only the hub's greenlet may call it.  The greenlet goes back to the pool when
        `fn` has returned or raised (reported by `on_error`); its locals and contextvars stay, as
        those of a pooled thread do.  Cheaper than `spawn`: two switches, and no new stack.

        To end it early, raise something in it from a callback: `worker.throw(error)`, where worker is
        what `getcurrent()` is inside `fn`; not after `fn` has ended, for then it is someone else's.
        """
        idle = self._idle
        while idle:
            worker = idle.pop()
            if not worker.dead:  # one that was killed after its work
                break
        else:
            worker = greenlet(self._work, self.greenlet)
            self.greenlets.add(worker)
        worker.switch(fn, args)

    def _work(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        me = getcurrent()
        idle, rest = self._idle, self.switch
        try:
            while True:
                try:
                    fn(*args)
                except BaseException as error:
                    self.failed(fn, error)
                del fn, args  # keep nothing alive while idle
                if self.main is me:
                    leave_forked_child()
                if len(idle) >= self.max_idle:
                    return
                idle.append(me)
                fn, args = rest()
        finally:
            self.greenlets.discard(me)

    max_idle = 1024
    """How many idle pooled greenlets are kept."""

    # Descriptors, with callbacks

    def register(self, fd: int, mask: int, callback: Callback) -> None:
        """Call `callback(fd, events)` in the hub whenever `fd` has events of `mask`, until `unregister`.

        `mask` is made of READ, WRITE, PRI and RDHUP, with EDGE or ONESHOT if wanted (level-triggered
        otherwise); `events` has these bits and ERR and HUP.  One callback a descriptor: while it is
        there, no greenlet can wait for the same descriptor.  The owner must `unregister` before it
        closes.  Raises FileExistsError if it is taken, PermissionError for a regular file.
        """
        if fd in self._callbacks and not self._is_stale(fd):
            raise FileExistsError(f"descriptor {fd} has a callback or a waiting greenlet already")
        self._poller.register(fd, mask)
        self._callbacks[fd] = callback
        self._fresh.add(fd)

    def modify(self, fd: int, mask: int) -> None:
        """Change what a registered descriptor reports; what is ready now is reported again."""
        self._poller.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        """Forget a descriptor.  No event of it is delivered after this, whoever gets its number."""
        del self._callbacks[fd]
        try:
            self._poller.unregister(fd)
        except OSError:
            pass  # closed before: the kernel has forgotten it

    def forget(self, fd: int) -> None:
        """The same, cheaper, for one that is its owner's alone, who closes it next."""
        if _has_forked:
            self.unregister(fd)  # a child has it, too, and keeps it in the kernel's set
            return
        del self._callbacks[fd]
        self._poller.forget(fd)

    def set_callback(self, fd: int, callback: Callback) -> None:
        """Give a registered descriptor another callback."""
        if fd not in self._callbacks:
            raise KeyError(fd)
        self._callbacks[fd] = callback

    def _is_stale(self, fd: int) -> bool:
        """Whether the entry of `fd` is left over from a descriptor that was closed without a word."""
        entry = self._callbacks[fd]
        if isinstance(entry, FdWatch) and not entry.waiting:
            entry.detach()
            return True
        return False

    # Descriptors, with greenlets

    def watch(self, fd: int) -> FdWatch:
        """A registration of `fd` that is kept until the descriptor is closed: for sockets.

        Edge-triggered, so its users must try first and wait only after EAGAIN.
        """
        entry = self._callbacks.get(fd)
        if entry is None or (isinstance(entry, FdWatch) and self._is_stale(fd)):
            watch = FdWatch(self, fd, kept=True)
            self._callbacks[fd] = watch
            self._fresh.add(fd)
            return watch
        if isinstance(entry, FdWatch):
            return entry
        raise RuntimeError(f"descriptor {fd} belongs to a callback: no greenlet can wait for it")

    def wait_fd(self, fd: int, mask: int, timeout: float | None = None) -> bool:
        """Wait until `fd` has an event of `mask` (READ, WRITE, PRI); False if `timeout` seconds passed.

        For any descriptor, whoever owns it: registered for this wait only.  A regular file is always
        ready.  OSError(EBADF) if the descriptor is closed meanwhile (by `os.close` or a socket).
        """
        entry = self._callbacks.get(fd)
        if entry is None:
            entry = FdWatch(self, fd, kept=False)
            self._callbacks[fd] = entry
            self._fresh.add(fd)
        elif not isinstance(entry, FdWatch):
            raise RuntimeError(f"descriptor {fd} belongs to a callback: no greenlet can wait for it")
        return entry.wait_level(mask, timeout)

    def forget_fd(self, fd: int) -> None:
        """`fd` is about to be closed: wake who waits for it with OSError(EBADF), and drop it."""
        entry = self._callbacks.get(fd)
        if isinstance(entry, FdWatch):
            entry.close()

    # The loop

    def _run(self) -> None:
        ready = self._ready
        timers = self._timers
        callbacks = self._callbacks
        fresh = self._fresh
        batch = self.batch
        poll = self._poller.poll
        while not self.closed:
            self.turn += 1
            if self.rouse_watcher is not None:
                self.rouse_watcher()
            # Only what is there now: a callback that calls call_soon must not starve the poller.
            for _ in range(len(ready)):
                fn, args = ready.popleft()
                try:
                    fn(*args)
                except BaseException as error:
                    self.failed(fn, error)
            timeout: float | None = None
            if timers:
                due = timers[0][0]
                now = monotonic()
                if due <= now:
                    self._fire_timers(timers, now)
                    now = monotonic()
                if timers:
                    timeout = timers[0][0] - now
            self.asleep = True
            try:
                batch.extend(poll(0 if ready else timeout))
            except BaseException as error:  # a signal handler has raised in here
                self.asleep = False
                self.failed(poll, error)
                batch.extend(self._poll_again())
            self.asleep = False
            self.now = monotonic()
            if fresh:
                fresh.clear()
            while batch:
                fd, event = batch.popleft()
                callback = callbacks.get(fd)
                if callback is None or fd in fresh:
                    continue  # closed, or closed and reopened, by an earlier callback of this batch
                try:
                    callback(fd, event)
                except BaseException as error:
                    self.failed(callback, error)

    def _poll_again(self) -> list[tuple[int, int]]:
        """The events that are there at once, after poll() has raised; tells it, and rests, if there can be no
        more: the poller's descriptor was closed."""
        try:
            return self._poller.poll(0)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in (errno.EBADF, errno.EINVAL):
                self.on_blind(error)
                sleep(BLIND_REST)  # so that it spins and floods nothing
            else:
                self.failed(self._poll_again, error)
        return []

    def _fire_timers(self, timers: list[tuple[float, int, Timer | Waiter]], now: float) -> None:
        while timers:
            when, _, timer = timers[0]
            if not timer.pending:
                heappop(timers)
                self._cancelled -= 1
                continue
            if when > now:
                return
            heappop(timers)
            timer.pending = False
            try:
                timer.fire()
            except BaseException as error:
                self.failed(timer, error)

    def _timer_cancelled(self) -> None:
        # Cancelled timers leave the heap when they are the next, for which the hub would wake in vain, or
        # when they are its larger part.
        timers = self._timers
        self._cancelled += 1
        while timers and not timers[0][2].pending:
            heappop(timers)
            self._cancelled -= 1
        if self._cancelled > 512 and self._cancelled * 2 > len(timers):
            timers[:] = [entry for entry in timers if entry[2].pending]
            heapify(timers)
            self._cancelled = 0

    def failed(self, where: object, error: BaseException) -> None:
        """What a callback or greenlet raised: KeyboardInterrupt and SystemExit go to the main greenlet."""
        if isinstance(error, GreenletExit):
            return
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self.call_soon(self._throw_into_main, error)
            return
        try:
            self.on_error(where, error)
        except Exception as another:
            report_error(self.on_error, another)

    def _throw_into_main(self, error: BaseException) -> None:
        if not self.main.dead:
            self.main.throw(error)

    # For those who count

    @property
    def timers(self) -> int:
        """How many timers are pending."""
        return len(self._timers) - self._cancelled

    @property
    def descriptors(self) -> list[int]:
        """The descriptors registered by others than the hub itself."""
        own = {self._waker.fileno(), *(self._wakeup_pipe or ())}
        return [fd for fd in self._callbacks if fd not in own]

    def waiting(self, mask: int) -> list[int]:
        """The descriptors for which a greenlet waits to read (READ) or to write (WRITE)."""
        watches = [(fd, entry) for fd, entry in self._callbacks.items() if isinstance(entry, FdWatch)]
        return [fd for fd, entry in watches if (entry.readers if mask == READ else entry.writers)]

    # Wake-ups from outside

    def _on_ring(self, fd: int, events: int) -> None:
        self._waker.hush()

    def _listen_for_signals(self) -> None:
        """Have Python's C-level signal handler wake this hub, if this is the main thread."""
        pipe = poller.nonblocking_pipe()
        try:
            previous = originals.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)
        except ValueError:  # not the main thread
            for end in pipe:
                originals.os_close(end)
            return
        if self._wakeup_pipe is None:
            self.user_wakeup_fd = previous
        self._wakeup_pipe = pipe
        self._poller.register(pipe[0], READ)
        self._callbacks[pipe[0]] = self._on_signal

    def _on_signal(self, fd: int, events: int) -> None:
        # The handlers themselves have run by now, between two bytecodes; the poll was only cut short.
        numbers = originals.os_read(fd, 4096)
        for waiter in self.signal_waiters:
            waiter.wake()
        if self.user_wakeup_fd >= 0:
            # Dropped if it is full, as the C handler does with warn_on_full_buffer=False.
            with contextlib.suppress(OSError):
                originals.os_write(self.user_wakeup_fd, numbers)

    # Forks

    def after_fork(self) -> None:
        """In the child: everything anew.  The greenlets of the parent never run again in here.

        They are kept, though: were they freed, each would get a GreenletExit, and run the finally
        blocks of an application that goes on in the parent.
        """
        self._abandoned.append(
            (self.greenlet, self._ready, self._timers, self._callbacks, self.greenlets, self._idle, self.main)
        )
        for entry in self._callbacks.values():
            if isinstance(entry, FdWatch):
                entry.hub = None
        for _, _, timer in self._timers:
            timer.pending = False  # it is the parent's: to cancel it takes nothing from the new ones
        self._close_descriptors()
        self.main = getcurrent()
        self._start_afresh()
        if self.main in self._abandoned[-1][4]:  # type: ignore[index]
            self.greenlets.add(self.main)

    def abandon(self) -> None:
        """In the child of a fork: the hub of another thread, which is not here any more."""
        self._abandoned.append(self.greenlet)
        self._close_descriptors()
        _unreachable.append(self)

    def close(self) -> None:
        """Give the descriptors back; for the end of the thread, when no greenlet waits any more."""
        if not self.closed:
            self.closed = True
            _hubs.discard(self)
            if _here.hub is self:
                _here.hub = None
            self._close_descriptors()

    def _close_descriptors(self) -> None:
        # Ours only: the epoll object is shared with the parent, so nothing may be unregistered.
        self._poller.close()
        self._waker.close()
        for end in self._wakeup_pipe or ():
            originals.os_close(end)


class FdWatch:
    """The greenlets that wait for one descriptor, and what the poller has been told about it.

    `kept` ones are edge-triggered and stay registered until the descriptor is closed: two system
    calls less a wait.  The others are level-triggered, for one wait.
    """

    __slots__ = ("fd", "hub", "kept", "mask", "readers", "writers")

    def __init__(self, hub: Hub, fd: int, *, kept: bool) -> None:
        self.hub: Hub | None = hub
        self.fd = fd
        self.kept = kept
        self.mask = 0
        self.readers: list[Waiter] = []
        self.writers: list[Waiter] = []

    def __call__(self, fd: int, events: int) -> None:
        """In the hub: resume who waited for these events."""
        if events & _READABLE and self.readers:
            for waiter in self.readers[:]:
                waiter.resume()
        if events & _WRITABLE and self.writers:
            for waiter in self.writers[:]:
                waiter.resume()
        if not (self.kept or self.readers or self.writers) and self.hub is not None:
            # Level-triggered, and nobody waits any more: it would be reported for ever.
            self.hub._callbacks.pop(self.fd, None)
            self.detach()

    @property
    def waiting(self) -> bool:
        """Whether some greenlet waits."""
        return bool(self.readers or self.writers)

    def wait(self, write: bool, timeout: float | None) -> bool:
        """Wait for an event that comes after the caller's EAGAIN; False if `timeout` seconds passed."""
        if self.hub is None:
            raise closed_error()
        need = (WRITE | EDGE) if write else (READ | RDHUP | EDGE)
        if self.mask & need != need:
            self._tell_poller(self.mask | need | RDHUP)
        return self._wait(self.writers if write else self.readers, timeout)

    def wait_level(self, mask: int, timeout: float | None) -> bool:
        """Wait for `mask`, which may hold already; False if `timeout` seconds passed."""
        if self.hub is None:
            raise closed_error()
        try:
            # A kept registration is told again, which makes the poller report what holds now.
            self._tell_poller(self.mask | mask | (EDGE if self.kept else 0))
        except PermissionError:  # a regular file
            self.hub._callbacks.pop(self.fd, None)
            return True
        except BaseException:
            if not self.mask:
                self.hub._callbacks.pop(self.fd, None)
            raise
        try:
            return self._wait(self.writers if mask & WRITE else self.readers, timeout, mask)
        finally:
            # Closed meanwhile, it has no hub.
            if not self.kept and self.hub is not None and not self.waiting:  # type: ignore[redundant-expr]
                self.hub._callbacks.pop(self.fd, None)
                self.detach()

    def _wait(self, waiters: list[Waiter], timeout: float | None, mask: int = 0) -> bool:
        assert self.hub is not None
        waiter = Waiter(self.hub)
        waiters.append(waiter)
        also = self.readers if waiters is self.writers and mask & (READ | PRI) else None
        if also is not None:
            also.append(waiter)
        try:
            return waiter.wait(timeout)
        finally:
            waiters.remove(waiter)
            if also is not None:
                also.remove(waiter)
            if waiter.error is not None:
                raise waiter.error

    def _tell_poller(self, mask: int) -> None:
        assert self.hub is not None
        told = self.mask
        self.mask = mask
        try:
            if told:
                self.hub._poller.modify(self.fd, mask)
            else:
                self.hub._poller.register(self.fd, mask)
        except FileNotFoundError:
            self.hub._poller.register(self.fd, mask)  # closed and reopened behind our back
        except FileExistsError:
            self.hub._poller.modify(self.fd, mask)  # a registration that a dup has kept alive
        except BaseException:
            self.mask = told
            raise

    def detach(self) -> None:
        """Take the descriptor from the poller; the watch is of no use afterwards."""
        hub, self.hub = self.hub, None
        if hub is not None and self.mask:
            with contextlib.suppress(OSError):
                hub._poller.unregister(self.fd)

    def close(self) -> None:
        """The descriptor is being closed: wake everybody with EBADF."""
        hub = self.hub
        if hub is None:
            return
        hub._callbacks.pop(self.fd, None)
        self.detach()
        for waiter in {*self.readers, *self.writers}:
            waiter.fail(closed_error())


def closed_error() -> OSError:
    """What a waiter gets when its descriptor is closed under it."""
    return OSError(errno.EBADF, "the descriptor was closed while this greenlet waited for it")


class Waiter:
    """One wait of one greenlet: made for it, thrown away after it; it cannot wait twice.

    `wake` may be called from anywhere (other threads, signal handlers, finalizers), any number of
    times, before, during and after the wait; it never switches.  A switch into the greenlet by anybody
    else (a greenlet that ends switches to its parent) does not end the wait.
    """

    __slots__ = ("_over", "error", "greenlet", "hub", "pending", "woken")

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.greenlet: greenlet | None = None
        self.woken = False
        self._over = False
        self.pending = False  # among the timers of the hub
        self.error: BaseException | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Until `wake`: True.  Or until `timeout` seconds have passed: False."""
        if self.woken:
            return True
        hub = self.hub
        me = getcurrent()
        if me is hub.greenlet:
            raise RuntimeError("a callback in the hub must not wait: give it a greenlet (spawn or hub.lend)")
        if timeout is not None and timeout <= 0:
            return False
        if timeout is not None:
            # The wait is its own timer, which a sleep is cheaper for.
            self.pending = True
            heappush(hub._timers, (monotonic() + timeout, hub._seq(), self))
        loop = None if _get_loop is None else _get_loop()
        if loop is not None:
            _set_loop(None)
        self.greenlet = me
        try:
            while not self._over:
                hub.switch()
        finally:
            self.greenlet = None
            if self.pending:
                self.pending = False
                hub._timer_cancelled()
            if loop is not None:
                _set_loop(loop)
        return self.woken

    def wake(self) -> None:
        """End the wait, in the hub's next turn."""
        if not self.woken:
            self.woken = True
            self.hub.call_soon(self.fire)

    def fail(self, error: BaseException) -> None:
        """Wake with an error, which the owner of the wait raises (see `error`)."""
        if not self.woken:
            self.error = error
            self.wake()

    def resume(self) -> None:
        """In the hub's greenlet only: end the wait now, by switching there."""
        self.woken = self._over = True
        if self.greenlet is not None:
            self.greenlet.switch()

    def fire(self) -> None:
        """In the hub's greenlet only: the time is over, or `wake` was called."""
        self._over = True
        if self.greenlet is not None:
            self.greenlet.switch()


class NativeWaiter:
    """The same for a thread without a hub, on a real lock."""

    __slots__ = ("_lock", "error", "woken")

    def __init__(self) -> None:
        self._lock = originals.allocate_lock()
        self._lock.acquire()
        self.woken = False
        self.error: BaseException | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Until `wake`: True.  Or until `timeout` seconds have passed: False."""
        if not self.woken:
            if timeout is None:
                self._lock.acquire()
            elif timeout > 0:
                self._lock.acquire(True, min(timeout, 1e6))
        return self.woken

    def wake(self) -> None:
        """End the wait."""
        if not self.woken:
            self.woken = True
            # Two threads may wake it at once.
            with contextlib.suppress(RuntimeError):
                self._lock.release()

    def fail(self, error: BaseException) -> None:
        """Wake with an error, which the owner of the wait raises (see `error`)."""
        if not self.woken:
            self.error = error
            self.wake()


# asyncio's running loop is the OS thread's; a greenlet that waits takes its loop along.
_get_loop: Callable[[], object] | None = None
_set_loop: Callable[[object], None] = print


def set_aside_running_loop(get: Callable[[], object], put: Callable[[object], None]) -> None:
    """From now on a greenlet that waits has no running loop meanwhile, and its own again afterwards."""
    global _get_loop, _set_loop
    _get_loop, _set_loop = get, put


# Which hub is mine?


class _Here(originals.NativeLocal):  # type: ignore[misc]
    hub: Hub | None = None
    end: _ThreadEnd | None = None


_here = _Here()
_hubs: weakref.WeakSet[Hub] = weakref.WeakSet()
_unreachable: list[Hub] = []


def current_hub() -> Hub | None:
    """The hub of this OS thread, or None if it has none: then waits block the thread."""
    return _here.hub


def get_hub() -> Hub:
    """The hub of this OS thread, made if need be."""
    hub = _here.hub
    if hub is None:
        hub = _here.hub = Hub()
        if threading.main_thread().ident != hub.thread_id:
            _here.end = _ThreadEnd(hub)
    return hub


class _ThreadEnd:
    """Kept by an OS thread; gives the descriptors of its hub back when the thread ends."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._hub.close()


def new_waiter() -> Waiter | NativeWaiter:
    """What the caller can wait on, in whichever kind of thread it is."""
    hub = _here.hub
    return NativeWaiter() if hub is None else Waiter(hub)


def forget_fd(fd: int) -> None:
    """`fd` is about to be closed: every hub that knows it wakes its waiters and drops it."""
    here = _here.hub
    for hub in list(_hubs) if len(_hubs) > 1 else (() if here is None else (here,)):
        if fd in hub._callbacks:
            if hub is here:
                hub.forget_fd(fd)
            else:
                # The poller's entry goes now, before the number can be taken again.
                entry = hub._callbacks.get(fd)
                if isinstance(entry, FdWatch):
                    entry.close()


def report_error(where: object, error: BaseException) -> None:
    """Print what a callback or greenlet raised to stderr, as an unhandled exception of a thread is."""
    import traceback  # not for those who have no errors

    stderr = sys.stderr
    if stderr is not None:
        print(f"Exception in {where!r}:", file=stderr)
        traceback.print_exception(error, file=stderr)


def leave_forked_child() -> None:
    """A thread that has forked and returns in the child is the child's last one: the process ends."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


_has_forked = False
"""Whether a child may share our descriptors.  Programs that are started do not: they inherit none."""


def _after_fork_in_parent() -> None:
    global _has_forked
    _has_forked = True


def _after_fork_in_child() -> None:
    global _has_forked
    _has_forked = False  # what is registered in our new poller is not the parent's
    here = _here.hub
    for hub in list(_hubs):
        if hub is here:
            hub.after_fork()
        else:
            _hubs.discard(hub)
            hub.abandon()


os.register_at_fork(after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
