"""Raising an exception in a thread, in the stretch of its life for which it is meant and in no other.

PyThreadState_SetAsyncExc leaves an exception at a thread, which meets it at some later bytecode: that
may be in another request by then.  So a thread brackets its calls.  Each stretch between enter() and
leave() has a token of its own; whoever wants to interrupt takes it first, and leave() takes it back.
If that fails, an exception is on its way: leave() waits until it is there, and withdraws it if it
has not been met.
"""

from __future__ import annotations

import sys
import threading
from time import sleep
from typing import Final

from ...errors import RequestTimeout

_SHARED: Final = frozenset({"logging", "logging.handlers", "importlib._bootstrap", "_frozen_importlib"})
"""Modules in whose code a thread holds what other threads wait for."""


class Stretch:
    """One call: its thread, and whether it has been interrupted."""

    __slots__ = ("raised", "token")

    def __init__(self, thread: int) -> None:
        self.token = [thread]
        self.raised = False


class CallGuard:
    """See dualwsgi.seam.Guard.  `stretch` is the present one, or the last."""

    __slots__ = ("_leave_at", "stretch")

    def __init__(self) -> None:
        import ctypes  # takes a while, and few servers ask for this

        self._leave_at = ctypes.pythonapi.PyThreadState_SetAsyncExc
        self._leave_at.argtypes = (ctypes.c_ulong, ctypes.c_void_p)  # the exception may be NULL
        self.stretch: Stretch | None = None

    # In the thread

    def enter(self) -> None:
        self.stretch = Stretch(threading.get_ident())

    def leave(self) -> None:
        stretch = self.stretch
        assert stretch is not None
        try:
            stretch.token.pop()
            return
        except IndexError:
            pass
        while not stretch.raised:
            sleep(0.0005)
        self._leave_at(threading.get_ident(), None)

    # In another

    def interrupt(self, stretch: Stretch | None) -> bool:
        """Raises RequestTimeout in the thread, if it is still in that stretch; False: ask again, later.

        Not while it logs or imports: those locks are all threads', and some are released only if nothing
        is raised between two certain steps.
        """
        if stretch is None or not stretch.token:
            return True
        at = sys._current_frames().get(stretch.token[0])
        while at is not None:
            if at.f_globals.get("__name__") in _SHARED:
                return False
            at = at.f_back
        try:
            thread = stretch.token.pop()
        except IndexError:
            return True
        self._leave_at(thread, id(RequestTimeout))
        stretch.raised = True
        return True
