"""What the dashboard makes of snapshots: totals that go on while workers come and go, each counted once."""

from __future__ import annotations

from typing import Any

import pytest

from dualwsgi.counters import bucket_of
from dualwsgi.serve.observe.snapshot import VERSION
from dualwsgi_cli.top.model import WORKERS_KNOWN, Figures, History
from dualwsgi_cli.top.screen import HELP, MIN_HEIGHT, MIN_WIDTH, Look, draw


def said(name: str, requests: int, *, time: float, lineage: str = "1-1") -> dict[str, Any]:
    times = {"seconds": requests / 8, "count": requests, "buckets": {"16000": requests}}
    worker = {"pid": int(name), "identity": f"{name}-1", "lineage": lineage, "supervisor": 1, "uptime": 1.0}
    worker |= dict.fromkeys(("busy", "limit", "idle", "queued", "connections", "lag", "rss_bytes"), 0)
    return {
        "snapshot": VERSION,
        "version": "0",
        "time": time,
        "started": 0.0,
        "backend": "threads",
        "addresses": [],
        "draining": False,
        "totals": {
            "requests": requests,
            "classes": dict.fromkeys(("3xx", "4xx", "5xx"), 0) | {"2xx": requests},
            **dict.fromkeys(("bytes_sent", "refused", "gone"), 0),
        },
        **dict.fromkeys(("latency", "queue_wait"), times),
        **{key: {} for key in ("phases", "routes", "connections")},
        "workers": [worker | {"cpu_seconds": 0.0, "requests": requests}],
        **{key: [] for key in ("in_flight", "recent", "slowest")},
    }


def departed(requests: int, *left: str) -> dict[str, Any]:
    one = said("1", requests, time=0.0)
    counts = {name: one[name] for name in ("totals", "latency", "queue_wait")} if left else None
    return {"1-1": {"counts": counts, "left": [f"{name}-1" for name in left]}}


class Seen:
    def __init__(self) -> None:
        self.history = History()
        self.time = 0.0

    def total(self, workers: dict[str, int], gone: dict[str, Any], lineage: str = "1-1") -> int:
        self.time += 1.0
        latest = [said(name, count, time=self.time, lineage=lineage) for name, count in workers.items()]
        self.history.add(latest, gone)
        figures = self.history.figures()
        assert figures is not None
        assert figures.snapshot["latency"]["count"] == figures.snapshot["totals"]["requests"]
        assert figures.rate >= 0.0
        total: int = figures.snapshot["totals"]["requests"]
        return total


@pytest.mark.parametrize("first_told", ["by the ledger", "by its silence"])
def test_a_worker_that_leaves_counts_once(first_told: str) -> None:
    seen = Seen()
    assert seen.total({"2": 5, "3": 1}, departed(0)) == 6
    if first_told == "by the ledger":
        assert seen.total({"2": 5, "3": 1}, departed(7, "2")) == 8
    else:
        assert seen.total({"3": 1}, departed(0)) == 6
    assert seen.total({"3": 1}, departed(7, "2")) == 8
    assert seen.total({"3": 2, "4": 1}, departed(7, "2")) == 10


def test_of_workers_that_are_killed_again_and_again_nothing_is_lost() -> None:
    seen = Seen()
    for number in range(2, WORKERS_KNOWN + 10):
        assert seen.total({str(number): 1}, departed(0)) == number - 1


def test_what_was_before_the_dashboard_is_told_and_another_server_begins_anew() -> None:
    seen = Seen()
    assert seen.total({"3": 1}, departed(7, "2")) == 8
    assert seen.total({"4": 2}, {}, lineage="4-4") == 2
    assert seen.total({"5": 1}, {}, lineage="") == 1
    assert seen.total({"6": 0}, {}, lineage="") == 0


def test_what_goes_wrong_is_told_from_what_went_wrong() -> None:
    history = History()

    def look(failed: int, died: int, *, time: float) -> Figures:
        one = said("2", 10, time=time)
        one["totals"] |= {"classes": one["totals"]["classes"] | {"5xx": failed}, "refused": 3}
        history.add([one], {"1-1": {"died": died}})
        figures = history.figures()
        assert figures is not None
        return figures

    assert set(look(4, 1, time=0.0).fresh.values()) == {0}
    figures = look(5, 3, time=1.0)
    assert (figures.fresh["5xx"], figures.fresh["died"], figures.died) == (1, 2, 3)
    assert "5xx 5 +1 " in (text := "\n".join(line.plain for line in draw(figures, Look(), 80, 24)))
    assert "refused 3 " in text
    assert "1 worker, 3 +2 died" in text


def test_a_route_s_percentiles_are_those_of_late() -> None:
    history = History()
    for time, (fast, slow) in enumerate([(1000, 0), (1000, 20), (1000, 40)]):
        one = said("2", fast + slow, time=float(time))
        buckets = {str(bucket_of(0.001)): fast, str(bucket_of(1.0)): slow}
        latency = {"seconds": 1.0, "count": fast + slow, "buckets": buckets}
        one["routes"] = {"GET /": {"errors": slow, "latency": latency}}
        history.add([one])
    figures = history.figures()
    assert figures is not None
    (row,) = figures.routes
    assert row.count == 1040
    assert row.failing == 40
    assert row.p50 == pytest.approx(1.0, rel=0.1)


def test_the_help_is_whole_on_the_smallest_screen() -> None:
    history = History()
    history.add([said("2", 1, time=0.0)])
    text = "\n".join(line.plain for line in draw(history.figures(), Look(help=True), MIN_WIDTH, MIN_HEIGHT))
    for keys, what in HELP:
        assert f" {keys:14}{what}" in text
