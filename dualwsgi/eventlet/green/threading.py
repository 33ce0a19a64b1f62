"""eventlet.green.threading: the threading module on greenlets; on threads, itself."""

from __future__ import annotations

from typing import Any

from ..ground import IS_GREEN
from ..ground.net import net
from ._copy import copy

copy(globals(), "threading", "_thread", "time")
if IS_GREEN:
    _parts: dict[str, Any] = net.parts("threading")
    globals().update({name: value for name, value in _parts.items() if name in globals()})
