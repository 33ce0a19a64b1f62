"""Locks, semaphores, events and conditions, for greenlets of any hub and for real threads alike.

The problem.  A greenlet that holds a lock can only be interrupted where it waits; so among the
greenlets of one thread, plain attributes would do.  But other OS threads use the same objects, the
interpreter may switch threads between any two bytecodes, and a finalizer or signal handler may run
there, too, and call `release`.

The answer, the same in each class here:
- The state is one object whose operations are atomic in C: a native lock that is only ever *tried*,
  or a deque of permits.  Nothing here blocks an OS thread that has a hub.
- Whoever finds it taken appends a `Waiter` to a deque, tries once more (it may have been freed
  in between), and waits.
- Whoever frees it pops the first waiter and hands over: the lock stays locked, the permit is never
  put back.  So it is fair, and nobody can barge in.  If there is no waiter, it is freed, and then the
  queue is looked at once more, for one who came in between.
- Popping from the deque *is* the decision.  A waiter that gives up (timeout, Timeout, kill) removes
  itself; if it is not there any more, it has been given what it waited for, and must keep it or pass
  it on.  So nothing is lost between the wake-up and the moment it resumes.
- `release`, `set`, `notify` wake (see `Waiter.wake`) and never switch: they are safe in finalizers.

Knows the hub's waiters, nothing of patching.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from greenlet import getcurrent

from dualwsgi.green.hub import NativeWaiter, Waiter, new_waiter
from dualwsgi.green.originals import allocate_lock, monotonic

__all__ = [
    "AsyncResult",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "Semaphore",
]

T = TypeVar("T")
AnyWaiter = Waiter | NativeWaiter

# The largest timeout that the locks of the standard library take, in seconds.
_TIMEOUT_MAX = 9223372036.0


def _seconds(blocking: bool, timeout: float | None) -> float | None:
    """The arguments of `acquire`, checked: None for ever, else seconds."""
    if timeout is None or timeout == -1:
        return None if blocking else 0.0
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > _TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout


class Lock:
    """A mutual exclusion lock with the interface of `threading.Lock`; fair."""

    __slots__ = ("__weakref__", "_native", "_try", "_waiters")

    def __init__(self) -> None:
        self._native = allocate_lock()
        self._try = self._native.acquire
        self._waiters: deque[AnyWaiter] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; False if that was not possible at once (`blocking` False) or in `timeout` seconds."""
        if timeout != -1 or not blocking:
            seconds = _seconds(blocking, timeout)
            return self._try(False) or (seconds != 0 and self._wait(seconds))
        return self._try(False) or self._wait(None)

    def _wait(self, seconds: float | None) -> bool:
        waiters = self._waiters
        waiter = new_waiter()
        waiters.append(waiter)
        if self._try(False):  # freed since we looked; nobody can have handed it to us as well
            waiters.remove(waiter)
            return True
        try:
            if waiter.wait(seconds):
                return True
        except BaseException:
            if not _withdraw(waiters, waiter):
                self.release()  # ours by now: pass it on
            raise
        return not _withdraw(waiters, waiter)

    def release(self) -> None:
        """Free it, or hand it to the one who waits longest.  RuntimeError if it is not locked."""
        waiters = self._waiters
        while True:
            if waiters and self._native.locked():
                try:
                    waiter = waiters.popleft()
                except IndexError:
                    pass
                else:
                    waiter.wake()
                    return
            self._native.release()
            if not waiters or not self._try(False):
                return
            # Somebody queued up between the look and the release: hand it over after all.

    def locked(self) -> bool:
        """Whether someone holds it."""
        return self._native.locked()

    def __enter__(self) -> bool:
        return self._try(False) or self._wait(None)

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]

    # The old spellings, which CPython keeps, too.
    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} green Lock, {len(self._waiters)} waiting, at {id(self):#x}>"


def _withdraw(waiters: deque[AnyWaiter], waiter: AnyWaiter) -> bool:
    """Leave the queue; False if somebody has popped us: we have been given what we waited for."""
    try:
        waiters.remove(waiter)
    except ValueError:
        return False
    return True


def _me() -> Any:
    """The current greenlet; None while the interpreter finalizes (greenlet raises then)."""
    try:
        return getcurrent()
    except RuntimeError:
        return None


class RLock:
    """A lock that its holder, a greenlet or a thread, may take again; as `threading.RLock`."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner: Any = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it once more; False if another held it (`blocking` False) or for `timeout` seconds."""
        me = _me()
        if self._owner is me and self._count:
            if timeout != -1 or not blocking:
                _seconds(blocking, timeout)
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner = me
        self._count = 1
        return True

    def release(self) -> None:
        """Undo one `acquire`.  RuntimeError if someone else holds it, or nobody."""
        if not self._count or self._owner is not _me():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._lock.release()

    def locked(self) -> bool:
        """Whether someone holds it."""
        return self._count > 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    # What Condition asks of its lock; the names are the standard library's.

    def _is_owned(self) -> bool:
        return self._count > 0 and self._owner is _me()

    def _recursion_count(self) -> int:
        return self._count if self._owner is _me() else 0

    def _release_save(self) -> tuple[int, Any]:
        if not self._count:
            raise RuntimeError("cannot release un-acquired lock")
        state = self._count, self._owner
        self._count = 0
        self._owner = None
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[int, Any]) -> None:
        self._lock.acquire()
        self._count, self._owner = state

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]

    def __repr__(self) -> str:
        state = "locked" if self._count else "unlocked"
        return f"<{state} green RLock owner={self._owner!r} count={self._count} at {id(self):#x}>"


