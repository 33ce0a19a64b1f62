"""Snapshots: what a server is doing at one moment, as plain data that can be sent and added up.

A snapshot is a dictionary of JSON's types, documented in docs/control-protocol.md.  One is made of
one process; `merge` makes one of many.  All counts go up for the life of their process, so a reader
who wants rates takes two.

Whoever asks does the work: the server's own threads write nothing for it beyond their counters.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from time import monotonic, process_time, time
from typing import TYPE_CHECKING, Any, Final

from ..._version import __version__
from ...counters import MEASURES, PHASES, Counters, Histogram, Past, RouteFigures
from ...gateway.phase import Phase

if TYPE_CHECKING:
    from ...seam import Call, Parked
    from .subject import Subject

__all__ = [
    "COUNTS",
    "MEASURES",
    "PHASES",
    "VERSION",
    "Snapshot",
    "add_past",
    "identity_of",
    "merge",
    "percentile",
    "take",
]

VERSION: Final = 1
"""Of the form of snapshots; it changes when a reader of an older one would go wrong."""

Snapshot = dict[str, Any]

LISTED: Final = 200
"""Requests in flight that a snapshot lists; the oldest are listed first, all are counted."""

ROUTES_LISTED: Final = 50

COUNTS: Final = ("totals", "latency", "queue_wait", "phases", "routes")
"""The parts of a snapshot that only grow as long as its process lives."""

CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")


def take(server: Subject) -> Snapshot:
    """A snapshot of this process; from any thread, also while nothing else of the process moves."""
    now, wall = monotonic(), time()
    counters = server.counters
    pid = os.getpid()
    snapshot: Snapshot = {
        "snapshot": VERSION,
        "time": wall,
        "version": __version__,
        "python": sys.version.partition(" ")[0],
        "backend": server.config.backend,
        "addresses": server.addresses,
        "started": wall - (now - server.started) if server.started else None,
        "draining": server.draining,
        "totals": {
            "requests": counters.requests,
            "classes": dict(zip(CLASSES, counters.classes, strict=True)),
            **{name: getattr(counters, name) for name in Counters.OWN},
        },
        "latency": histogram(counters.times),
        "queue_wait": histogram(counters.waits),
        "died": 0,
        "phase_clock": server.phase_clock,
        "phases": {name: histogram(times) for name, times in counters.phases.items()},
        "routes": _routes(counters.routes),
    }
    past = {"recent": counters.recent, "slowest": counters.slowest}
    for name, requests in past.items():
        snapshot[name] = [
            {
                "ended": wall - (now - one.ended),
                "seconds": one.seconds,
                "method": one.line.method if one.line is not None else "-",
                "target": one.line.target if one.line is not None else "-",
                "peer": one.peer or "-",
                "status": one.status,
                "size": one.size,
                "pid": pid,
                "phases": _phases_of(one),
            }
            for one in requests
        ]
    view = server.look()
    worker: Snapshot = {
        "pid": pid,
        "identity": _own_identity(pid),
        "supervisor": server.supervisor,
        "lineage": server.lineage,
        "backend": server.config.backend,
        "uptime": now - server.started if server.started else 0.0,
        "requests": counters.requests,
        "cpu_seconds": process_time(),
        "rss_bytes": resident(),
        "threads": len(sys._current_frames()),
        "busy": 0,
        "idle": 0,
        "limit": 0,
        "queued": 0,
        "lag": 0.0,
        "connections": 0,
        "draining": server.draining,
    }
    snapshot["workers"] = [worker]
    snapshot["connections"] = {}
    snapshot["in_flight"] = []
    if view is not None:
        # Of ten thousand connections nearly all are idle: they must cost next to nothing.
        awake = [conn for conn in view.parked if getattr(conn, "phase", Phase.IDLE) is not Phase.IDLE]
        phases = {"idle": len(view.parked) - len(awake), "running": len(view.calls)}
        phases["queued"] = len(view.queued)
        for conn in awake:
            name = _phase_name(conn)
            phases[name] = phases.get(name, 0) + 1
        snapshot["connections"] = {name: count for name, count in phases.items() if count}
        snapshot["in_flight"] = _in_flight(view.calls, view.queued, awake, now, pid)
        worker |= {
            "busy": len(view.calls),
            "idle": view.idle,
            "limit": view.limit,
            "queued": len(view.queued),
            "lag": max(view.lag, 0.0),
            "connections": len(view.calls) + len(view.queued) + len(view.parked),
        }
    return snapshot


def identity_of(pid: int) -> str:
    """A process by its number and when it began, since numbers come again; "4711-" where that is not told."""
    began = ""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            began = file.read().rpartition(b") ")[2].split()[19].decode()
    except (OSError, IndexError):
        pass
    return f"{pid}-{began}"


_own_identity: Final = cache(identity_of)
"""Of the process itself, which it never loses."""


def _phase_name(conn: Parked) -> str:
    phase: Phase = getattr(conn, "phase", Phase.IDLE)
    return phase.name.lower()


_QUIET: Final = frozenset({"fresh", "preamble", "handshake", "idle", "linger", "closed"})
"""Phases of connections that hold no request; an idle one may be just about to run a known head."""


def _in_flight(
    calls: Iterable[Call], queued: Iterable[Parked], parked: Iterable[Parked], now: float, pid: int
) -> list[Snapshot]:
    found = [_describe(call.conn, "running", now, pid, call) for call in calls]
    found += [_describe(conn, "queued", now, pid) for conn in queued]
    for conn in parked:
        name = _phase_name(conn)
        if name not in _QUIET:
            found.append(_describe(conn, name, now, pid))
    # A call of no request is one that has ended while this was looked at.
    found = [one for one in found if one["target"] != "-" or one["phase"] not in ("running", "sending")]
    found.sort(key=lambda one: -float(one["age"]))
    return found[:LISTED]


def _describe(conn: Parked, phase: str, now: float, pid: int, call: Call | None = None) -> Snapshot:
    line = None
    if phase == "running" and getattr(conn, "is_sending", False):
        phase = "sending"
    if phase != "head":  # then `request` is still the one before
        line = getattr(getattr(conn, "request", None), "line", None)
        if line is not None and not line.method:
            line = None  # it has none
    peer = getattr(conn, "peer", "-")
    return {
        "id": f"{pid}.{conn.fd}",
        "phase": phase,
        "age": max(0.0, now - getattr(conn, "came", conn.since)),
        "method": line.method if line is not None else "-",
        "target": line.target if line is not None else "-",
        "route": line.route_name() if line is not None else "-",
        "peer": peer,
        "thread": call.thread if call is not None else None,
        "greenlet": id(call.greenlet) if call is not None and call.greenlet is not None else None,
        "pid": pid,
    }


def histogram(times: Histogram) -> Snapshot:
    """A histogram as data."""
    return {
        "seconds": times.seconds,
        "count": times.count,
        "buckets": {str(bucket): count for bucket, count in sorted(times.counts.items())},
    }


def _routes(routes: Mapping[str, RouteFigures]) -> dict[str, Snapshot]:
    most = sorted(routes.items(), key=lambda item: -item[1].times.count)
    return {
        name: {
            "errors": figures.errors,
            "latency": histogram(figures.times),
            "phases": {name: round(value, 9) for name, value in figures.phases.items()},
        }
        for name, figures in most[:ROUTES_LISTED]
    }


def _phases_of(past: Past) -> dict[str, float | None] | None:
    if past.phases is None:
        return None
    found = zip(MEASURES, past.phases, strict=True)
    return {name: seconds if seconds >= 0 else None for name, seconds in found}


def resident() -> int:
    """Octets of memory that this process holds; 0 where that cannot be told."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


