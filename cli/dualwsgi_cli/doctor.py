"""`dualwsgi doctor`: what an application uses of eventlet, what of it works where, and what to change.

The looking is done by dualwsgi.doctor; here it is asked for and printed.
"""

from __future__ import annotations

import json
from typing import Annotated, cast

import typer

from dualwsgi.doctor import WAYS, Level, Report, examine
from dualwsgi.doctor.knowledge import Way
from dualwsgi.errors import ConfigError
from dualwsgi_cli.launch import refuse_config

__all__ = ["doctor"]

EXIT_FOUND = 1

VERDICTS = {Level.WORKS: "works", Level.DIFFERS: "works, but look at {0}", Level.FAILS: "change {1}"}


def doctor(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:CALLABLE|PATH",
            help="The application as for `run`, or a file or directory of Python.",
        ),
    ],
    app_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIRECTORY", show_default=False, help="Look for the module here first. (Default .)"
        ),
    ] = None,
    ways: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="WAYS",
            help="Where it shall work: green and threads are dualwsgi.eventlet on that backend, native is "
            "`dualwsgi run` in the place of eventlet.wsgi.server.",
        ),
    ] = "green,threads",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 also for what works with a difference.")
    ] = False,
    dependencies: Annotated[
        bool, typer.Option(help="Read the packages that the application imports, too.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Tell what an application uses of eventlet, and what of it works on green, on threads and natively.

    Its source is read, and that of what it imports; nothing of it is run.
    Exits with 0 if it works, with 1 if something has to be changed, and
    with 2 if the application is not there.
    """
    try:
        chosen = _read_ways(ways)
        report = examine(target, app_dir, dependencies=dependencies)
    except ConfigError as error:
        refuse_config(error)
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else "\n".join(_lines(report, chosen)))
    worst = max(report.verdict(way) for way in chosen)
    if worst == Level.FAILS or (strict and worst == Level.DIFFERS):
        raise typer.Exit(EXIT_FOUND)


def _read_ways(text: str) -> list[Way]:
    found = [word.strip().lower() for word in text.split(",")]
    for word in found:
        if word not in WAYS:
            raise ConfigError(f"--for: {word!r} is not known; give some of {', '.join(WAYS)}")
    return cast("list[Way]", found)


def _lines(report: Report, chosen: list[Way]) -> list[str]:
    found = [finding for finding in report.findings if any(finding.levels[way] for way in chosen)]
    lines = [f"{finding}{' (a dependency)' if finding.foreign else ''}" for finding in found]
    lines += [f"{place}: not read" for place in report.unread]
    lines += [""] if lines else []
    # Why, and the cure, once each, however often it is met.
    reasons = dict.fromkeys((each.code, each.rule.says, each.cure) for each in found)
    lines += [f"[{code}] {_sentence(says)} {_sentence(cure)}" for code, says, cure in reasons]
    lines += [""] if reasons else []
    used = ", ".join(f"{name} ({count})" for name, count in sorted(report.uses.items()))
    lines.append(f"{_many(report.modules, 'module')} read; of eventlet: {used or 'nothing'}.")
    lines += [f"Patches at {patch.path}:{patch.line}, {patch.when}." for patch in report.patches]
    if report.imports:
        lines.append(
            f"Imports eventlet by its own name at {', '.join(report.imports)}: say `from dualwsgi import "
            "eventlet` there, or call its install() before, or run with --as-eventlet."
        )
    lines.append("")
    for way in WAYS:
        places = [_many(len(report.at(way, level)), "place") for level in (Level.DIFFERS, Level.FAILS)]
        verdict = VERDICTS[report.verdict(way)].format(*places)
        lines.append(f"{way:<8} {verdict}{'' if way in chosen else f' (--for {way} tells)'}")
    return lines


def _sentence(text: str) -> str:
    return f"{text if text.startswith('`') else text[0].upper() + text[1:]}."


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
