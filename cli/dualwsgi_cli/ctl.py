"""`dualwsgi ctl COMMAND`: asks a running server, or tells it something, by its control socket."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from dualwsgi.errors import DualwsgiError
from dualwsgi_cli.helppage import Command, Group
from dualwsgi_cli.top.text import plain, spell_bytes, spell_count, spell_seconds, tell_phases

__all__ = ["Socket", "ctl"]

EXIT_FAILED = 1

Answer = TypeVar("Answer")

LOOK_EVERY = 0.1
"""Seconds between two looks at what is waited for."""

Socket = Annotated[
    str | None,
    typer.Option(
        "--socket",
        "--attach",
        "-s",
        metavar="PATH",
        envvar="DUALWSGI_ATTACH",
        show_default=False,
        help="The server's control socket, or a directory of them. (Default: all servers of this user.)",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, for scripts.")]

ctl = typer.Typer(
    name="ctl",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ask a running server what it does, or tell it to do otherwise.",
)


def _paths(where: str | None) -> list[str]:
    """The sockets of the servers there; ends the program if there is none."""
    from dualwsgi.serve.observe.client import find  # late: `dualwsgi --help` needs none of it

    try:
        found = [str(path) for path in find(where)]
    except DualwsgiError as error:
        _fail(str(error))
    if not found:
        _fail(
            "no server of this user is running with a control socket; "
            "start one with `dualwsgi run`, or name its socket with --socket"
        )
    return found


def _fail(text: str) -> NoReturn:
    print(f"dualwsgi: {text}", file=sys.stderr)
    raise typer.Exit(EXIT_FAILED)


def _ask(where: str | None, do: str, **arguments: Any) -> list[tuple[int, Any]]:
    """Every server's answer, with its pid."""
    return _of_each(_paths(where), lambda path: _ask_at(path, do, **arguments))


def _ask_at(path: str, do: str, **arguments: Any) -> list[tuple[int, Any]]:
    from dualwsgi.serve.observe.client import ask_all

    return ask_all([path], do, **arguments)


def _of_each(paths: list[str], ask: Callable[[str], list[Answer]]) -> list[Answer]:
    """What all of them answer; ends the program if one refuses, or none answers.

    Who has gone meanwhile is passed over; who is there and does not answer is told of.
    """
    from dualwsgi.serve.observe.client import ServerGone, Unanswered

    answers: list[Answer] = []
    why = ""
    for path in paths:
        try:
            answers += ask(path)
        except ServerGone as error:
            why = why or str(error)
            if isinstance(error, Unanswered) and len(paths) > 1:
                print(f"dualwsgi: {error}", file=sys.stderr)
        except DualwsgiError as error:
            _fail(str(error))
    if why and not answers:
        _fail(why)
    return answers


def _ask_one(where: str | None, do: str, **arguments: Any) -> list[tuple[int, Any]]:
    """The answer of one worker of each fleet, which speaks for all."""
    asked = set()

    def ask(path: str) -> list[tuple[int, Any]]:
        answers: list[tuple[int, Any]] = []
        for pid, snapshot in _ask_at(path, "snapshot"):
            supervisor = snapshot["workers"][0]["supervisor"]
            if not supervisor or supervisor not in asked:
                answers += [(supervisor or pid, answer) for _, answer in _ask_at(path, do, **arguments)]
                asked.add(supervisor)
        return answers

    return _of_each(_paths(where), ask)


def _print_json(answer: Any) -> None:
    print(json.dumps(answer, indent=2))


@ctl.command(cls=Command)
def snapshot(socket: Socket = None, as_json: AsJson = False) -> None:
    """Print what the server is doing: totals, latencies, requests in flight.

    Of worker processes all together, those that have left included, unless SOCKET is that of one.
    """
    from dualwsgi.serve.observe.snapshot import merge, percentile

    try:
        of_one = socket is not None and _paths(socket) == [socket]
        answers = _ask(socket, "snapshot") if of_one else _ask_one(socket, "fleet")
        # In the moment of an upgrade two supervisors are one fleet.
        fleets = {answer["workers"][0]["lineage"] or pid: answer for pid, answer in answers}
        merged = merge(list(fleets.values()))
    except ValueError as error:
        _fail(str(error))
    if as_json:
        _print_json(merged)
        return
    totals, latency = merged["totals"], merged["latency"]
    print(f"{merged['backend']} at {' and '.join(merged['addresses'])}, dualwsgi {merged['version']}")
    classes = ", ".join(f"{count:,} {name}" for name, count in totals["classes"].items() if count)
    print(
        f"{totals['requests']:,} requests ({classes or 'none yet'}), {spell_bytes(totals['bytes_sent'])} sent"
    )
    shares = (f"p{share} {spell_seconds(percentile(latency, share))}" for share in (50, 95, 99))
    print(f"latency {', '.join(shares)}")
    if phases := tell_phases(merged["phases"]):
        print(f"time goes to {phases}")
    for worker in merged["workers"]:
        print(
            f"pid {worker['pid']}: {worker['busy']} of {worker['limit']} calls, {worker['queued']} queued, "
            f"{worker['connections']} connections, CPU {worker['cpu_seconds']:.1f} s, "
            f"{spell_bytes(worker['rss_bytes'])}"
        )
    for one in merged["in_flight"]:
        target = plain(f"{one['method']} {one['target']}")
        print(f"{one['id']}: {one['phase']} for {spell_seconds(one['age'])}, {target}, from {one['peer']}")


