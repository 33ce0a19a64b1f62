"""threading.current_thread() in a green thread, as eventlet has it: named GreenThread-1 and so on.

That name is what %(threadName)s says in the logs of its users.
"""

from __future__ import annotations

import threading
from _thread import get_ident as native_ident
from itertools import count
from typing import Any

from dualwsgi import green

from .green import GreenThread, _Simple, getcurrent

__all__ = ["install"]

_number = count(1)
_native: Any = green.original("threading")  # here, or the thread that asks first would be its main one
_standard = threading.current_thread


class _GreenThread:
    """A green thread, seen as threading shows its threads."""

    daemon = True

    def __init__(self, thread: Any) -> None:
        self._g = thread
        self.name = f"GreenThread-{next(_number)}"

    def __repr__(self) -> str:
        return f"<_GreenThread({self.name}, {self._g!r})>"

    @property
    def ident(self) -> int:
        return id(self._g)

    @property
    def native_id(self) -> int:
        return native_ident()

    def join(self, timeout: float | None = None) -> None:
        """Waits until it has ended, or `timeout` seconds have passed."""
        with green.Timeout(timeout, False):
            try:
                self._g.wait()
            except Exception:
                pass  # whose it is, is told elsewhere

    def is_alive(self) -> bool:
        return not self._g.dead

    def is_daemon(self) -> bool:
        return True

    def get_name(self) -> str:
        return self.name

    def set_name(self, name: str) -> None:
        self.name = str(name)

    isAlive, isDaemon, getName, setName = is_alive, is_daemon, get_name, set_name  # noqa: N815, RUF100


def current_thread() -> Any:
    """The running thread: a green one, one of the unpatched threading module, or whatever else."""
    me = getcurrent()
    if isinstance(me, GreenThread):
        if me.shown is None:
            me.shown = _GreenThread(me)
        return me.shown
    if isinstance(me, _Simple):  # which eventlet never gave a name of its own
        return threading.main_thread()
    if me.parent is None and native_ident() != threading.main_thread().ident:
        native = _native._active.get(native_ident())
        if native is not None:
            return native
    return _standard()


def install() -> None:
    """To be called once thread is patched."""
    threading.current_thread = current_thread
    threading.currentThread = current_thread
