"""eventlet.green.http.cookiejar: the module http.cookiejar, waiting as the backend waits."""

from __future__ import annotations

from .._copy import copy

copy(globals(), "http.cookiejar", "http.client", "urllib.request", "threading")
