"""eventlet.green.urllib.error: nothing in it waits."""

from __future__ import annotations

import urllib.error as _native

from .._copy import fill

fill(globals(), _native)
