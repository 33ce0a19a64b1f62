"""eventlet.green.http.cookies: nothing in it waits."""

from __future__ import annotations

import http.cookies as _native

from .._copy import fill

fill(globals(), _native)
