"""The locust suite on both backends, one kind of work after the other: `python -m loadtests.suite --help`.

What `dualwsgi compare` does for an application of yours, this does for `loadtests.app` and each kind of work.

    python -m loadtests.suite                                       every kind: about an hour
    python -m loadtests.suite Upstream Driver --users 16,256
    python -m loadtests.suite shop --markdown report.md --reports reports/
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualwsgi.compare.html import as_html
from dualwsgi.compare.locust import Locust
from dualwsgi.compare.process import ServerFailed, adopt_orphans, can_pin
from dualwsgi.compare.report import about, as_json
from dualwsgi.compare.rounds import Comparison, Plan, measure, sides_of
from dualwsgi.compare.traffic import GeneratorFailed
from dualwsgi.compare.verdict import BY_NAME, Verdict, judge, show
from loadtests.work import KINDS, MIXTURES, mixture

ROOT = Path(__file__).parents[1]
Result = tuple[str, Comparison, Verdict]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that servers are ended
    # The servers import this checkout, wherever it is started from.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "cli")])
    cpus = sorted(os.sched_getaffinity(0))
    apart = can_pin() and len(cpus) > 1
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    results: list[Result] = []
    failed = 0
    try:
        for name in options.work:
            plan = Plan(
                "loadtests.app",
                str(ROOT),
                sides_of(options.side or ["threads", "green"]),
                tuple(options.settings.split()),
                asks=(),
                users=tuple(options.users),
                rounds=options.rounds,
                seconds=options.seconds,
                warm_up=options.warm_up,
                server_cpus=",".join(map(str, cpus[:-1])) if apart else None,
            )
            try:
                results.append(_one(name, plan, cpus[-1:] if apart else []))
            except (ServerFailed, GeneratorFailed) as error:
                print(f"{name}: FAILED: {error}", file=sys.stderr)
                failed = 1
                continue
            _keep(results[-1], options.reports, date)
            print(f"{name}: {results[-1][2].headline}")
            for line in (*results[-1][2].reasons, *results[-1][2].cautions):
                print(f"  - {line}")
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted: servers are ended, what is complete is written", file=sys.stderr)
        failed = 130
    finally:
        if options.markdown is not None and results:
            options.markdown.write_text(as_markdown(results, date))
    return failed


def _one(name: str, plan: Plan, cpus: Sequence[int]) -> Result:
    os.environ["MIX"] = name
    generator = Locust(locustfile=ROOT / "loadtests" / "locustfile.py", cpus=cpus)
    comparison = Comparison(plan, generator.name)
    try:
        measure(comparison, generator, lambda text: _say(f"{name}: {text}"), lambda: None)
    finally:
        generator.close()
        _say("")
    return name, comparison, judge(comparison)


def _say(text: str) -> None:
    """Progress, on one line of a terminal; nothing where no one looks."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _keep(result: Result, folder: Path | None, date: str) -> None:
    name, comparison, verdict = result
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    said = json.dumps(as_json(comparison, verdict, date), indent=2, allow_nan=False)
    (folder / f"{name}.json").write_text(said + "\n")
    (folder / f"{name}.html").write_text(as_html(comparison, verdict, date))


# For the documentation

SHOWN = ("rate", "p50", "p99", "cpu", "rss")


def as_markdown(results: Sequence[Result], date: str) -> str:
    """A table of all kinds of work; each figure as first side / second side, the better one bold."""
    first = results[0][1]
    said = about(first, date)
    names = results[0][2].names
    lines = [
        f"Measured on {date}: {said['machine']}, {said['python']}, dualwsgi {said['dualwsgi']}; "
        f"{first.plan.rounds} rounds of {first.plan.seconds:g} s; load by {first.generator}, "
        f"{'on a CPU of its own' if said['pinned'] else 'not pinned'}; "
        f"settings: {' '.join(first.plan.settings) or 'the defaults'}.",
        "",
        f"Each cell: {names[0]} / {names[1]}. Bold: better beyond the noise.",
        "",
        "| work | users | " + " | ".join(BY_NAME[name].title for name in SHOWN) + " | the limit | choose |",
        "| --- | ---: |" + " ---: |" * len(SHOWN) + " --- | --- |",
    ]
    for name, comparison, verdict in results:
        title = KINDS[name].title if name in KINDS else f"mixture: {name}"
        for users in comparison.plan.users:
            limits = [verdict.limits[side, users] for side in (0, 1)]
            cells = [_cell(verdict, figure, users) for figure in SHOWN]
            choice = "either" if verdict.choice is None else verdict.names[verdict.choice]
            limit = limits[0] if limits[0] == limits[1] else " / ".join(limits)
            lines.append(f"| {title} | {users} | {' | '.join(cells)} | {limit} | {choice} |")
    differ = [f"{name}: {line}" for name, _, verdict in results for line in verdict.differ]
    failures = [
        f"{name}: {said_} ({count:,} of {sample.traffic.requests:,} on {verdict.names[sample.side]})"
        for name, comparison, verdict in results
        for sample in comparison.samples
        for said_, count in sample.traffic.errors.items()
    ]
    lines += ["", "Answers that differ: " + ("; ".join(differ) if differ else "none") + "."]
    lines += ["Failed requests: " + ("; ".join(failures[:10]) if failures else "none") + "."]
    return "\n".join(lines) + "\n"


def _cell(verdict: Verdict, name: str, users: int) -> str:
    finding = next(
        finding for finding in verdict.findings if (finding.figure.name, finding.users) == (name, users)
    )
    shown = [show(value, finding.figure) for value in finding.medians]
    return " / ".join(f"**{text}**" if finding.better == side else text for side, text in enumerate(shown))


# Options


def _options(arguments: Sequence[str] | None) -> Any:
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.suite",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("work", nargs="*", metavar="WORK", help="kinds of work or mixtures (default: every kind)")
    add("--users", type=_numbers, default=[8, 64], metavar="N,...", help="users at a time (default: 8,64)")
    add("--rounds", type=int, default=6, help="rounds, at least 2 (default: 6)")
    add("--seconds", type=float, default=2.0, help="seconds for each number of users in a round (default: 2)")
    add("--warm-up", type=float, default=0.5, help="seconds of warm-up in each round (default: 0.5)")
    add("--side", action="append", help="a backend and settings of its own; twice (default: threads, green)")
    add("--settings", default="", help="settings of both sides, such as '--queue-size 10000'")
    add("--markdown", type=Path, metavar="FILE", help="write a table for the documentation")
    add("--reports", type=Path, metavar="FOLDER", help="write a JSON file and a page for each kind of work")
    options = parser.parse_args(arguments)
    options.work = options.work or list(KINDS)
    for number, name in enumerate(options.work):
        try:
            weights = mixture(name)
        except ValueError as error:
            parser.error(str(error))
        if name not in MIXTURES and len(weights) == 1:
            options.work[number] = next(iter(weights))  # as the table spells it
    if options.rounds < 2:
        parser.error("--rounds: at least 2")
    return options


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(word) for word in text.split(",")})
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError("numbers of 1 or more, separated by commas")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
