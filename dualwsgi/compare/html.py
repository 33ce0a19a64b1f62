"""A comparison as one HTML page that stands alone: tables, plots, no script, nothing from the network.

All text from outside (names, paths, what servers said) is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from statistics import median

from .plot import Series, bars, lines
from .report import about
from .rounds import Comparison
from .traffic import GRID
from .verdict import BY_NAME, LIMITS, Figure, Finding, Verdict, show, show_ratio

__all__ = ["as_html"]


def as_html(comparison: Comparison, verdict: Verdict, date: str) -> str:
    """The page.  `date` is shown as it is given."""
    names = verdict.names
    title = f"{names[0]} and {names[1]}: {comparison.plan.target}"
    parts = [
        f"<h1>{_e(title)}</h1>",
        f"<p class='headline'>{_e(verdict.headline)}</p>",
        _list("Because" if verdict.choice is not None else "", verdict.reasons),
        _list("Against it" if verdict.choice is not None else "What differs", verdict.against),
        _list("Mind that", verdict.cautions),
        "<h2>Plots</h2><div class='plots'>",
        *_plots(comparison, verdict),
        "</div><h2>Figures</h2>",
        "<p>Medians over the rounds. The ratio is the mean of the ratios within rounds; its interval is as "
        "wide as it must be for all intervals of this page to hold together with 95 % confidence. "
        "Bold: better, beyond the noise and by 3 % or more.</p>",
        *(_table(verdict, users) for users in comparison.plan.users),
        "<h2>Answers</h2>",
        "" if verdict.differ else "<p>Alike on both sides, as far as they do not vary by themselves.</p>",
        _list("They differ", verdict.differ),
        _list("Not compared, as it varies by itself", verdict.vary),
        _list("Never answered with success", verdict.bad),
        "<h2>How it was measured</h2>",
        _about(comparison, date),
    ]
    return (
        f"<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width'>\n<title>{_e(title)}</title>\n"
        f"<style>{STYLE}</style>\n" + "\n".join(part for part in parts if part) + "\n</html>\n"
    )


# Plots


def _plots(comparison: Comparison, verdict: Verdict) -> list[str]:
    plan = comparison.plan
    users = "users"
    p50, p99 = BY_NAME["p50"], BY_NAME["p99"]
    figures = [
        _figure(
            "Latency over load",
            "Whiskers: lowest and highest round.",
            lines(
                [
                    *_over_load(comparison, verdict, p50, "p50", dashed=True),
                    *_over_load(comparison, verdict, p99, "p99"),
                ],
                x_title=users,
                y_title="latency, ms",
                log_x=len(plan.users) > 2,
                log_y=True,
            ),
        )
    ]
    for name, title in (("rate", "Throughput over load"), ("cpu", "CPU a request over load")):
        figure = BY_NAME[name]
        figures.append(
            _figure(
                title,
                "Whiskers: lowest and highest round.",
                lines(
                    _over_load(comparison, verdict, figure),
                    x_title=users,
                    y_title=figure.title.replace(" us", ", us"),
                    log_x=len(plan.users) > 2,
                ),
            )
        )
    for number in plan.users:
        figures.append(
            _figure(
                f"Distribution of latencies at {number} users",
                "The share of the requests that took at most this long.",
                lines(
                    _distribution(comparison, verdict, number),
                    x_title="latency, ms",
                    y_title="share of requests, %",
                    log_x=True,
                ),
            )
        )
    for number in plan.users:
        rows = [
            (
                finding.figure.title,
                finding.ratio.low,
                finding.ratio.middle,
                finding.ratio.high,
                "none" if finding.better is None else f"s{finding.better}",
            )
            for finding in verdict.findings
            if finding.users == number and finding.ratio is not None
        ]
        figures.append(
            _figure(
                f"Ratios at {number} users",
                "An interval that holds 1 is no difference (grey).",
                bars(rows, x_title=f"{verdict.names[1]} / {verdict.names[0]}"),
            )
        )
    return figures


def _over_load(
    comparison: Comparison, verdict: Verdict, figure: Figure, label: str = "", *, dashed: bool = False
) -> list[Series]:
    found = []
    for side, name in enumerate(verdict.names):
        points, spread = [], []
        for users in comparison.plan.users:
            values = [
                value * figure.scale
                for value in comparison.values(side, users, figure.name)
                if math.isfinite(value)
            ]
            if values:
                points.append((float(users), median(values)))
                spread.append((min(values), max(values)))
        found.append(Series(f"{name} {label}".strip(), points, f"s{side}", spread, dashed))
    return found


def _distribution(comparison: Comparison, verdict: Verdict, users: int) -> list[Series]:
    found = []
    for side, name in enumerate(verdict.names):
        points = []
        for share in GRID:
            values = [
                sample.traffic.latency[share]
                for sample in comparison.of(side, users)
                if share in sample.traffic.latency
            ]
            if values:
                points.append((median(values) * 1e3, share))
        found.append(Series(name, points, f"s{side}"))
    return found


def _figure(title: str, caption: str, svg: str) -> str:
    return f"<figure><h3>{_e(title)}</h3>{svg}<figcaption>{_e(caption)}</figcaption></figure>"


# Tables


def _table(verdict: Verdict, users: int) -> str:
    names = verdict.names
    limits = ", ".join(f"{names[side]}: {LIMITS[verdict.limits[side, users]]}" for side in (0, 1))
    rows = "".join(_row(finding, names) for finding in verdict.findings if finding.users == users)
    return (
        f"<table><caption>{users} users. The limit on {_e(limits)}.</caption>"
        f"<tr><th><th>{_e(names[0])}<th>{_e(names[1])}<th>{_e(names[1])} / {_e(names[0])}"
        f"<th>beyond the noise</tr>{rows}</table>"
    )


def _row(finding: Finding, names: Sequence[str]) -> str:
    cells = "".join(
        f"<td{' class=better' if finding.better == side else ''}>{show(value, finding.figure)}"
        for side, value in enumerate(finding.medians)
    )
    word = finding.word if finding.better is None else f"{names[finding.better]} is better"
    return f"<tr><th>{_e(finding.figure.title)}{cells}<td>{show_ratio(finding.ratio)}<td>{_e(word)}</tr>"


def _about(comparison: Comparison, date: str) -> str:
    plan, said = comparison.plan, about(comparison, date)
    lines_ = [
        f"{date}; dualwsgi {said['dualwsgi']}, {said['python']}, {said['machine']}",
        f"load by {comparison.generator}",
        f"{plan.rounds} rounds in alternating order, a fresh process for each side in each; "
        f"{plan.warm_up:g} s of warm-up, then {plan.seconds:g} s for each number of users",
        "load generator and server on CPUs of their own" if said["pinned"] else "nothing pinned",
        f"settings of both: {' '.join(plan.settings) or 'the defaults'}",
    ]
    if plan.asks:
        lines_.append(f"asked for, in turn: {', '.join(map(str, plan.asks))}")
    return _list("", lines_)


def _list(title: str, lines_: Sequence[str]) -> str:
    if not lines_:
        return ""
    items = "".join(f"<li>{_e(line)}" for line in lines_)
    return (f"<h3>{_e(title)}</h3>" if title else "") + f"<ul>{items}</ul>"


def _e(text: str) -> str:
    return html.escape(text)


STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --rule: #d8dbe0; --page: #fff;
  --s0: #0b62c4; --s1: #178a3e; --none: #889 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #99a; --rule: #333a44; --page: #14171b;
  --s0: #6cb0ff; --s1: #5fd08a; --none: #889 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
.headline { font-size: 1.3rem; font-weight: 600 }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem }
figure { margin: 0 } figure h3 { margin: .5rem 0 }
figcaption, caption { color: var(--soft); font-size: .85rem }
caption { text-align: left; padding: .5rem 0 }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
td, th { border-bottom: 1px solid var(--rule); padding: .25rem .9rem .25rem 0; text-align: right;
  font-weight: normal; font-variant-numeric: tabular-nums; white-space: nowrap }
tr > :first-child, tr > :last-child { text-align: left } .better { font-weight: 700 }
svg { width: 100%; height: auto } svg text { font-size: 12px; fill: var(--soft) }
.axis { stroke: var(--soft) } .grid { stroke: var(--rule); stroke-width: .6 }
.line { fill: none; stroke-width: 2 } .whisker { stroke-width: 2; opacity: .5 }
.line.s0, .whisker.s0 { stroke: var(--s0) } .dot.s0 { fill: var(--s0) }
.line.s1, .whisker.s1 { stroke: var(--s1) } .dot.s1 { fill: var(--s1) }
.whisker.none { stroke: var(--none) } .dot.none { fill: var(--none) }
"""
