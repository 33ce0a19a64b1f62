"""eventlet.green.BaseHTTPServer: the module http.server, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "http.server", "socketserver", "socket", "time", "http.client")
