"""`dualwsgi compare MODULE:CALLABLE`: one application, the same traffic, both backends; which one, and why.

The measuring is the library's (`dualwsgi.compare`); here are the options, the progress and the tables.
Everything heavy is imported late: `run` passes through here too.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualwsgi_cli.refusal import refuse

if TYPE_CHECKING:
    from dualwsgi.compare.rounds import Comparison, Plan
    from dualwsgi.compare.traffic import Generator
    from dualwsgi.compare.verdict import Verdict

__all__ = ["compare"]

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130  # as a shell has it: 128 and the number of SIGINT

USERS_MAX = 10_000
ROUNDS_MIN, ROUNDS_MAX = 2, 1_000
SECONDS_MAX = 3_600.0
PROCESSES_MAX = 64

_TRAFFIC = "The traffic"
_MEASURING = "The measuring"
_REPORTS = "The reports"


def compare(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:CALLABLE",
            envvar="DUALWSGI_APP",
            show_default=False,
            help="The application, as 'dualwsgi run' takes it.",
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- SETTING...]",
            show_default=False,
            help="After '--': settings of 'dualwsgi run' for both sides, such as -- --threads 64.",
        ),
    ] = None,
    app_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIRECTORY",
            envvar="DUALWSGI_APP_DIR",
            show_default=False,
            help="Look for the module here first. (Default .)",
        ),
    ] = None,
    side: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTINGS",
            show_default=False,
            help="A side: a backend and settings of its own, such as 'threads --threads 8'. Give it twice. "
            "(Default: threads, green.)",
        ),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=_TRAFFIC,
            show_default=False,
            help="Ask for this: /path or 'POST /path'; repeat it to ask for several in turn. (Default: /)",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: VALUE'",
            rich_help_panel=_TRAFFIC,
            show_default=False,
            help="Send this with each request; repeat it for several.",
        ),
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_TRAFFIC,
            show_default=False,
            help="Send what is in it with each request that is neither GET nor HEAD.",
        ),
    ] = None,
    locustfile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_TRAFFIC,
            show_default=False,
            help="Load with the users of this locust file in the place of --url.",
        ),
    ] = None,
    wrk: Annotated[
        bool,
        typer.Option(
            "--wrk", rich_help_panel=_TRAFFIC, help="Load with wrk, where locust would be the limit."
        ),
    ] = False,
    users: Annotated[
        str,
        typer.Option(
            metavar="N,...",
            rich_help_panel=_TRAFFIC,
            help=f"Users at a time, each asking anew when it is answered; several are measured in turn. "
            f"(1 to {USERS_MAX:,} each.)",
        ),
    ] = "4,16,64",
    processes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=PROCESSES_MAX,
            rich_help_panel=_TRAFFIC,
            help="Processes of locust that share the users; one makes some thousand requests a second.",
        ),
    ] = 1,
    rounds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=ROUNDS_MIN,
            max=ROUNDS_MAX,
            rich_help_panel=_MEASURING,
            help="Rounds: each starts each side anew. More rounds find smaller differences.",
        ),
    ] = 8,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=SECONDS_MAX,
            rich_help_panel=_MEASURING,
            help="How long each number of users is measured in each round.",
        ),
    ] = 2.0,
    warm_up: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.0,
            max=SECONDS_MAX,
            rich_help_panel=_MEASURING,
            help="Traffic before that, in each round, which is not measured.",
        ),
    ] = 1.0,
    pin: Annotated[
        bool,
        typer.Option(
            "--pin/--no-pin",
            rich_help_panel=_MEASURING,
            help="Give the load generator the last CPU and the server the others, if there are two.",
        ),
    ] = True,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", rich_help_panel=_REPORTS, show_default=False, help="Write all figures."
        ),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            rich_help_panel=_REPORTS,
            show_default=False,
            help="Write a line for each window that was measured.",
        ),
    ] = None,
    html_file: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            rich_help_panel=_REPORTS,
            show_default=False,
            help="Write a page with tables and plots, which loads nothing from anywhere.",
        ),
    ] = None,
) -> None:
    """Measure an application on both backends, with the same traffic, and say which to choose.

    Each round starts each side as a fresh process, warms it up and measures it, in alternating order.
    A difference is told where it exceeds the noise; "no difference" is an answer. Sides can also be
    two settings of one backend: --side 'threads --threads 8' --side 'threads --threads 64'.
    """
    if sys.platform != "linux":
        refuse("compare reads the costs of processes from /proc, and so runs on Linux only")
    from dualwsgi.compare.process import adopt_orphans, can_pin
    from dualwsgi.compare.rounds import Plan, sides_of
    from dualwsgi.compare.traffic import GeneratorFailed, parse_ask

    if locustfile is not None and (url or header or body or wrk):
        refuse("--locustfile says what is sent; leave out --url, --header, --body and --wrk")
    if locustfile is not None and not locustfile.is_file():
        refuse(f"--locustfile: there is no file {str(locustfile)!r}; give the path of a locust file")
    if wrk and processes > 1:
        refuse("--processes is of locust; leave it out with --wrk")
    if wrk and seconds != round(seconds):
        refuse(f"--seconds: wrk knows whole seconds only; give {max(1, round(seconds))}")
    for file in (json_file, csv_file, html_file):
        if file is not None and not file.absolute().parent.is_dir():
            refuse(f"{str(file)!r}: its directory does not exist; make it, or give another")
    numbers = _users(users)
    try:
        fields = dict(_header(text) for text in header or ())
        content = b"" if body is None else body.read_bytes()
        asks = (
            () if locustfile is not None else tuple(parse_ask(one, fields, content) for one in url or ["/"])
        )
        sides = sides_of(side or ["threads", "green"])
    except (ValueError, OSError) as error:
        refuse(str(error))
    cpus = sorted(os.sched_getaffinity(0))
    apart = pin and can_pin() and len(cpus) > 1
    theirs = min(processes, len(cpus) - 1) if apart else 0
    plan = Plan(
        target,
        app_dir,
        sides,
        tuple(settings or ()),
        asks,
        numbers,
        rounds,
        seconds,
        warm_up,
        ",".join(map(str, cpus[:-theirs])) if apart else None,
    )
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that servers are ended
    try:
        generator = _generator(plan, locustfile, wrk, processes, tuple(cpus[-theirs:]) if apart else ())
    except GeneratorFailed as error:
        refuse(str(error))
    try:
        comparison = _measure(plan, generator)
    finally:
        generator.close()

    from dualwsgi.compare.verdict import judge

    verdict = judge(comparison)
    _print(comparison, verdict)
    _write(comparison, verdict, json_file, csv_file, html_file)
    if comparison.plan.rounds < plan.rounds:
        raise typer.Exit(EXIT_INTERRUPTED)


def _generator(
    plan: Plan, locustfile: Path | None, wrk: bool, processes: int, cpus: tuple[int, ...]
) -> Generator:
    if wrk:
        from dualwsgi.compare.wrk import Wrk

        return Wrk(plan.asks, cpus=cpus)
    from dualwsgi.compare.locust import Locust

    return Locust(plan.asks, locustfile=locustfile, processes=processes, cpus=cpus)


def _measure(plan: Plan, generator: Generator) -> Comparison:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from dualwsgi.compare.process import ServerFailed
    from dualwsgi.compare.rounds import Comparison, measure, steps
    from dualwsgi.compare.traffic import GeneratorFailed

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    comparison = Comparison(plan, generator.name)
    console = Console(stderr=True)
    # A log file has no use for a bar.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=steps(plan))
        try:
            measure(
                comparison,
                generator,
                lambda text: progress.update(task, description=text),
                lambda: progress.advance(task),
            )
        except (ServerFailed, GeneratorFailed) as error:
            progress.stop()
            print(f"dualwsgi: {error}", file=sys.stderr)
            raise typer.Exit(EXIT_FAILED) from None
        except KeyboardInterrupt:
            progress.stop()
            comparison = comparison.whole_rounds()
            rounds = comparison.plan.rounds
            print(f"dualwsgi: interrupted after {rounds} of {plan.rounds} rounds", file=sys.stderr)
            if rounds < ROUNDS_MIN:
                raise typer.Exit(EXIT_INTERRUPTED) from None
    return comparison


# What it found


def _print(comparison: Comparison, verdict: Verdict) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from dualwsgi.compare.verdict import LIMITS, show, show_ratio

    console = Console(highlight=False)
    plan, names = comparison.plan, verdict.names
    for users in plan.users:
        limits = ", ".join(f"{names[side]}: {LIMITS[verdict.limits[side, users]]}" for side in (0, 1))
        table = Table(
            title=Text(f"{users} users"), caption=Text(f"the limit on {limits}"), title_justify="left"
        )
        table.caption_justify = "left"
        table.add_column("")
        for name in names:
            table.add_column(Text(name), justify="right")
        table.add_column(Text(f"{names[1]} / {names[0]}"), justify="right")
        table.add_column("beyond the noise")
        for finding in verdict.findings:
            if finding.users != users:
                continue
            winner = None if finding.better is None else f"{names[finding.better]} is better"
            table.add_row(
                finding.figure.title,
                *(
                    Text(show(value, finding.figure), style="bold green" if finding.better == side else "")
                    for side, value in enumerate(finding.medians)
                ),
                Text(show_ratio(finding.ratio)),
                Text(winner or finding.word),
            )
        console.print(table)
        console.print()
    for side in (0, 1):
        for text in _errors(comparison, side):
            console.print(Text(f"{names[side]}: {text}"))
    if not verdict.differ:
        console.print(Text("Answers: alike on both sides, as far as they do not vary by themselves."))
    for title, lines in (
        ("The answers differ:", verdict.differ),
        ("Not compared, as it varies by itself:", verdict.vary),
        ("Never answered with success:", verdict.bad),
    ):
        _list(console, title, lines)
    console.print()
    console.print(Text(verdict.headline, style="bold"))
    _list(console, "Because:" if verdict.choice is not None else "", verdict.reasons)
    _list(console, "Against it:" if verdict.choice is not None else "What differs:", verdict.against)
    _list(console, "Mind that:", verdict.cautions)


LINES_MAX = 12


def _list(console: object, title: str, lines: list[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    assert isinstance(console, Console)
    if not lines:
        return
    if title:
        console.print(Text(title))
    for line in lines[:LINES_MAX]:
        console.print(Text(f"  - {line}"))
    if len(lines) > LINES_MAX:
        console.print(Text(f"  - and {len(lines) - LINES_MAX} more (--json writes all)"))


def _errors(comparison: Comparison, side: int) -> list[str]:
    total: dict[str, int] = {}
    for sample in comparison.samples:
        if sample.side == side:
            for said, count in sample.traffic.errors.items():
                total[said] = total.get(said, 0) + count
    return [f"{count:,} x {said}" for said, count in sorted(total.items(), key=lambda item: -item[1])]


def _write(
    comparison: Comparison,
    verdict: Verdict,
    json_file: Path | None,
    csv_file: Path | None,
    html_file: Path | None,
) -> None:
    from dualwsgi.compare.html import as_html
    from dualwsgi.compare.report import as_csv, as_json

    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    try:
        if json_file is not None:
            said = json.dumps(as_json(comparison, verdict, date), indent=2, allow_nan=False)
            json_file.write_text(said + "\n")
        if csv_file is not None:
            csv_file.write_text(as_csv(comparison))
        if html_file is not None:
            html_file.write_text(as_html(comparison, verdict, date))
    except OSError as error:
        print(f"dualwsgi: {error.filename}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(EXIT_FAILED) from None


# Reading options


def _users(text: str) -> tuple[int, ...]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isascii() and word.isdigit() for word in words):
        refuse(f"--users: {text!r} is no list of numbers; give one such as 64, or several: 4,16,64")
    numbers = tuple(sorted({int(word) for word in words}))
    if not 1 <= numbers[0] <= numbers[-1] <= USERS_MAX:
        refuse(f"--users: {text!r} is out of range; give numbers from 1 to {USERS_MAX:,}")
    return numbers


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable() or not text.isascii():
        raise ValueError(f"--header: {text!r} is no header field; give 'Name: value'")
    return name.strip(), value.strip()
