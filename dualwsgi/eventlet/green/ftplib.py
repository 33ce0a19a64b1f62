"""eventlet.green.ftplib: the module ftplib, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "ftplib", "socket", "ssl")
