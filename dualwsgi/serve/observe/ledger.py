"""Counts that a fleet's living workers do not have, or cannot tell just now, in a file beside their sockets.

What is exported must never go back: Prometheus takes a counter that does for one that began at 0, and adds
all of it once more.  So

  - a worker that leaves adds its counts here, and from then on what it said itself is not added up;
  - of one that was killed, what it was last seen with is kept: what it did after that is lost, and was
    never told to anybody;
  - one that does not answer just now counts with what it was last seen with.

The file is a lineage's: that of a supervisor and, after an upgrade, of its successors.  It goes when none
of them is alive.  Knows files and processes, and no server.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from .snapshot import COUNTS, Snapshot, add_past, identity_of

__all__ = ["Ledger", "sweep"]

BRIEF: Final = ("totals", "latency", "queue_wait")
"""What a viewer wants of the departed."""

LEFT_KEPT: Final = 256
"""Workers that have left and are remembered by name: more than leave in the moment that a reader takes."""

_SUFFIX: Final = ".past"


class Ledger:
    """That of one lineage, in a directory of control sockets.  Raises OSError where it cannot be had."""

    def __init__(self, directory: Path, lineage: str) -> None:
        self._path = directory / f"{lineage}{_SUFFIX}"

    def keep(self, supervisor: int) -> None:
        """Has the file stay as long as this supervisor is alive."""
        with self._opened() as said:
            mine = identity_of(supervisor)
            said["keepers"] = [one for one in said["keepers"] if one != mine and _is_alive(one)] + [mine]

    def enter(self, snapshot: Snapshot) -> None:
        """A worker begins.  If it ends without a word, it has died."""
        with self._opened() as said:
            said["seen"][_name(snapshot)] = _counts(snapshot)

    def leave(self, snapshot: Snapshot) -> None:
        """A worker leaves, with this as its last word."""
        name = _name(snapshot)
        with self._opened() as said:
            if name not in said["left"]:
                _bury(said, name, _counts(snapshot), died=False)

    def settle(self, living: Sequence[Snapshot]) -> tuple[list[Snapshot], list[Snapshot], int]:
        """Of snapshots that were taken a moment ago those that count, counts that are to be added, and how
        many workers have died."""
        with self._opened() as said:
            seen = said["seen"]
            counting = [one for one in living if _name(one) not in said["left"]]
            for at, one in enumerate(counting):
                known = seen.get(_name(one))
                if known is not None and known["totals"]["requests"] > one["totals"]["requests"]:
                    counting[at] = one | known  # another reader was later and quicker
                else:
                    seen[_name(one)] = _counts(one)
            absent = seen.keys() - {_name(one) for one in counting}
            for name in sorted(absent):
                if not _is_alive(name):
                    _bury(said, name, seen[name], died=True)
            silent = [seen[name] for name in absent if name in seen]
            past = [said["counts"]] if said["counts"] else []
            return counting, [*past, *silent], said["died"]

    def departed(self) -> dict[str, Any]:
        """BRIEF of those that have left or were killed, if any has, and who the last of them are."""
        with self._opened() as said:
            for name in [name for name in said["seen"] if not _is_alive(name)]:
                _bury(said, name, said["seen"][name], died=True)
            counts = said["counts"]
            brief = {name: counts[name] for name in BRIEF} if counts else None
            return {"counts": brief, "left": said["left"], "died": said["died"]}

    @contextmanager
    def _opened(self) -> Iterator[dict[str, Any]]:
        """What it says, which is written back; for one process at a time."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("ascii", "replace")
            said = _read(before)
            yield said
            text = json.dumps(said, separators=(",", ":"))
            if text != before:
                # In this order, so that who dies in between leaves what can be read.
                os.pwrite(descriptor, text.encode("ascii"), 0)
                os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)


def sweep(directory: Path) -> None:
    """Removes the sockets of workers that were killed, and what lineages left whose supervisors are gone."""
    for path in directory.glob("*.sock") if os.path.isdir("/proc/self") else ():
        if path.stem.isdecimal() and path.is_socket() and not os.path.isdir(f"/proc/{path.stem}"):
            path.unlink(missing_ok=True)
    for path in directory.glob(f"*{_SUFFIX}"):
        try:
            keepers = _read(path.read_text("ascii", "replace"))["keepers"]
        except OSError:
            continue
        if not any(_is_alive(one) for one in [*keepers, path.name.removesuffix(_SUFFIX)]):
            path.unlink(missing_ok=True)


def _read(text: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"keepers": [], "left": [], "died": 0, "counts": None, "seen": {}}
    try:
        found, _ = json.JSONDecoder().raw_decode(text)  # what stands behind it was not cut off in time
    except ValueError:
        return empty
    return empty | found if isinstance(found, dict) else empty


def _bury(said: dict[str, Any], name: str, counts: Snapshot, *, died: bool) -> None:
    said["died"] += died
    said["seen"].pop(name, None)
    said["left"] = [*said["left"], name][-LEFT_KEPT:]
    said["counts"] = add_past(counts, said["counts"]) if said["counts"] else counts


def _name(snapshot: Snapshot) -> str:
    name: str = snapshot["workers"][0]["identity"]
    return name


def _counts(snapshot: Snapshot) -> Snapshot:
    return {name: snapshot[name] for name in COUNTS}


def _is_alive(identity: str) -> bool:
    pid, _, began = identity.partition("-")
    return pid.isdecimal() and (not began or identity_of(int(pid)) == identity)
