"""eventlet.green.urllib.parse: nothing in it waits."""

from __future__ import annotations

import urllib.parse as _native

from .._copy import fill

fill(globals(), _native)
