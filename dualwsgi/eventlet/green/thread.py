"""eventlet.green.thread: the module _thread, with what waits in it replaced."""

from __future__ import annotations

import _thread as _native

from ..ground.net import net
from ._copy import fill

globals().update(net.parts("_thread"))
fill(globals(), _native)
globals().setdefault("Lock", _native.allocate_lock)  # a name of eventlet's, and of Python's from 3.13 on
