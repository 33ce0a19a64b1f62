"""eventlet.green.SimpleHTTPServer: the module http.server, waiting as the backend waits."""

from __future__ import annotations

from . import BaseHTTPServer as _base
from ._copy import fill

fill(globals(), _base)