# Adding up


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """One snapshot of many processes.  Raises ValueError for none, or for a form that is not known."""
    if not snapshots:
        raise ValueError("no snapshot to merge")
    strange = [one.get("snapshot") for one in snapshots if one.get("snapshot") != VERSION]
    if strange:
        raise ValueError(f"a snapshot of form {strange[0]!r}; this program knows form {VERSION}")
    first = snapshots[0]
    merged: Snapshot = {
        **first,
        "time": max(one["time"] for one in snapshots),
        "started": min((one["started"] for one in snapshots if one["started"]), default=None),
        "backend": " and ".join(dict.fromkeys(one["backend"] for one in snapshots)),
        "addresses": list(dict.fromkeys(address for one in snapshots for address in one["addresses"])),
        "draining": all(one["draining"] for one in snapshots),
        "totals": _sum([one["totals"] for one in snapshots]),
        "latency": _sum([one["latency"] for one in snapshots]),
        "queue_wait": _sum([one["queue_wait"] for one in snapshots]),
        "phases": _sum([one["phases"] for one in snapshots]),
        "routes": _sum([one["routes"] for one in snapshots]),
        "connections": _sum([one["connections"] for one in snapshots]),
        "workers": [worker for one in snapshots for worker in one["workers"]],
    }
    order = {"in_flight": ("age", LISTED), "recent": ("ended", 64), "slowest": ("seconds", 16)}
    for name, (key, most) in order.items():
        every = [entry for one in snapshots for entry in one[name]]
        every.sort(key=lambda entry: float(entry[key]), reverse=name == "in_flight")
        merged[name] = every[:most] if name == "in_flight" else every[-most:]
    return merged


def add_past(snapshot: Snapshot, past: Snapshot) -> Snapshot:
    """`snapshot` with the counts of `past`, which has some of its parts, added."""
    return snapshot | {name: _sum([snapshot[name], part]) for name, part in past.items()}


def _sum(parts: Sequence[Any]) -> Any:
    """Adds numbers in dictionaries in dictionaries."""
    if isinstance(parts[0], Mapping):
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: _sum([part[name] for part in parts if name in part]) for name in names}
    return sum(parts)


def percentile(latency: Snapshot, share: float, before: Snapshot | None = None) -> float:
    """The length, in seconds, that `share` per cent of a histogram as data do not exceed.

    `before`: an earlier state of it, whose counts are left out.
    """
    earlier = before["buckets"] if before is not None else {}
    counts = {
        int(bucket): left
        for bucket, count in latency["buckets"].items()
        if (left := count - earlier.get(bucket, 0)) > 0
    }
    return Histogram(counts).percentile(share)
