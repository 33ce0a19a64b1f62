"""eventlet.green.Queue: the module queue, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "queue", "threading", "time")
