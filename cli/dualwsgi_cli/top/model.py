"""What the dashboard knows: snapshots in, figures out.  Pure; time is what the snapshots say."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dualwsgi.serve.observe.ledger import BRIEF
from dualwsgi.serve.observe.snapshot import MEASURES, add_past, merge, percentile

__all__ = ["Figures", "History", "RouteRow", "WorkerRow"]

Snapshot = dict[str, Any]

WINDOW: Final = 10.0
"""Seconds over which rates and percentiles are taken."""

WORKERS_KNOWN: Final = 256
"""Workers that are remembered, of which most are no more."""

_NONE: Final[Mapping[str, Snapshot]] = {}

SERIES: Final = 300
"""Points of a sparkline that are kept, one a second."""


@dataclass
class RouteRow:
    name: str
    count: int
    rate: float
    p50: float
    p95: float
    p99: float
    errors: int
    failing: int  # of those, how many in the window
    phases: dict[str, float | None] | None = None  # mean seconds, and of how many; None if of none


@dataclass
class WorkerRow:
    snapshot: Snapshot
    cpu: float  # share of a core
    rate: float


@dataclass
class Figures:
    """One moment, ready to be drawn.  Times in seconds, rates a second."""

    snapshot: Snapshot
    rate: float = 0.0
    sent: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    wait: float = 0.0  # p95 of the wait in the queue
    classes: dict[str, int] = field(default_factory=dict)
    fresh: dict[str, int] = field(default_factory=dict)  # of 5xx, refused, gone and died: those in the window
    died: int = 0  # workers that ended though nobody had told them to
    rates: list[float] = field(default_factory=list)  # one a second, the newest last
    slow: list[float] = field(default_factory=list)  # p95 of each second
    seconds: int = 0  # that have been seen in all, of which these are the last
    routes: list[RouteRow] = field(default_factory=list)
    workers: list[WorkerRow] = field(default_factory=list)


class History:
    """What was seen so far.

    Totals are a fleet's, and go on while workers come and go; those that were killed count with what they
    were last seen with.  A server that was replaced begins anew, which is never a negative rate.
    """

    def __init__(self) -> None:
        self._workers: dict[str, tuple[str, Snapshot]] = {}  # of fleets, by identity: lineage and counts
        self._killed: dict[str, Snapshot] = {}  # by lineage, counts of those that were of these
        self._window: deque[Snapshot] = deque()
        self._rates: deque[float] = deque(maxlen=SERIES)
        self._slow: deque[float] = deque(maxlen=SERIES)
        self._seconds = 0
        self._second: Snapshot | None = None  # where the present second of the series begins

    def add(self, snapshots: list[Snapshot], departed: Mapping[str, Snapshot] = _NONE) -> None:
        """The latest snapshot of each process, and by lineage what those that have left had counted."""
        died = sum(said.get("died", 0) for said in departed.values())
        merged = merge(snapshots) | self._counts(snapshots, departed) | {"died": died}
        window = self._window
        if window and merged["totals"]["requests"] < window[-1]["totals"]["requests"]:
            window.clear()  # another server
            self._second = None
        window.append(merged)
        while len(window) > 2 and window[1]["time"] <= merged["time"] - WINDOW:
            window.popleft()
        second = self._second
        if second is None:
            self._second = merged
        elif merged["time"] - second["time"] >= 1.0:
            seconds = merged["time"] - second["time"]
            rate = (merged["totals"]["requests"] - second["totals"]["requests"]) / seconds
            slow = percentile(merged["latency"], 95, second["latency"])
            self._seconds += int(seconds)
            for _ in range(min(SERIES, int(seconds))):  # a pause leaves no gap
                self._rates.append(rate)
                self._slow.append(slow)
            self._second = merged

    def _counts(self, snapshots: list[Snapshot], departed: Mapping[str, Snapshot]) -> Snapshot:
        """BRIEF of all there are and were, each worker once, wherever it is told of."""
        told = [said["counts"] for said in departed.values() if said.get("counts")]
        left = {name for said in departed.values() for name in said.get("left", ())}
        known = self._workers
        for one in snapshots:
            worker, counts = one["workers"][0], {name: one[name] for name in BRIEF}
            if worker.get("lineage"):
                known.pop(worker["identity"], None)  # to the end, where those are that live
                known[worker["identity"]] = worker["lineage"], counts
            else:
                told.append(counts)
        lineages = {lineage for lineage, _ in known.values()} & {
            one["workers"][0].get("lineage") for one in snapshots
        }
        for name, (lineage, _) in list(known.items()):
            if name in left or lineage not in lineages:
                del known[name]
        self._killed = {one: counts for one, counts in self._killed.items() if one in lineages}
        while len(known) > WORKERS_KNOWN:
            lineage, counts = known.pop(next(iter(known)))
            self._killed[lineage] = add_past(counts, self._killed.get(lineage, {}))
        told += self._killed.values()
        told += [counts for _, counts in known.values()]
        if not told:  # all that are here are just leaving
            return {name: snapshots[0][name] for name in BRIEF}
        whole = told[0]
        for counts in told[1:]:
            whole = add_past(whole, counts)
        return {name: whole[name] for name in BRIEF}

    def figures(self) -> Figures | None:
        """What there is to be drawn; None before the first snapshot."""
        if not self._window:
            return None
        now, before = self._window[-1], self._window[0]
        seconds = now["time"] - before["time"]
        # In the first moments what has been since the start of the server is all there is to tell.
        earlier = before if seconds >= 1.0 else None

        def share(of: str, percent: float) -> float:
            recent = percentile(now[of], percent, earlier[of] if earlier else None)
            return recent or percentile(now[of], percent)

        def rate(name: str) -> float:
            return (now["totals"][name] - before["totals"][name]) / seconds if seconds > 0 else 0.0

        return Figures(
            snapshot=now,
            rate=rate("requests"),
            sent=rate("bytes_sent"),
            p50=share("latency", 50),
            p95=share("latency", 95),
            p99=share("latency", 99),
            wait=share("queue_wait", 95),
            classes=now["totals"]["classes"],
            fresh={name: _trouble(now, name) - _trouble(before, name) for name in TROUBLE},
            died=now["died"],
            rates=list(self._rates),
            slow=list(self._slow),
            seconds=self._seconds,
            routes=_routes(now, before, seconds),
            workers=_workers(now, before, seconds),
        )


TROUBLE: Final = ("5xx", "refused", "gone", "died")
"""What an operator wants to know whether it goes on."""


def _trouble(snapshot: Snapshot, name: str) -> int:
    told = {**snapshot["totals"], **snapshot["totals"]["classes"], "died": snapshot["died"]}
    return int(told.get(name, 0))


_NO_ROUTE: Final[Snapshot] = {"latency": {"count": 0, "buckets": {}}, "errors": 0}


def _routes(now: Snapshot, before: Snapshot, seconds: float) -> list[RouteRow]:
    rows = []
    for name, route in now["routes"].items():
        latency = route["latency"]
        was = before["routes"].get(name, _NO_ROUTE)
        earlier, failed = was["latency"]["count"], was["errors"]
        # Of the window, or else of all there is: what is slow now would not be seen in those of days.
        since = was["latency"] if latency["count"] > earlier else None
        rows.append(
            RouteRow(
                name=name,
                count=latency["count"],
                rate=max(0, latency["count"] - earlier) / seconds if seconds > 0 else 0.0,
                p50=percentile(latency, 50, since),
                p95=percentile(latency, 95, since),
                p99=percentile(latency, 99, since),
                errors=route["errors"],
                failing=max(0, route["errors"] - failed),
                phases=_mean(route.get("phases")),
            )
        )
    return rows


def _mean(sums: dict[str, float] | None) -> dict[str, float | None] | None:
    """What the requests of a route took on average, of those that were watched."""
    if not sums or not sums["clocked"]:
        return None
    means: dict[str, float | None] = {name: sums[name] / sums["clocked"] for name in MEASURES}
    means["cpu"] = sums["cpu"] / sums["cpu_clocked"] if sums["cpu_clocked"] else None
    return means | {"clocked": sums["clocked"]}


def _workers(now: Snapshot, before: Snapshot, seconds: float) -> list[WorkerRow]:
    earlier = {worker["pid"]: worker for worker in before["workers"]}

    def rate(worker: Snapshot, name: str) -> float:
        was = earlier.get(worker["pid"], worker)
        return max(0.0, worker.get(name, 0) - was.get(name, 0)) / seconds if seconds > 0 else 0.0

    return [
        WorkerRow(snapshot=worker, cpu=rate(worker, "cpu_seconds"), rate=rate(worker, "requests"))
        for worker in now["workers"]
    ]
