"""eventlet.green.http: client, server and cookiejar over green sockets; the rest as it is."""

from __future__ import annotations

import http as _native

from .._copy import fill

fill(globals(), _native)
for _name in ("client", "server", "cookies", "cookiejar"):
    globals().pop(_name, None)  # the standard ones, if they happen to be imported
del _name
