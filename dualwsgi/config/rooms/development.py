"""What helps while the application is being written, and is never for production."""

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import FileNames, Switch, knob
from .room import Room

__all__ = ["Development"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Development(Room):
    __slots__ = ()
    heading = "Development"

    debug: bool = knob(False, Switch("Show tracebacks to clients in 500 answers. Never in production."))
    reload: bool = knob(
        False,
        Switch(
            "Reload the workers when Python files below the application's directory change; needs watchfiles."
        ),
    )
    reload_extra_files: tuple[str, ...] = knob(
        (), FileNames("Reload when these change, too: files, or directories and all that is below them.")
    )
