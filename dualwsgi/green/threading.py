"""What `_thread` offers, for greenlets: what `threading` is built on, up to Python 3.13.

`threading` itself stays as it is; patching gives it these functions.  A `threading.Thread` then is a
greenlet in the hub of the OS thread that starts it.

Identity.  The main greenlet of an OS thread has the thread's own ident; so `main_thread()` is right
without more ado, and real threads are told apart.  Each other greenlet gets a number that is never
used again (an id() would be), when it first asks.  When a greenlet ends, the dummy thread that
`current_thread()` may have made for it leaves `threading._active`.

Real threads that libraries start go on being real: a thread without a hub starts real threads.

The end.  `threading._shutdown` waits for non-daemon threads at the end of the interpreter, by locks
(to 3.12) or handles (3.13) that come from here: so it waits in the hub, and green threads end as
threads do.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent

from dualwsgi.green import originals
from dualwsgi.green.hub import current_hub
from dualwsgi.green.local import local
from dualwsgi.green.sync import Event, Lock
from dualwsgi.green.thread import GreenThread, sleep

__all__ = [
    "ThreadHandle",
    "get_ident",
    "set_sentinel",
    "shutdown",
    "start_joinable_thread",
    "start_new_thread",
]

# Native idents are addresses or kernel numbers far above.
_next_ident = itertools.count(1).__next__
_IDENT = "_dualwsgi_ident"
_SENTINEL = "_dualwsgi_sentinel"


def get_ident() -> int:
    """A number that tells the current greenlet from all others, past ones too."""
    try:
        attributes = getcurrent().__dict__
    except RuntimeError:  # greenlet refuses while the interpreter ends
        return originals.get_native_ident()
    try:
        return attributes[_IDENT]  # type: ignore[no-any-return]
    except KeyError:
        return _new_ident()


def _new_ident() -> int:
    me = getcurrent()
    hub = current_hub()
    if me.parent is None or (hub is not None and me is hub.greenlet and hub.main.parent is None):
        # The hub runs callbacks for the whole OS thread: in its log lines it is that thread.
        ident = originals.get_native_ident()
    else:
        ident = _next_ident()
        _ends.end = _End(ident)
    me.__dict__[_IDENT] = ident
    return ident


class _End:
    """Lives as long as the locals of a greenlet, and takes its dummy thread along."""

    __slots__ = ("ident",)

    def __init__(self, ident: int) -> None:
        self.ident = ident

    def __del__(self, _active: Any = threading._active, _dummy: Any = threading._DummyThread) -> None:  # type: ignore[attr-defined]
        if isinstance(_active.get(self.ident), _dummy):
            _active.pop(self.ident, None)


_ends = local()

_native_tracker: Any = getattr(threading, "_DeleteDummyThreadOnDel", None)


def track_dummy(thread: threading.Thread) -> Any:
    """What has a dummy thread forgotten (3.12.4 on): a greenlet's is by its `_End`, which needs no globals of
    `threading`.  At the end of the interpreter these are gone before the last greenlets are."""
    return None if hasattr(_ends, "end") else _native_tracker(thread)


def start_new_thread(function: Callable[..., object], args: Any, kwargs: Any = None, /) -> int:
    """As `_thread.start_new_thread`: run `function(*args, **kwargs)` in a greenlet; returns its ident."""
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    if current_hub() is None:
        return originals.start_native_thread(_run, (function, args, kwargs or {}))
    thread = GreenThread(_run, function, args, kwargs or {})
    ident = thread.__dict__[_IDENT] = _next_ident()
    thread.start()
    return ident


def _run(function: Callable[..., object], args: Any, kwargs: Any) -> None:
    me = getcurrent()
    if me.parent is not None:
        _ends.end = _End(get_ident())
    try:
        function(*args, **kwargs)
    except SystemExit:
        pass  # how a thread ends itself
    finally:
        lock = me.__dict__.pop(_SENTINEL, None)
        if lock is not None and lock.locked():
            lock.release()


class Sentinel:
    """The lock of a thread's life (to 3.12): taken once, free for everybody when the thread has ended.

    Not a Lock, which would be handed to the first who joins, so that others might see it locked still.
    """

    def __init__(self) -> None:
        self._at_fork_reinit()

    def _at_fork_reinit(self) -> None:
        self._taken = False
        self._ended = Event()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """The first time: begin.  After that: wait for the end."""
        if not self._taken:
            self._taken = True
            return True
        return self._ended.wait(0 if not blocking else None if timeout < 0 else timeout)

    def release(self) -> None:
        """The end."""
        self._ended.set()

    def locked(self) -> bool:
        """Whether the thread lives."""
        return self._taken and not self._ended.is_set()


def set_sentinel() -> Sentinel:
    """As `_thread._set_sentinel` (to 3.12): a lock that is released when the current thread ends."""
    lock = Sentinel()
    getcurrent().__dict__[_SENTINEL] = lock
    return lock


class ThreadHandle:
    """As `_thread._ThreadHandle` (3.13): a thread that can be joined."""

    def __init__(self) -> None:
        self.ident = 0
        self._done = Event()

    def is_done(self) -> bool:
        """Whether the thread has ended."""
        return self._done.is_set()

    def _set_done(self) -> None:
        self._done.set()
        _not_daemons.discard(self)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, at most `timeout` seconds (None, negative: for ever)."""
        if self.ident and self.ident == get_ident() and not self.is_done():
            raise RuntimeError("Cannot join current thread")
        self._done.wait(None if timeout is None or timeout < 0 else timeout)

    def __repr__(self) -> str:
        return f"<ThreadHandle: ident={self.ident}>"


