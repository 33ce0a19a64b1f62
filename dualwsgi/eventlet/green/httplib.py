"""eventlet.green.httplib: the module http.client, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "http.client", "socket", "ssl")
