"""What the rounds said: a table for the screen, JSON, and Markdown for the documentation."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.peers.rounds import Record
from loadtests.peers.scenarios import GREENER, OURS, Column, Goal, Scenario
from loadtests.peers.servers import SERVERS
from loadtests.peers.stats import Spread, paired_ratios, spread


@dataclass(frozen=True)
class Verdict:
    """A goal, what was found, and whether it was reached (None: there was nothing to compare)."""

    goal: str
    found: str
    met: bool | None


@dataclass(frozen=True)
class Result:
    """A scenario and what its rounds said."""

    scenario: Scenario
    records: list[Record]
    subject: str
    """The server that ratios are taken of: ours, or the first one where ours did not run."""


def subject_of(records: Sequence[Record]) -> str:
    measured = [record.server for record in records if record.samples]
    return OURS if OURS in measured or not measured else measured[0]


def _find(records: Sequence[Record], name: str) -> Record | None:
    return next((record for record in records if record.server == name and record.samples), None)


# Goals


def best_peer(records: Sequence[Record], figure: str) -> Record | None:
    """The server of others with the lowest median."""
    medians = [
        (found.median, record.server, record)
        for record in records
        if not SERVERS[record.server].ours and (found := spread(record.values(figure))) is not None
    ]
    return min(medians)[2] if medians else None


def judge(goal: Goal, scenario: Scenario, records: Sequence[Record]) -> Verdict:
    column = next(column for column in scenario.columns if column.figure == goal.figure)
    bound = "at least" if goal.at_least else "at most"
    ours = _find(records, goal.subject)
    if goal.against:
        theirs = (
            best_peer(records, goal.figure) if goal.against == "best peer" else _find(records, goal.against)
        )
        name = (
            f"the best peer's ({theirs.server})"
            if theirs and goal.against == "best peer"
            else f"{goal.against}'s"
        )
        text = f"{column.title} of {goal.subject}: {bound} {goal.value:g} x {name}"
        found = None
        if ours is not None and theirs is not None:
            found = spread(paired_ratios(ours.values(goal.figure), theirs.values(goal.figure)))
        shown = show_ratio(found)
    else:
        text = f"{column.title} of {goal.subject}: {bound} {goal.value * column.scale:g}"
        found = None if ours is None else spread(ours.values(goal.figure))
        shown = show(found, column)
    if goal.equal > 1:
        text += f" (up to {goal.equal:g} counts as equal)"
    if found is None:
        return Verdict(text, shown, None)
    met = found.median >= goal.value if goal.at_least else found.median <= goal.value * goal.equal
    return Verdict(text, shown, met)


# Cells


def show(found: Spread | None, column: Column, *, with_range: bool = True) -> str:
    if found is None:
        return "-"
    low, middle, high = (
        f"{value * column.scale:,.{column.digits}f}" for value in (found.low, found.median, found.high)
    )
    return f"{middle} [{low}-{high}]" if with_range and low != high else middle


def show_ratio(found: Spread | None) -> str:
    return "-" if found is None else f"{found.median:.3f} [{found.low:.3f}-{found.high:.3f}]"


def rows(result: Result) -> list[list[str]]:
    """The table of a scenario, its heading first; servers by the median of the first column."""
    scenario, records = result.scenario, result.records
    key = scenario.columns[0]
    subject = _find(records, result.subject)

    def rank(record: Record) -> float:
        found = spread(record.values(key.figure))
        return math.inf if found is None else found.median

    table = [["server", *(column.title for column in scenario.columns)]]
    if scenario.ratios:
        table[0].append(f"{result.subject} / it")
    for record in sorted(records, key=rank):
        cells = [
            show(spread(record.values(column.figure)), column, with_range=column is key)
            for column in scenario.columns
        ]
        table.append([record.server, *cells])
        if not scenario.ratios:
            continue
        ratio = None
        if subject is not None and record.server != result.subject:
            ratio = spread(paired_ratios(subject.values(key.figure), record.values(key.figure)))
        table[-1].append(show_ratio(ratio))
    return table


def notes(result: Result) -> list[str]:
    said = []
    for record in result.records:
        alike: dict[str, list[str]] = {}
        for note in record.notes:
            alike.setdefault(re.sub(r"\d+", "#", note), []).append(note)
        for same in alike.values():
            said.append(
                f"{record.server}: {same[0]}" + (f" (in {len(same)} rounds)" if len(same) > 1 else "")
            )
    said += [f"{record.server} FAILED: {record.failed}" for record in result.records if record.failed]
    return ([result.scenario.remark] if result.scenario.remark else []) + said


def verdicts(result: Result) -> list[Verdict]:
    return [judge(goal, result.scenario, result.records) for goal in result.scenario.goals]


def _word(verdict: Verdict) -> str:
    return "not measured" if verdict.met is None else "met" if verdict.met else "NOT MET"


# The screen


def aligned(table: Sequence[Sequence[str]]) -> str:
    """Plain text: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def on_screen(result: Result) -> None:
    """Print a table: with rich where it is installed and the terminal is wide enough, else in plain text."""
    title, table = f"{result.scenario.name}: {result.scenario.title}", rows(result)
    if not _drawn(title, table):
        print(f"\n{title}\n\n{aligned(table)}")
    for verdict in verdicts(result):
        print(f"  {_word(verdict):12} {verdict.goal}: {verdict.found}")
    for note in notes(result):
        print(f"  - {note}")


