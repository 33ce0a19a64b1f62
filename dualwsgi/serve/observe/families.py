"""A snapshot as metrics, and as a text that Prometheus reads.  Knows no server and no socket.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from ...counters import Histogram
from .snapshot import Snapshot

__all__ = ["CONTENT_TYPE", "Family", "families", "write_metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of what write_metrics() writes."""

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; the buckets of the exported histograms."""

NO_LABELS: Final[Mapping[str, str]] = {}


class Family(NamedTuple):
    """A metric: its name without the `_total` of a counter, and its samples, each with an end of the name."""

    name: str
    kind: str
    what: str
    samples: list[tuple[str, Mapping[str, str], float]]


def families(snapshot: Snapshot) -> Iterator[Family]:
    """All there is to say of a snapshot."""
    totals, workers = snapshot["totals"], snapshot["workers"]

    def tell(name: str, kind: str, what: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Family:
        end = "_total" if kind == "counter" else ""
        return Family(f"dualwsgi_{name}", kind, what, [(end, labels, value) for labels, value in samples])

    about = {name: snapshot[name] for name in ("backend", "python", "version")}
    yield tell("info", "gauge", "What serves.", [(about, 1)])
    yield tell(
        "requests",
        "counter",
        "Requests that have ended, by the class of their status.",
        [({"class": name}, count) for name, count in totals["classes"].items()],
    )
    for name, what in (
        ("connections", "Connections accepted."),
        ("bytes_sent", "Bytes of responses, heads and framing included."),
        ("errors", "Requests that the parser refused."),
        ("refused", "Requests answered 503 because too many were here."),
        ("expired", "Waits on clients that ran out."),
        ("gone", "Responses whose client had left."),
        ("hub_held", "Times that a call kept the hub too long, on green."),
    ):
        yield tell(name, "counter", what, [({}, totals[name])])
    for name, key, what in (
        ("request_seconds", "latency", "Time from the last byte of a request to that of its response."),
        ("queue_seconds", "queue_wait", "Time that requests had to wait for a call, those that had to."),
    ):
        yield Family(f"dualwsgi_{name}", "histogram", what, list(_histogram(snapshot[key])))
    yield Family(
        "dualwsgi_phase_seconds",
        "histogram",
        "Where the time of requests goes, of those that the phase clock watches.",
        [
            sample
            for name, times in snapshot["phases"].items()
            for sample in _histogram(times, {"phase": name})
        ],
    )
    routes = snapshot["routes"].items()
    counts = [({"route": name}, route["latency"]["count"]) for name, route in routes]
    yield tell("route_requests", "counter", "Requests that have ended, by route.", counts)
    failed = [({"route": name}, route["errors"]) for name, route in routes]
    yield tell("route_errors", "counter", "Requests answered 5xx, by route.", failed)
    seconds = [({"route": name}, route["latency"]["seconds"]) for name, route in routes]
    yield tell("route_seconds", "counter", "Seconds that requests took, by route.", seconds)
    died: list[tuple[Mapping[str, str], float]] = [({}, snapshot["died"])]
    yield tell("workers_died", "counter", "Workers that ended though nobody had told them to.", died)
    phases = [({"phase": name}, count) for name, count in snapshot["connections"].items()]
    yield tell("connections_open", "gauge", "Connections by phase.", phases)
    for name, what in (
        ("busy", "Application calls that run."),
        ("limit", "Application calls that may run at once."),
        ("queued", "Requests that wait for a call."),
        ("lag", "Seconds by which the worker's own chores came late."),
        ("cpu_seconds", "Processor time."),
        ("rss_bytes", "Resident memory."),
        ("uptime", "Seconds since the worker began to serve."),
    ):
        kind = "counter" if name == "cpu_seconds" else "gauge"
        each = [({"pid": str(worker["pid"])}, worker[name]) for worker in workers]
        yield tell(f"worker_{name}", kind, what, each)


def _histogram(
    data: Mapping[str, Any], labels: Mapping[str, str] = NO_LABELS
) -> Iterator[tuple[str, Mapping[str, str], float]]:
    times = Histogram({int(bucket): count for bucket, count in data["buckets"].items()})
    for bound in BOUNDS:
        yield "_bucket", {"le": f"{bound:g}", **labels}, times.up_to(bound)
    yield "_bucket", {"le": "+Inf", **labels}, data["count"]
    yield "_sum", labels, data["seconds"]
    yield "_count", labels, data["count"]


def write_metrics(snapshot: Snapshot) -> str:
    """The text of a scrape."""
    lines = []
    for name, kind, what, samples in families(snapshot):
        full = f"{name}_total" if kind == "counter" else name
        lines += [f"# HELP {full} {what}", f"# TYPE {full} {kind}"]
        lines += [f"{name}{end}{_labels(labels)} {_number(value)}" for end, labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    quoted = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(quoted) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
