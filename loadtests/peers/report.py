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
    """The scenario's remark, what the rounds noted with the servers that it is true of, and who failed."""
    found: dict[str, tuple[str, dict[str, int]]] = {}
    for record in result.records:
        for note in record.notes:
            # The same but for its numbers is the same.
            _, servers = found.setdefault(re.sub(r"\d+", "#", note), (note, {}))
            servers[record.server] = servers.get(record.server, 0) + 1
    measured = sum(1 for record in result.records if record.samples)
    said = [
        f"{'every server' if len(servers) == measured > 1 else _servers(servers)}: {note}"
        for note, servers in found.values()
    ]
    said += [f"{record.server} FAILED: {record.failed}" for record in result.records if record.failed]
    return ([result.scenario.remark] if result.scenario.remark else []) + said


def _servers(rounds: Mapping[str, int]) -> str:
    return ", ".join(name + (f" (in {count} rounds)" if count > 1 else "") for name, count in rounds.items())


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


def _median(record: Record | None, column: Column) -> float | None:
    found = None if record is None else spread(record.values(column.figure))
    return None if found is None else found.median


def _best(result: Result, column: Column, *, ours: bool) -> Record | None:
    """The first by this column among ours (both backends as they are) or among the others."""
    found = []
    for record in result.records:
        mine = record.server in (OURS, GREENER)
        if mine is not ours or SERVERS[record.server].ours is not ours:
            continue
        if (middle := _median(record, column)) is not None:
            found.append((-middle if column.more_is_better else middle, record.server, record))
    return min(found)[2] if found else None


def _behind(result: Result, column: Column) -> str | None:
    """What a peer reaches where the better of ours is behind it by more than the column's measure."""
    mine, peer = _best(result, column, ours=True), _best(result, column, ours=False)
    if not column.tells or mine is None or peer is None:
        return None
    pair = (peer, mine) if column.more_is_better else (mine, peer)
    ratio = spread(paired_ratios(*(record.values(column.figure) for record in pair)))
    if ratio is None or ratio.median <= column.tells:
        return None
    theirs, own = (show(spread(one.values(column.figure)), column, with_range=False) for one in (peer, mine))
    return f"{peer.server} {theirs}, {mine.server} {own} {column.title} ({ratio.median:.2f} times)"


def not_first(result: Result) -> str | None:
    """By which figures a peer is before the better of ours, and why; None where none is."""
    found = [text for column in result.scenario.columns if (text := _behind(result, column)) is not None]
    if not found:
        return None
    return f"`{result.scenario.name}`: {'; '.join(found)}. Why: {result.scenario.why}."


def glance(results: Sequence[Result]) -> list[list[str]]:
    """The first column of each scenario in one table: both of ours, the best of the others, gunicorn's."""
    table = [["scenario", "figure", OURS, GREENER, "the best other", "gunicorn's threads"]]
    for result in results:
        key = result.scenario.columns[0]
        best = _best(result, key, ours=False)
        if best is None:
            continue

        def cell(record: Record | None, key: Column = key) -> str:
            return show(None if record is None else spread(record.values(key.figure)), key, with_range=False)

        table.append(
            [
                f"[{result.scenario.name}](#{result.scenario.name})",
                key.title,
                *(cell(_find(result.records, name)) for name in (OURS, GREENER)),
                f"{cell(best)} {best.server}",
                cell(_find(result.records, "gunicorn-gthread")),
            ]
        )
    return table


def _as_table(table: Sequence[Sequence[str]], words: int = 1) -> str:
    """Markdown; the first `words` columns are words, the others figures."""
    width = len(table[0])
    lines = [f"| {' | '.join(row)} |" for row in table]
    lines.insert(1, f"|{' --- |' * words}{' ---: |' * (width - words)}")
    return "\n".join(lines) + "\n"


def as_page(results: Sequence[Result], about: dict[str, Any], plots: Mapping[str, str]) -> str:
    """The page of the documentation; `plots` says where a scenario's picture is, seen from the page."""
    behind = [line for line in map(not_first, results) if line is not None]
    measured = any(_find(result.records, name) for result in results for name in (OURS, GREENER))
    out = [PREFACE, _measured(about)]
    if measured and len(found := glance(results)) > 1:
        out += ["## At a glance\n", "Medians; less is better in each row.\n", _as_table(found, words=2)]
    out.append("## Where dualwsgi is not first\n")
    nothing = "Nowhere in this run.\n" if measured else "It was not measured in this run.\n"
    if behind:
        out.append(
            "The better of both backends against the best of the others, by each figure that is judged.\n"
        )
    out.append("\n".join(f"- {line}" for line in behind) + "\n" if behind else nothing)
    out += ["## The figures\n", FIGURES, _figures(results, plots)]
    out += ["## How the servers were started\n", _commands(results)]
    return "\n".join(out)


PREFACE = """\
# Benchmarks

dualwsgi on both backends against other WSGI servers, on one machine: all servers of a scenario are up, rounds
are interleaved, and ratios are taken within rounds. This page is made by the command below, figures,
pictures and all; `loadtests/README.md` says how it is measured and what to doubt.

**CPU a request** is what a server costs: user and system time of its whole process tree over the requests
that were answered. It holds where the load generator is the limit, which requests a second do not.
"""

FIGURES = """\
Each first figure is the median over the rounds, with the lowest and the highest in brackets; the others are
medians. The last column is the median of the ratios within each round: below 1, dualwsgi needs less.
"""


def _measured(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    commands = "\n".join(f"$ {command}" for command in about["commands"])
    return (
        f"Measured on {about['date']}: {about['machine']}; {about['python']}; {about['pinning']}.\n"
        f"Versions: {versions}.\n\n<!-- not run: it takes long -->\n```console\n{commands}\n```\n"
    )


def _commands(results: Sequence[Result]) -> str:
    """One command line a server, of the first scenario that it was in; PEERS is the peers' environment."""
    lines: dict[str, str] = {}
    for result in results:
        for record in result.records:
            lines.setdefault(record.server, record.command)
    width = max(map(len, lines), default=0)
    return "```text\n" + "".join(f"{name.ljust(width)}  {line}\n" for name, line in lines.items()) + "```\n"


def as_markdown(results: Sequence[Result], about: dict[str, Any]) -> str:
    """The tables alone, and how they were made."""
    return "\n".join([_measured(about), FIGURES, _figures(results, {})])


def _figures(results: Sequence[Result], plots: Mapping[str, str]) -> str:
    out = io.StringIO()
    for result in results:
        name = result.scenario.name
        title = result.scenario.title[0].upper() + result.scenario.title[1:]
        out.write(f"### {title} (`{name}`) {{ #{name} }}\n\n")
        if name in plots:
            out.write(f"![{result.scenario.title}]({plots[name]})\n\n")
        out.write(_as_table(rows(result)) + "\n")
        said = [f"{_word(verdict)}: {verdict.goal}: {verdict.found}" for verdict in verdicts(result)]
        if said := said + notes(result):
            out.write("".join(f"- {note}\n" for note in said) + "\n")
    return out.getvalue()
