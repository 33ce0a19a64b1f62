"""eventlet.green.selectors: selectors over the green select module."""

from __future__ import annotations

from ._copy import copy

copy(globals(), "selectors", "select", "time")
