"""The figures of a whole fleet, by any of its workers: what the others say, and what the departed left.

Workers find each other by their control sockets, which lie in one directory, and beside them is the ledger
of those that are no more.  All of it runs in native threads and on native sockets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import DualwsgiError
from .client import ask_all, find
from .ledger import Ledger, sweep
from .snapshot import Snapshot, add_past, merge, take
from .subject import Subject

__all__ = ["departed", "leave_behind", "open_ledger", "take_fleet"]


def take_fleet(server: Subject) -> Snapshot:
    """One snapshot of all workers of this server's lineage, departed ones included; or of it alone."""
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
                continue  # it leaves, does not answer just now, or is no server of ours
    found = [one for one in found if one["workers"][0].get("lineage") == server.lineage]
    try:
        # Last, so that whoever could not be asked any more is in it.
        counting, past, died = Ledger(own.parent, server.lineage).settle(found)
    except OSError:
        return merge(found)
    if counting:
        merged = merge(counting)
    else:  # it is this one that leaves, and what it has counted is in there; others may not answer just now
        merged, past = mine | past[0], past[1:]
    merged |= {"died": died}
    for counts in past:
        merged = add_past(merged, counts)
    return merged


def open_ledger(server: Subject, directory: Path) -> None:
    """Sees to it that there is one, and none of those that nobody needs.  Never raises."""
    try:
        sweep(directory)
        ledger = Ledger(directory, server.lineage)
        ledger.keep(server.supervisor)
        ledger.enter(take(server))
    except OSError:
        pass


def departed(server: Subject, directory: Path) -> dict[str, Any]:
    """What Ledger.departed() says.  Never raises."""
    if server.supervisor:
        try:
            return Ledger(directory, server.lineage).departed()
        except OSError:
            pass
    return {"counts": None, "left": [], "died": 0}


def leave_behind(server: Subject, directory: Path) -> None:
    """Adds this worker's counts, which are final, to those of the departed.  Never raises."""
    try:
        Ledger(directory, server.lineage).leave(take(server))
    except OSError:
        pass
