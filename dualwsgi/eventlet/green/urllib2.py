"""eventlet.green.urllib2: the module urllib.request, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "urllib.request", "socket", "ssl", "time", "http.client")
