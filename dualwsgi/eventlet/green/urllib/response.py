"""eventlet.green.urllib.response: nothing in it waits."""

from __future__ import annotations

import urllib.response as _native

from .._copy import fill

fill(globals(), _native)
