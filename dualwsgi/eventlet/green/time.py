"""eventlet.green.time: the module time, with what waits in it replaced."""

from __future__ import annotations

import time as _native

from ..ground.net import net
from ._copy import fill

globals().update(net.parts("time"))
fill(globals(), _native)