def _drawn(title: str, table: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    console = Console()
    borders = 2 * len(table[0])
    if not console.is_terminal or len(aligned(table).partition("\n")[0]) + borders > console.width:
        return False  # rich would cut the figures
    drawn = Table(title=title, title_justify="left")
    for number, heading in enumerate(table[0]):
        drawn.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in table[1:]:
        drawn.add_row(*map(Text, row))  # Text, as "[1.0-1.1]" would be taken for markup
    console.print()
    console.print(drawn)
    return True


# For machines, and for the documentation


def as_json(results: Sequence[Result], about: dict[str, Any]) -> dict[str, Any]:
    """Everything: each round's figures in seconds, bytes and counts, the ratios' spreads, goals and notes."""
    scenarios = {}
    for result in results:
        key = result.scenario.columns[0].figure
        subject = _find(result.records, result.subject)
        servers: dict[str, Any] = {}
        for record in result.records:
            ratio = None
            if subject is not None and record.samples and result.scenario.ratios:
                ratio = spread(paired_ratios(subject.values(key), record.values(key)))
            figures = sorted({figure for sample in record.samples for figure in sample.figures})
            medians = {figure: spread(record.values(figure)) for figure in figures}
            servers[record.server] = {
                "command": record.command,
                "rounds": [_finite(sample.figures) for sample in record.samples],
                "spread": {figure: found and asdict(found) for figure, found in medians.items()},
                f"{result.subject}_ratio": ratio and asdict(ratio),
                "notes": record.notes,
                "failed": record.failed,
            }
        scenarios[result.scenario.name] = {
            "title": result.scenario.title,
            "ratio_of": key,
            "threads": result.scenario.threads,
            "servers": servers,
            "goals": [asdict(verdict) for verdict in verdicts(result)],
        }
    return {"about": about, "scenarios": scenarios}


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    return {
        name: value if math.isfinite(value) else None for name, value in figures.items()
    }  # JSON has no nan


def not_first(result: Result) -> str | None:
    """Where a peer needs less than the better of ours, and why; None where none does, or nothing says so."""
    key = result.scenario.columns[0]
    ours = [
        (found.median, record)
        for record in result.records
        if record.server in (OURS, GREENER) and (found := spread(record.values(key.figure))) is not None
    ]
    peer = best_peer(result.records, key.figure)
    if not ours or peer is None:
        return None
    _, mine = min(ours, key=lambda pair: pair[0])
    ratio = spread(paired_ratios(mine.values(key.figure), peer.values(key.figure)))
    if ratio is None or ratio.median <= EQUAL:
        return None
    figures = [show(spread(record.values(key.figure)), key, with_range=False) for record in (peer, mine)]
    why = result.scenario.why or "not explained yet"
    return (
        f"`{result.scenario.name}`: {peer.server} needs {figures[0]}, {mine.server} {figures[1]} "
        f"({key.title}; {ratio.median:.2f} times). Why: {why}."
    )


EQUAL = 1.03
"""No run tells 1.00 from 1.02."""


def as_page(results: Sequence[Result], about: dict[str, Any], plots: Mapping[str, str]) -> str:
    """The page of the documentation; `plots` says where a scenario's picture is, seen from the page."""
    behind = [line for line in map(not_first, results) if line is not None]
    out = [PREFACE, "## Where dualwsgi is not first\n"]
    measured = any(_find(result.records, name) for result in results for name in (OURS, GREENER))
    nothing = "Nowhere in this run.\n" if measured else "It was not measured in this run.\n"
    out.append("\n".join(f"- {line}" for line in behind) + "\n" if behind else nothing)
    out.append("## The figures\n")
    out.append(as_markdown(results, about, plots))
    return "\n".join(out)


PREFACE = """\
# Benchmarks

dualwsgi on both backends against other WSGI servers, in one run on one machine: all servers of a
scenario are up, rounds are interleaved, and ratios are taken within rounds.
`loadtests/README.md` says how it is measured and what to doubt. This page is made by the command
below, figures, pictures and all.

**CPU a request** is what a server costs: user and system time of its whole process tree over the
requests that were answered. It holds where the load generator is the limit, which requests a second
do not.
"""


def as_markdown(
    results: Sequence[Result], about: dict[str, Any], plots: Mapping[str, str] | None = None
) -> str:
    out = io.StringIO()
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    out.write(f"Measured on {about['date']}: {about['machine']}, {about['python']}; {about['pinning']}.\n")
    out.write(f"Versions: {versions}.\n")
    out.write(f"\n```console\n$ {about['command']}\n```\n")
    out.write(
        "\nEach figure is the median over interleaved rounds, with the lowest and the highest in brackets. "
        "The last column is the median of the ratios within each round: below 1, the subject needs less.\n"
    )
    for result in results:
        table = rows(result)
        title = result.scenario.title[0].upper() + result.scenario.title[1:]
        out.write(f"\n### {title} (`{result.scenario.name}`)\n\n")
        if plots and result.scenario.name in plots:
            out.write(f"![{result.scenario.title}]({plots[result.scenario.name]})\n\n")
        for number, row in enumerate(table):
            out.write(f"| {' | '.join(row)} |\n")
            if number == 0:
                out.write(f"| --- |{' ---: |' * (len(row) - 1)}\n")
        if judged := verdicts(result):
            out.write("\n")
        for verdict in judged:
            out.write(f"- {_word(verdict)}: {verdict.goal}: {verdict.found}\n")
        if said := notes(result):
            out.write("\n" + "".join(f"- {note}\n" for note in said))
    return out.getvalue()