class Semaphore:
    """A counter of permits; `acquire` waits while it is zero.  Fair: first come, first served."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._permits: deque[None] = deque((None,) * value)
        self._waiters: deque[AnyWaiter] = deque()

    @property
    def value(self) -> int:
        """How many permits are free."""
        return len(self._permits)

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._waiters)

    def locked(self) -> bool:
        """Whether `acquire` would wait."""
        return not self._permits

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; False if there was none at once (`blocking` False) or in `timeout` seconds."""
        try:
            self._permits.pop()
        except IndexError:
            seconds = _seconds(blocking, timeout)
            return seconds != 0 and self._wait(seconds)
        if not blocking and timeout is not None:
            self._permits.append(None)
            raise ValueError("can't specify a timeout for a non-blocking call")
        return True

    def _wait(self, seconds: float | None) -> bool:
        waiters = self._waiters
        waiter = new_waiter()
        waiters.append(waiter)
        try:
            self._permits.pop()
        except IndexError:
            pass
        else:
            # Freed since we looked.  If we have been given one as well, that one goes on.
            if not _withdraw(waiters, waiter):
                self.release()
            return True
        try:
            if waiter.wait(seconds):
                return True
        except BaseException:
            if not _withdraw(waiters, waiter):
                self.release()
            raise
        return not _withdraw(waiters, waiter)

    def release(self, n: int = 1) -> None:
        """Give `n` permits back."""
        if n < 1:
            raise ValueError("n must be one or more")
        permits, waiters = self._permits, self._waiters
        for _ in range(n):
            permits.append(None)
            # Each permit that is free while someone waits goes to the first; popping decides.
            while waiters:
                try:
                    permits.pop()
                except IndexError:
                    break
                try:
                    waiter = waiters.popleft()
                except IndexError:
                    permits.append(None)
                    continue
                waiter.wake()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.value} free, {self.waiting} waiting, at {id(self):#x}>"


class BoundedSemaphore(Semaphore):
    """A semaphore that never has more permits than at the start: `release` raises ValueError."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._initial_value = value

    def release(self, n: int = 1) -> None:
        """Give `n` permits back; ValueError if there would be more than at the start."""
        if len(self._permits) + n > self._initial_value:
            raise ValueError("Semaphore released too many times")
        super().release(n)


class Event:
    """A flag to wait for; as `threading.Event`."""

    def __init__(self) -> None:
        self._flag = False
        self._waiters: deque[AnyWaiter] = deque()

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._flag

    def set(self) -> None:
        """Raise the flag and wake everybody who waits for it."""
        self._flag = True
        while self._waiters:
            try:
                waiter = self._waiters.popleft()
            except IndexError:
                return
            waiter.wake()

    def clear(self) -> None:
        """Lower the flag."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the flag; False if `timeout` seconds passed first."""
        if self._flag:
            return True
        waiter = new_waiter()
        self._waiters.append(waiter)
        if self._flag:  # raised since we looked
            _withdraw(self._waiters, waiter)  # type: ignore[unreachable]
            return True
        try:
            return waiter.wait(timeout)
        finally:
            if not waiter.woken:
                _withdraw(self._waiters, waiter)

    def __repr__(self) -> str:
        return f"<green Event {'set' if self._flag else 'unset'} at {id(self):#x}>"


class AsyncResult(Generic[T]):
    """A value, or an exception, that one greenlet sets once and any number wait for."""

    def __init__(self) -> None:
        self._event = Event()
        self._value: T | None = None
        self._error: BaseException | None = None

    def ready(self) -> bool:
        """Whether it has been set."""
        return self._event.is_set()

    def set(self, value: T) -> None:
        """Set the value.  RuntimeError if it has been set before."""
        if self.ready():
            raise RuntimeError("the result has been set before")
        self._value = value
        self._event.set()

    def set_exception(self, error: BaseException) -> None:
        """Have every `get` raise `error`.  RuntimeError if it has been set before."""
        if self.ready():
            raise RuntimeError("the result has been set before")
        self._error = error
        self._event.set()

    def get(self, timeout: float | None = None) -> T:
        """The value, or the exception; TimeoutError if it is not set within `timeout` seconds."""
        if not self._event.wait(timeout):
            raise TimeoutError(f"no result in {timeout} s")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # set by now, and T may include None


class Condition:
    """Wait until another says that something has changed; as `threading.Condition`.

    Its attributes are named as those of the standard class, so that patching can give that class
    these methods: a notification that meets a greenlet which is being killed goes to the next one.
    """

    def __init__(self, lock: Any = None) -> None:
        lock = RLock() if lock is None else lock
        self._lock = lock
        self.acquire: Callable[..., bool] = lock.acquire
        self.release: Callable[[], None] = lock.release
        # A plain lock has neither a depth to save nor an owner: locked is the best that can be said.
        self._release_save: Callable[[], Any] = getattr(lock, "_release_save", lock.release)
        self._acquire_restore: Callable[[Any], Any] = getattr(lock, "_acquire_restore", self._take_again)
        self._is_owned: Callable[[], bool] = getattr(lock, "_is_owned", lock.locked)
        self._waiters: deque[Any] = deque()

    def _take_again(self, state: Any) -> None:
        self._lock.acquire()

    def __enter__(self) -> bool:
        return bool(self._lock.__enter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock up, wait for `notify`, take it again; False if `timeout` seconds passed first.

        RuntimeError if the caller does not hold the lock.
        """
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = new_waiter()
        self._waiters.append(waiter)
        state = self._release_save()
        notified = killed = False
        try:
            notified = waiter.wait(timeout)
        except BaseException:
            killed = True
            raise
        finally:
            # The lock is the caller's again whatever happens, even if we are killed meanwhile.
            later: BaseException | None = None
            while True:
                try:
                    self._acquire_restore(state)
                    break
                except BaseException as error:
                    later = error
            if not notified and not _withdraw(self._waiters, waiter):
                notified = True
            if (killed or later is not None) and notified:
                Condition.notify(self)
            if later is not None:
                raise later
        return notified

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until `predicate()` is true, at most `timeout` seconds; returns its last value."""
        deadline = None if timeout is None else monotonic() + timeout
        result = predicate()
        while not result:
            rest = None if deadline is None else deadline - monotonic()
            if rest is not None and rest <= 0:
                break
            self.wait(rest)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` of those who wait.  RuntimeError if the caller does not hold the lock."""
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        while n > 0 and self._waiters:
            try:
                waiter = self._waiters.popleft()
            except IndexError:
                return
            if isinstance(waiter, Waiter | NativeWaiter):
                waiter.wake()
            else:
                waiter.release()  # a lock: this thread began to wait before the patch
            n -= 1

    def notify_all(self) -> None:
        """Wake all who wait.  RuntimeError if the caller does not hold the lock."""
        Condition.notify(self, len(self._waiters))

    def __repr__(self) -> str:
        return f"<Condition({self._lock!r}, {len(self._waiters)})>"
