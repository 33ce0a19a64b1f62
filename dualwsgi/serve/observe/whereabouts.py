"""Where servers that can be watched are found, and which language they speak: for both ends of the socket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["PROTOCOL", "home"]

PROTOCOL: Final = 1
"""The version of docs/control-protocol.md."""


def home() -> Path:
    """The directory of this user's control sockets: private, and not yet made."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.path.isdir(runtime):
        return Path(runtime, "dualwsgi")
    return Path(os.environ.get("TMPDIR") or "/tmp", f"dualwsgi-{os.getuid()}")