@ctl.command(cls=Command)
def stacks(
    request: Annotated[
        str | None, typer.Argument(metavar="REQUEST", help="Only this request; an id as in `snapshot`.")
    ] = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Print where each request in the application's hands is, and each thread."""
    found = [stack for _, answer in _ask(socket, "stacks", request=request) for stack in answer]
    if as_json:
        _print_json(found)
        return
    if not found:
        _fail("no such request is in flight" if request else "there are no threads to tell of")
    # A stuck server has one place, and many requests that are there.
    places: dict[str, list[Any]] = {}
    for stack in found:
        places.setdefault(json.dumps(stack["frames"]), []).append(stack)
    for stacks_there in places.values():
        for stack in stacks_there:
            of = f"greenlet {stack['greenlet']:#x}" if stack["greenlet"] else f"thread {stack['thread']:#x}"
            print(f"{stack['request'] or '-'}  {plain(stack['what'])}  ({of})")
        for frame in stacks_there[0]["frames"]:
            print(f"  {frame['file']}:{frame['line']} in {frame['function']}")
            if frame["code"]:
                print(f"    {frame['code']}")
        print()


@ctl.command("set", cls=Command)
def set_(
    threads: Annotated[int | None, typer.Option(metavar="N", help="Application calls at once.")] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Worker processes.")] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning, error or critical.")
    ] = None,
    phase_clock: Annotated[
        str | None,
        typer.Option(metavar="WHICH", help="Of which requests phases are measured: all, sampled or off."),
    ] = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Change a setting of the running server."""
    wanted = {"threads": threads, "log_level": log_level, "phase_clock": phase_clock}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given and workers is None:
        _fail("nothing to set; give --threads, --workers, --log-level or --phase-clock")
    answers = _ask(socket, "set", **given) if given else []
    if workers is not None:  # which one of a fleet tells the supervisor of all
        answers += _ask_one(socket, "set", workers=workers)
    _report(answers, as_json, "changed")


@ctl.command(cls=Command)
def drain(socket: Socket = None, as_json: AsJson = False) -> None:
    """Stop the server: accept no more, let requests in flight end."""
    _report(_ask_one(socket, "drain"), as_json, "draining")


@ctl.command(cls=Command)
def reload(
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            show_default=False,
            help="Wait until new workers serve in the place of the old; exit with 1 if they do not so soon. "
            "(Default 0: do not wait)",
        ),
    ] = 0.0,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Load the application anew, under a supervisor."""
    before = _serving(socket)
    answers = _ask_one(socket, "reload")
    until = time.monotonic() + wait
    while wait and not _is_reloaded(before, now := _serving(socket)):
        if time.monotonic() > until:
            old = sum(len(pids & now.get(fleet, set())) for fleet, pids in before.items())
            _fail(
                f"after {wait:g} s, {old} old worker{'s serve' if old != 1 else ' serves'} on: the new code "
                "has failed, as the error log says, or is slow to start"
            )
        time.sleep(LOOK_EVERY)
    _report(answers, as_json, "reloaded" if wait else "reloading")


def _serving(where: str | None) -> dict[int, set[int]]:
    """The processes that answer, by their supervisor."""
    from dualwsgi.serve.observe.client import ask_all

    found: dict[int, set[int]] = {}
    for path in _paths(where):
        try:
            for pid, snapshot in ask_all([path], "snapshot"):
                found.setdefault(snapshot["workers"][0]["supervisor"], set()).add(pid)
        except DualwsgiError:
            pass  # it has gone since it was found
    return found


def _is_reloaded(before: dict[int, set[int]], now: dict[int, set[int]]) -> bool:
    """Whether each fleet has as many new workers as it had before, or none but new ones: those that have
    slow requests to finish may take their time to go."""
    for fleet, old in before.items():
        new = now.get(fleet, set()) - old
        if not new or (len(new) < len(old) and old & now[fleet]):
            return False
    return True


@ctl.command(cls=Command, context_settings={"ignore_unknown_options": True})  # -1 is none
def scale(
    by: Annotated[int, typer.Argument(metavar="BY", help="So many workers more, or fewer: 1, -1.")],
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Have more worker processes, or fewer."""
    _report(_ask_one(socket, "scale", by=by), as_json, "the fleet changes")


@ctl.command("list", cls=Command)
def list_(socket: Socket = None, as_json: AsJson = False) -> None:
    """Name the servers that can be attached to."""

    def ask(path: str) -> list[dict[str, Any]]:
        return [
            {
                "socket": path,
                "pid": pid,
                "backend": answer["backend"],
                "addresses": answer["addresses"],
                "requests": answer["totals"]["requests"],
            }
            for pid, answer in _ask_at(path, "snapshot")
        ]

    found = _of_each(_paths(socket), ask)
    if as_json:
        _print_json(found)
        return
    for one in found:
        where = " and ".join(one["addresses"])
        requests = f"{spell_count(one['requests'])} requests"
        print(f"{one['pid']}  {one['backend']}  {where}  {requests}  {one['socket']}")


def _report(answers: list[tuple[int, Any]], as_json: bool, done: str) -> None:
    if as_json:
        _print_json([{"pid": pid, "answer": answer} for pid, answer in answers])
        return
    for pid, _ in answers:
        print(f"pid {pid}: {done}")
