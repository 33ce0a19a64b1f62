"""Worker processes: how many, how they are replaced, who they are."""

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import DAY, GIB, Count, Fleet, Mask, Seconds, Size, Switch, Text, knob
from .room import Room

__all__ = ["Workers"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Workers(Room):
    __slots__ = ()
    heading = "Worker processes"

    workers: int | str = knob(
        1,
        Fleet(
            "Processes that serve: a number, auto for one a core, or a mix such as green:2,threads:2. "
            "More than one, or any option that needs it, puts a supervisor over them.",
            short="-w",
        ),
    )
    supervise: bool = knob(
        False, Switch("Put a supervisor over a single worker too, so that signals reload and upgrade it.")
    )
    preload: bool = knob(
        False,
        Switch("Import the application once and fork the workers from there: less memory, quicker starts."),
    )
    timeout: float = knob(
        30.0,
        Seconds(
            "A worker process whose loop stands still this long is killed and replaced; a request that only "
            "waits does not stop it. 0: never.",
            0.0,
        ),
    )
    max_requests: int = knob(
        0, Count("Replace a worker after so many requests; none is lost. 0: never.", 0, 2**31 - 1)
    )
    max_requests_jitter: int = knob(
        0, Count("Add up to so many to --max-requests, by chance, for each worker.", 0, 2**31 - 1)
    )
    max_worker_lifetime: float = knob(0.0, Seconds("Replace a worker of this age. 0: never.", 0.0, 366 * DAY))
    max_worker_rss: int = knob(
        0, Size("Replace a worker that holds this much memory (resident set). 0: never.", 0, 1024 * GIB)
    )
    pin: bool = knob(False, Switch("Keep each worker on a core of its own, as far as there are enough."))
    drain_delay: float = knob(
        0.0,
        Seconds(
            "When told to stop, fail readiness and go on serving this long, until no proxy sends more.", 0.0
        ),
    )
    user: str = knob("", Text("Run the workers as this user, by name or number.", metavar="USER"))
    group: str = knob(
        "", Text("Run the workers as this group, by name or number; default: the user's.", metavar="GROUP")
    )
    umask: str = knob("", Mask("Permission bits that new files shall not have."))
    chdir: str = knob(
        "", Text("Change to this directory before the application is imported.", metavar="DIRECTORY")
    )
    pidfile: str = knob("", Text("Write the process id to this file while running.", metavar="FILE"))
    proc_name: str = knob(
        "", Text("Begin the title of each process with this name; needs setproctitle.", metavar="NAME")
    )