_not_daemons: set[ThreadHandle] = set()


def make_thread_handle(ident: int) -> ThreadHandle:
    """As `_thread._make_thread_handle` (3.13): the handle of a thread that runs already."""
    handle = ThreadHandle()
    handle.ident = ident
    return handle


def start_joinable_thread(
    function: Callable[[], object], handle: ThreadHandle | None = None, daemon: bool = True
) -> ThreadHandle:
    """As `_thread.start_joinable_thread` (3.13)."""
    handle = ThreadHandle() if handle is None else handle
    if not daemon:
        _not_daemons.add(handle)

    def body() -> None:
        handle.ident = get_ident()
        try:
            function()
        finally:
            handle._set_done()

    try:
        handle.ident = start_new_thread(body, ())
    except BaseException:
        _not_daemons.discard(handle)
        raise
    return handle


def shutdown() -> None:
    """As `_thread._shutdown` (3.13): wait for all threads that are no daemons."""
    me = get_ident()
    while True:
        others = [handle for handle in _not_daemons if handle.ident != me]
        if not others:
            break
        others[0].join()
    native = originals.thread_shutdown
    if native is not None:
        native()


_native_join = threading.Thread.join


def _is_real(thread: Any) -> bool:
    """Whether its end shows on something native: it was started before the patch, and lives."""
    if originals.ThreadHandle is None:
        return isinstance(thread._tstate_lock, originals.Lock)
    handle = getattr(thread, "_handle", None) or getattr(thread, "_os_thread_handle", None)
    return isinstance(handle, originals.ThreadHandle)


def join(self: threading.Thread, timeout: float | None = None) -> None:
    """As `threading.Thread.join`; nothing tells a hub of the end of a real thread, so that is looked for."""
    hub = current_hub()
    if hub is not None and self.is_alive() and _is_real(self):
        deadline = None if timeout is None else originals.monotonic() + max(timeout, 0)
        pause = 0.0005
        while self.is_alive():
            rest = pause if deadline is None else deadline - originals.monotonic()
            if rest <= 0:
                return
            sleep(min(pause, rest))
            pause = min(pause * 2, _LONGEST_PAUSE)
    _native_join(self, timeout)


_LONGEST_PAUSE = 0.01  # seconds between two looks


def patch_threading() -> dict[tuple[str, str], Any]:
    """What of `_thread` and `threading` to replace, and by what."""
    from dualwsgi.green.sync import Condition, RLock

    names: dict[tuple[str, str], Any] = {
        ("_thread", "allocate_lock"): Lock,
        ("_thread", "allocate"): Lock,
        ("_thread", "LockType"): Lock,
        ("_thread", "lock"): Lock,
        ("_thread", "RLock"): RLock,
        ("_thread", "get_ident"): get_ident,
        ("_thread", "start_new_thread"): start_new_thread,
        ("_thread", "start_new"): start_new_thread,
        ("_thread", "_local"): local,
        ("_thread", "_set_sentinel"): set_sentinel,
        ("_thread", "start_joinable_thread"): start_joinable_thread,
        ("_thread", "_ThreadHandle"): ThreadHandle,
        ("_thread", "_make_thread_handle"): make_thread_handle,
        # Asked for when a fork makes the forking greenlet the child's main thread.
        ("_thread", "_get_main_thread_ident"): get_ident,
        ("threading", "_get_main_thread_ident"): get_ident,
        ("threading", "_allocate_lock"): Lock,
        ("threading", "Lock"): Lock,
        ("threading", "_LockType"): Lock,
        ("threading", "_CRLock"): RLock,
        ("threading", "get_ident"): get_ident,
        ("threading", "local"): local,
        ("threading", "_start_new_thread"): start_new_thread,
        ("threading", "_set_sentinel"): set_sentinel,
        ("threading", "_start_joinable_thread"): start_joinable_thread,
        ("threading", "_ThreadHandle"): ThreadHandle,
        ("threading", "_make_thread_handle"): make_thread_handle,
        ("threading", "_thread_shutdown"): shutdown,
        ("threading", "_DeleteDummyThreadOnDel"): track_dummy,
    }
    for name in ("wait", "wait_for", "notify", "notify_all"):
        setattr(threading.Condition, name, vars(Condition)[name])
    threading.Thread.join = join  # type: ignore[method-assign]
    threading.Condition.notifyAll = threading.Condition.notify_all  # type: ignore[method-assign]
    return names


def adopt_main_thread() -> None:
    """Let greenlets join the main thread: its end must show on something green."""
    main: Any = threading.main_thread()
    lock = getattr(main, "_tstate_lock", None)
    if lock is not None and not isinstance(lock, Sentinel):
        new = Sentinel()
        new.acquire()
        main._tstate_lock = new
        waited_for = threading._shutdown_locks  # type: ignore[attr-defined]
        if lock in waited_for:
            waited_for.discard(lock)
            waited_for.add(new)
    for name in ("_handle", "_os_thread_handle"):
        if hasattr(main, name):
            setattr(main, name, make_thread_handle(main.ident))
