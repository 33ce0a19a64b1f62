"""eventlet.green.subprocess: the module subprocess, waiting as the backend waits."""

from __future__ import annotations

from ._copy import copy

_SHARED = ("CalledProcessError", "SubprocessError", "TimeoutExpired")

copy(globals(), "subprocess", "os", "select", "selectors", "time", "threading", shared=_SHARED)
