"""eventlet.green.SocketServer: the module socketserver, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "socketserver", "socket", "selectors", "threading", "os")
