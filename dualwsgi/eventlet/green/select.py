"""eventlet.green.select: the module select, with what waits in it replaced."""

from __future__ import annotations

import select as _native

from ..ground.net import net
from ._copy import fill

globals().update(net.parts("select"))
fill(globals(), _native)
