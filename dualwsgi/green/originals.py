"""The native names that patching replaces, bound once, before anything is replaced.

Every other file of the green library takes what it needs of `time`, `select`, `os`, `_thread` and
`socket` from here, never from the modules themselves: a hub that slept with a patched `sleep` would
wait for itself.  So this file must be imported before `patch()` runs (importing any part of the
library does that), and must import nothing of the library.

The names keep the spelling of their home, with the module in front where two would clash
(`os_read`, `socket_accept`).
"""

from __future__ import annotations

import _queue
import _socket
import _thread
import os
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = [
    "Lock",
    "NativeLocal",
    "allocate_lock",
    "get_native_ident",
    "monotonic",
    "native_lock",
    "sleep",
    "start_native_thread",
]

# Time.
monotonic = time.monotonic
sleep = time.sleep

# Threads.
Lock = _thread.LockType
RLockType: type[Any] = _thread.RLock
allocate_lock = _thread.allocate_lock
get_native_ident = _thread.get_ident
start_native_thread = _thread.start_new_thread
NativeLocal: type[Any] = _thread._local
thread_shutdown: Any = getattr(_thread, "_shutdown", None)
ThreadHandle: type[Any] | None = getattr(_thread, "_ThreadHandle", None)

# Queues.
NativeSimpleQueue: type[Any] = _queue.SimpleQueue

# Polling.
native_select = select.select
native_poll = getattr(select, "poll", None)
native_epoll: Any = getattr(select, "epoll", None)
DefaultSelector = selectors.DefaultSelector

# Descriptors and processes.
os_close = os.close
os_read = os.read
os_write = os.write
os_fdopen = os.fdopen
os_fork = os.fork
os_system = os.system
os_wait = os.wait
os_wait3 = os.wait3
os_wait4 = os.wait4
os_waitpid = os.waitpid
os_waitid = getattr(os, "waitid", None)

# Signals.
signal_signal = signal.signal
signal_getsignal = signal.getsignal
set_wakeup_fd = signal.set_wakeup_fd
sigwait = signal.sigwait
sigwaitinfo = getattr(signal, "sigwaitinfo", None)
sigtimedwait = getattr(signal, "sigtimedwait", None)
signal_pause = signal.pause

# Sockets: the methods of the Python class that green sockets go on with.
RawSocket = _socket.socket
socket_init: Any = socket.socket.__init__
socket_methods = dict(vars(socket.socket))
socketpair = _socket.socketpair
os_sendfile = getattr(os, "sendfile", None)

# Names and addresses.
getaddrinfo = socket.getaddrinfo
gethostbyname = socket.gethostbyname
gethostbyname_ex = socket.gethostbyname_ex
gethostbyaddr = socket.gethostbyaddr
getnameinfo = socket.getnameinfo
getfqdn = socket.getfqdn

IS_LINUX = sys.platform.startswith("linux")

# Locks that the library itself blocks an OS thread on.  The upgrade of locks made before the patch
# must leave these alone; a set of ids suffices because they live as long as the process.
_kept_native: dict[int, Any] = {}


def native_lock() -> Any:
    """A real lock that patching will never swap for a green one.  For objects that live long."""
    lock = allocate_lock()
    _kept_native[id(lock)] = lock
    return lock


def start_background_thread(fn: Callable[..., object], *args: Any) -> None:
    """A real thread of the library's own.  It takes no signals: those are for the main thread, which may
    have blocked them."""
    start_native_thread(_without_signals, (fn, args))


def _without_signals(fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    fn(*args)


_native_socket: type[Any] | None = None


def native_socket_class() -> type[Any]:
    """A `socket.socket` whose calls block the thread, patched or not."""
    global _native_socket
    if _native_socket is None:
        raw, methods = vars(RawSocket), socket_methods
        names = {
            name: methods.get(name, raw.get(name))
            for name in vars(socket.socket)
            if name not in ("__slots__", "__weakref__", "__dict__", "_io_refs", "_closed")
        }
        names.update((name, value) for name, value in raw.items() if name not in methods and name in names)
        names = {name: value for name, value in names.items() if value is not None}
        names["__slots__"] = ()
        names["__new__"] = staticmethod(_new_native_socket)
        _native_socket = type("socket", (socket.socket,), names)
    return _native_socket


def _new_native_socket(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
    return RawSocket.__new__(cls)


def is_kept_native(lock: object) -> bool:
    """Whether `lock` came from `native_lock`."""
    return id(lock) in _kept_native
