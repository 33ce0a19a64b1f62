"""What the annexe stands on: greenlets or OS threads, chosen once, by DUALWSGI_BACKEND.

Both grounds have the same names: how one waits, who runs, and what ends a wait.  All above is
written once, over `ground`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

VARIABLE: Final = "DUALWSGI_BACKEND"
GROUNDS: Final = ("green", "threads")


def _chosen() -> str:
    name = os.environ.get(VARIABLE) or "green"
    if name not in GROUNDS:
        raise ImportError(f"{VARIABLE}={name!r}: dualwsgi.eventlet stands on {' or '.join(GROUNDS)}")
    return name


BACKEND: Final = _chosen()
IS_GREEN: Final = BACKEND == "green"

ground: Final[Any] = import_module(f".{BACKEND}", __name__)
