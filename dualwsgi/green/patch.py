"""`patch()`: make the blocking calls of the standard library wait in the hub.

Call it first, before anything else is imported: `from dualwsgi import green; green.patch()`.  What was
imported before is repaired where that can be proven to be right, and named in a `LatePatchWarning`
where it cannot (see `upgrade.py`).

Most of the standard library is left alone: functions are replaced in their modules, and classes are
changed in place (socket, SSLSocket, selectors, Condition, Popen), so that their subclasses, instances
and imported names follow.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import signal as signal_module
import sys
import threading as threading_module
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from dualwsgi.green import hub as hub_module
from dualwsgi.green import originals

__all__ = ["GROUPS", "LatePatchWarning", "is_patched", "original", "patch"]

GROUPS = (
    "time",
    "thread",
    "queue",
    "os",
    "signal",
    "select",
    "socket",
    "dns",
    "ssl",
    "subprocess",
    "multiprocessing",
    "asyncio",
    "psycopg",
)
"""What can be patched, in the order in which it is done."""

_ALIASES = {
    "threading": "thread",
    "_thread": "thread",
    "selectors": "select",
    "concurrent.futures": "thread",
    "http.client": "socket",
    "psycopg2": "psycopg",
    "psycopg3": "psycopg",
}

_patched: set[str] = set()
# (module, name) -> the native object
_saved: dict[tuple[str, str], Any] = {}


class LatePatchWarning(RuntimeWarning):
    """`patch()` came after imports that it may not have been able to repair."""


def is_patched(name: str) -> bool:
    """Whether the module or group `name` ("socket", "threading", "time", ...) is patched."""
    return _ALIASES.get(name, name) in _patched


def patch(
    *,
    time: bool = True,
    thread: bool = True,
    queue: bool = True,
    os: bool = True,
    signal: bool = True,
    select: bool = True,
    socket: bool = True,
    dns: bool = True,
    ssl: bool = True,
    subprocess: bool = True,
    multiprocessing: bool = True,
    asyncio: bool = True,
    psycopg: bool = True,
) -> None:
    """Make the standard library cooperative.  Each flag leaves its group native if False.

    Call it in the main thread, before anything else is imported.  What is patched stays patched:
    calling again only adds groups.  Warns with LatePatchWarning of what it has found in the way.
    """
    wanted = {
        "time": time,
        "thread": thread,
        "queue": queue,
        "os": os,
        "signal": signal,
        "select": select,
        "socket": socket,
        "dns": dns,
        "ssl": ssl,
        "subprocess": subprocess,
        "multiprocessing": multiprocessing,
        "asyncio": asyncio,
        "psycopg": psycopg,
    }
    todo = [name for name in GROUPS if wanted[name] and name not in _patched]
    if not todo:
        return
    if originals.get_native_ident() != threading_module.main_thread().ident:
        raise RuntimeError("green.patch() must be called in the main thread")
    hub_module.get_hub()
    replaced: dict[int, Any] = {}
    old: list[Any] = []
    for group in todo:
        for (module, name), new in _PATCHERS[group]().items():
            native = getattr(importlib.import_module(module), name, None)
            if native is None:
                continue
            if native is new:
                continue
            _saved.setdefault((module, name), native)
            setattr(sys.modules[module], name, new)
            replaced[id(native)] = new
            old.append(native)
        _patched.add(group)
    from dualwsgi.green import upgrade

    names = upgrade.upgrade_names(replaced, old)
    left = upgrade.upgrade_objects() if "thread" in todo else []
    if names or left:
        warnings.warn(_late_text(names, left), LatePatchWarning, stacklevel=2)


def _late_text(names: Sequence[str], left: Sequence[str]) -> str:
    lines = ["green.patch() was called late; call it before other imports."]
    if names:
        modules = sorted({name.partition(".")[0] for name in names})
        lines.append(
            f"Imported before it: {', '.join(modules)}.  These names were native and are replaced, but "
            f"copies elsewhere (default arguments, closures) would still block: {', '.join(sorted(names))}."
        )
    if left:
        lines.append(
            "These objects stay native, and would block every greenlet when they are contended: "
            f"{'; '.join(sorted(left))}."
        )
    return "\n".join(lines)


# The groups


def _patch_time() -> dict[tuple[str, str], Any]:
    from dualwsgi.green.thread import sleep

    return {("time", "sleep"): sleep}


def _patch_thread() -> dict[tuple[str, str], Any]:
    from dualwsgi.green import threading

    threading.get_ident()  # the main greenlet's, before anyone asks
    threading.adopt_main_thread()
    return threading.patch_threading()


def _patch_queue() -> dict[tuple[str, str], Any]:
    from dualwsgi.green.queue import SimpleQueue

    return {("_queue", "SimpleQueue"): SimpleQueue, ("queue", "SimpleQueue"): SimpleQueue}


def _patch_os() -> dict[tuple[str, str], Any]:
    from dualwsgi.green import os

    names = ("read", "write", "close", "fdopen", "wait", "wait3", "wait4", "waitpid", "waitid", "system")
    return {("os", name): getattr(os, name) for name in names}


def _patch_signal() -> dict[tuple[str, str], Any]:
    from dualwsgi.green import signal

    for number in signal_module.valid_signals():
        handler = originals.signal_getsignal(number)
        if callable(handler):  # set before the patch, as Python's own for SIGINT is
            signal.signal(number, handler)
    names = ("signal", "getsignal", "set_wakeup_fd", "pause", "sigwait", "sigwaitinfo", "sigtimedwait")
    return {("signal", name): getattr(signal, name) for name in names}


def _patch_select() -> dict[tuple[str, str], Any]:
    from dualwsgi.green import select

    select.patch_selectors()
    return {("select", name): getattr(select, name) for name in ("select", "poll", "epoll")}


def _patch_socket() -> dict[tuple[str, str], Any]:
    from dualwsgi.green import socket

    socket.patch_class()
    return {}


def _patch_dns() -> dict[tuple[str, str], Any]:
    from dualwsgi.green import dns

    names = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo", "getfqdn")
    return {("socket", name): getattr(dns, name) for name in names}


def _patch_ssl() -> dict[tuple[str, str], Any]:
    def patch_it(_: Any) -> None:
        from dualwsgi.green import ssl

        ssl.patch_class()

    _after_import("ssl", patch_it)
    return {}


def _patch_subprocess() -> dict[tuple[str, str], Any]:
    def patch_it(_: Any) -> None:
        from dualwsgi.green import subprocess

        subprocess.patch_popen()

    _after_import("subprocess", patch_it)
    return {}


def _patch_multiprocessing() -> dict[tuple[str, str], Any]:
    def locks(module: Any) -> None:
        from dualwsgi.green import multiprocessing

        multiprocessing.patch_locks(module)

    def connections(module: Any) -> None:
        from dualwsgi.green import multiprocessing

        multiprocessing.patch_connections(module)

    _after_import("multiprocessing.synchronize", locks)
    _after_import("multiprocessing.connection", connections)
    return {}


def _patch_asyncio() -> dict[tuple[str, str], Any]:
    """Let a greenlet's running loop be its own.

    asyncio keeps the running loop of an OS thread in C.  So it is set aside whenever the greenlet
    waits: two greenlets may run loops at the same time, and neither sees the other's.
    """

    def patch_it(module: Any) -> None:
        hub_module.set_aside_running_loop(module._get_running_loop, module._set_running_loop)

    _after_import("asyncio.events", patch_it)
    return {}


def _patch_psycopg() -> dict[tuple[str, str], Any]:
    def patch_3(module: Any) -> None:
        # The C implementation waits in C; the one over selectors waits in the hub.
        module.wait = module.wait_selector

    def patch_2(module: Any) -> None:
        from dualwsgi.green.poller import READ, WRITE

        def wait(connection: Any) -> None:
            while True:
                state = connection.poll()
                if state == module.POLL_OK:
                    return
                mask = READ if state == module.POLL_READ else WRITE
                hub = hub_module.current_hub()
                if hub is None:
                    from dualwsgi.green.socket import wait_native

                    wait_native(connection.fileno(), mask, None)
                else:
                    hub.wait_fd(connection.fileno(), mask)

        module.set_wait_callback(wait)

    _after_import("psycopg.waiting", patch_3)
    _after_import("psycopg2.extensions", patch_2)
    return {}


_PATCHERS: dict[str, Callable[[], dict[tuple[str, str], Any]]] = {
    "time": _patch_time,
    "thread": _patch_thread,
    "queue": _patch_queue,
    "os": _patch_os,
    "signal": _patch_signal,
    "select": _patch_select,
    "socket": _patch_socket,
    "dns": _patch_dns,
    "ssl": _patch_ssl,
    "subprocess": _patch_subprocess,
    "multiprocessing": _patch_multiprocessing,
    "asyncio": _patch_asyncio,
    "psycopg": _patch_psycopg,
}


# Patching what is not imported yet


class _AfterImport:
    """A finder for sys.meta_path: runs functions right after certain modules have been imported."""

    def __init__(self) -> None:
        self.hooks: dict[str, Callable[[Any], None]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        hook = self.hooks.pop(fullname, None)
        if hook is None:
            return None
        spec = importlib.util.find_spec(fullname)  # ours is gone: the others' answer
        if spec is None or spec.loader is None:
            self.hooks[fullname] = hook
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            execute(module)
            hook(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_finder = _AfterImport()


def _after_import(name: str, hook: Callable[[Any], None]) -> None:
    """Call `hook(module)` when `name` is imported; now, if it has been."""
    if name in sys.modules:
        hook(sys.modules[name])
        return
    _finder.hooks[name] = hook
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


# The native names, for those who need a real thread or lock


def original(name: str) -> types.ModuleType:
    """The module `name` as it is without the patch: for code that must use real threads and locks.

    `threading` and `queue` are copies of their own, built on the native functions; the others are
    views of the living modules with the native names in them.  `original("socket").socket` is a class
    whose calls block the thread.
    """
    module = _views.get(name)
    if module is None:
        module = _views[name] = _copy_of(name) if name in ("threading", "queue") else _view_of(name)
    return module


_views: dict[str, types.ModuleType] = {}


def _view_of(name: str) -> types.ModuleType:
    living = importlib.import_module(name)
    view = types.ModuleType(name, living.__doc__)
    view.__dict__.update(vars(living))
    for (module, attribute), native in _saved.items():
        if module == name:
            view.__dict__[attribute] = native
    if name == "socket":
        view.__dict__["socket"] = originals.native_socket_class()
    return view


def _copy_of(name: str) -> types.ModuleType:
    """The module, executed once more with the native `_thread` (and `threading`) beneath it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    beneath = {"_thread": _view_of("_thread"), "time": _view_of("time")}
    if name == "queue":
        beneath |= {"_queue": _view_of("_queue"), "threading": original("threading")}
    kept = {each: sys.modules[each] for each in beneath}
    sys.modules.update(beneath)
    try:
        spec.loader.exec_module(copy)
    finally:
        sys.modules.update(kept)
    return copy
