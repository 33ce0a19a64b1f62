"""JSON and CSV of a comparison: every window, and what was made of it."""

from __future__ import annotations

import csv
import io
import math
import os
import platform
from dataclasses import asdict
from typing import Any

from .._version import __version__
from .rounds import Comparison
from .verdict import FIGURES, Verdict

__all__ = ["about", "as_csv", "as_json"]


def about(comparison: Comparison, date: str) -> dict[str, Any]:
    """What the figures were taken of, on, and how; no name of the machine, no place in it."""
    plan = comparison.plan
    return {
        "dualwsgi": __version__,
        "date": date,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "generator": comparison.generator,
        "application": plan.target,
        "sides": [side.name for side in plan.sides],
        "settings": list(plan.settings),
        "requests": [str(one) for one in plan.asks],
        "users": list(plan.users),
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "warm_up": plan.warm_up,
        "pinned": plan.server_cpus is not None,
    }


def as_json(comparison: Comparison, verdict: Verdict, date: str) -> dict[str, Any]:
    """Times in seconds, sizes in bytes."""
    findings = []
    for finding in verdict.findings:
        findings.append(
            {
                "figure": finding.figure.name,
                "users": finding.users,
                "medians": [_finite(value) for value in finding.medians],
                "ratio": finding.ratio and asdict(finding.ratio),
                "better": None if finding.better is None else verdict.names[finding.better],
                "generator_was_the_limit": finding.by_generator,
            }
        )
    return {
        "about": about(comparison, date),
        "verdict": {
            "choice": None if verdict.choice is None else verdict.names[verdict.choice],
            "headline": verdict.headline,
            "reasons": verdict.reasons,
            "against": verdict.against,
            "cautions": verdict.cautions,
            "confidence_of_each_interval": verdict.confidence,
        },
        "findings": findings,
        "limits": [
            {"side": verdict.names[side], "users": users, "limit": limit}
            for (side, users), limit in verdict.limits.items()
        ],
        "answers": {"differ": verdict.differ, "vary": verdict.vary, "bad": verdict.bad},
        "windows": [
            {
                "round": sample.round,
                "side": verdict.names[sample.side],
                "users": sample.users,
                "requests": sample.traffic.requests,
                "seconds": sample.traffic.seconds,
                "server_cores": sample.busy,
                "generator_busy": sample.traffic.busy,
                "errors": dict(sample.traffic.errors),
                "latency": {f"p{share:g}": value for share, value in sample.traffic.latency.items()},
                **{name: _finite(value) for name, value in sample.figures.items() if name != "errors"},
            }
            for sample in comparison.samples
        ],
    }


def as_csv(comparison: Comparison) -> str:
    """A line for each window.  Times in seconds, sizes in bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [figure.name for figure in FIGURES]
    writer.writerow(["round", "side", "users", "requests", "server_cores", "generator_busy", *names])
    for sample in comparison.samples:
        writer.writerow(
            [
                sample.round,
                comparison.plan.sides[sample.side].name,
                sample.users,
                sample.traffic.requests,
                f"{sample.busy:.4f}",
                f"{sample.traffic.busy:.4f}",
                *(_cell(sample.figures[name]) for name in names),
            ]
        )
    return out.getvalue()


def _cell(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no nan
