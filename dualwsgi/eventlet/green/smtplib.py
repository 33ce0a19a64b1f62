"""eventlet.green.smtplib: the module smtplib, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "smtplib", "socket", "ssl")
