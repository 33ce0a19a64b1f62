"""The figures of a whole fleet, by any of its workers: what the others say, and what the departed left.

Workers find each other by their control sockets, which lie in one directory.  One that leaves adds its
counts to a file beside them, so that a reload takes nothing back; the file goes with its supervisor.
All of it runs in native threads and on native sockets.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Final

from ...errors import DualwsgiError
from .client import ask_all, find
from .snapshot import Snapshot, add_past, merge, take
from .subject import Subject

__all__ = ["leave_behind", "sweep", "take_fleet"]

_PAST: Final = ("totals", "latency", "queue_wait", "phases", "routes")
_SUFFIX: Final = ".past"


def take_fleet(server: Subject) -> Snapshot:
    """One snapshot of all workers of this server's supervisor, departed ones included; or of it alone."""
    mine = take(server)
    if not server.supervisor or server.control_socket is None:
        return mine
    own = Path(server.control_socket)
    found = [mine]
    for path in find(own.parent):
        if path != own:
            try:
                found += [snapshot for _, snapshot in ask_all([path], "snapshot")]
            except DualwsgiError:
                continue  # it leaves, or is no server of ours
    found = [one for one in found if one["workers"][0]["supervisor"] == server.supervisor]
    merged = merge(found)
    place = _place(own.parent, server.supervisor)
    try:
        with place.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return add_past(merged, json.load(file))
    except (OSError, ValueError):
        return merged  # nobody has left yet


def leave_behind(server: Subject, directory: Path) -> None:
    """Adds this worker's counts, which are final, to those of the departed.  Never raises."""
    snapshot = take(server)
    mine = {name: snapshot[name] for name in _PAST}
    try:
        descriptor = os.open(
            _place(directory, server.supervisor), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        with open(descriptor, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read()
            if text:
                mine = add_past(mine, json.loads(text))
            file.seek(0)
            file.truncate()
            json.dump(mine, file)
    except (OSError, ValueError):
        pass


def sweep(directory: Path) -> None:
    """Removes what the fleets of supervisors left that are no more."""
    for path in directory.glob(f"*{_SUFFIX}"):
        if not _is(path, _identity(path.name.partition("-")[0])):
            path.unlink(missing_ok=True)


def _place(directory: Path, supervisor: int) -> Path:
    return directory / f"{_identity(str(supervisor))}{_SUFFIX}"


def _is(path: Path, identity: str) -> bool:
    return path.name == f"{identity}{_SUFFIX}"


def _identity(pid: str) -> str:
    """A process by its number and when it began, since numbers come again."""
    began: Any = ""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            began = file.read().rpartition(b") ")[2].split()[19].decode()
    except (OSError, IndexError):
        pass
    return f"{pid}-{began}"
