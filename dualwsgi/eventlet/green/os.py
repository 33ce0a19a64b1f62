"""eventlet.green.os: the module os, with what waits in it replaced."""

from __future__ import annotations

import os as _native

from ..ground.net import net
from ._copy import fill

globals().update(net.parts("os"))
fill(globals(), _native)
