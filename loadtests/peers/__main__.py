"""`python -m loadtests.peers`: dualwsgi measured against its peers, in one run.

    python -m loadtests.peers --setup                    make the peers' environment, once
    python -m loadtests.peers hello close                two scenarios
    python -m loadtests.peers --json out.json --docs docs/benchmarks.md
    python -m loadtests.peers --all --json all.json      the further scenarios, too
    python -m loadtests.peers --merge a.json b.json --docs docs/benchmarks.md
    python -m loadtests.peers --list                     scenarios and servers

Linux only: costs are read from /proc. wrk is needed (Debian: `apt install wrk`). Servers run on CPU 0,
clients on CPU 1, and every server on the same version of Python. Nothing but 127.0.0.1 is talked to, and what
was started is ended.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from dualwsgi.compare.process import ServerFailed, adopt_orphans, raise_file_limit
from loadtests.peers import postgres, wrk
from loadtests.peers.merge import CannotMerge, merge
from loadtests.peers.plots import as_svg
from loadtests.peers.report import Result, as_json, as_markdown, as_page, on_screen, subject_of
from loadtests.peers.rounds import Bench, run
from loadtests.peers.scenarios import SCENARIOS
from loadtests.peers.servers import PEERS, SERVERS, Environments, machine, make_certificate, set_up, versions

FILES = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.list:
        _list()
        return 0
    if options.setup:
        set_up(options.peers_venv, options.python)
        if not options.scenarios:
            return 0
    if options.merge:
        return _merge(options)
    environments = Environments(options.python, options.peers_venv)
    about = _about(options, environments)
    if wrk.available() is None:
        _give_up("wrk is not on the PATH; on Debian: apt install wrk")
    if raise_file_limit(FILES) < FILES:
        print(f"warning: fewer than {FILES} files may be open; idle10k will fall short", file=sys.stderr)
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that servers are ended
    if options.pin:
        os.sched_setaffinity(0, {options.client_cpu})
    names = options.scenarios or [name for name, one in SCENARIOS.items() if options.all or not one.more]
    print(
        f"{len(names)} scenarios, some {_minutes(names, options):.0f} minutes on a quiet machine\n",
        flush=True,
    )
    results: list[Result] = []
    try:
        with tempfile.TemporaryDirectory(prefix="dualwsgi-peers-") as scratch:
            bench = Bench(
                environments,
                Path(scratch),
                options.seconds,
                options.server_cpu if options.pin else None,
                options.client_cpu if options.pin else None,
            )
            for name in names:
                try:
                    results.append(_one(bench, name, options))
                except (
                    Exception
                ) as error:  # an hour's figures are not lost for what is wrong with one scenario
                    if not isinstance(error, ServerFailed):
                        traceback.print_exc()
                    print(f"{name} SKIPPED: {error}", file=sys.stderr)
                    continue
                on_screen(results[-1])
                sys.stdout.flush()
                _write_json(results, about, options)
    except KeyboardInterrupt:
        print("\ninterrupted: servers are ended, what is complete is written", file=sys.stderr)
        return 130
    finally:
        _write(results, about, options)
    return 0 if len(results) == len(names) else 1


def _minutes(names: Sequence[str], options: argparse.Namespace) -> float:
    """About how long it takes: servers start, are warmed up for a second, and are measured in turn."""
    seconds = 0.0
    for name in names:
        scenario = SCENARIOS[name]
        servers = [one for one in scenario.servers if not options.servers or one in options.servers]
        rounds = min(options.rounds, scenario.most_rounds)
        if scenario.fresh:
            seconds += len(servers) * (rounds * (1 + scenario.drive.takes(options.seconds)) + 1)
        else:
            seconds += len(servers) * (
                1.5 + scenario.drive.takes(1) + rounds * scenario.drive.takes(options.seconds)
            )
    return seconds / 60


def _merge(options: argparse.Namespace) -> int:
    try:
        results, about = merge([json.loads(file.read_text()) for file in options.merge])
    except (CannotMerge, OSError, ValueError, LookupError) as error:
        _give_up(f"these files make no run: {error}")
    for result in results:
        on_screen(result)
    _write(results, about, options)
    return 0


def _one(bench: Bench, name: str, options: argparse.Namespace) -> Result:
    scenario = SCENARIOS[name]
    names = [server for server in scenario.servers if not options.servers or server in options.servers]
    rounds = min(options.rounds, scenario.most_rounds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="needs-", dir=bench.scratch)))
        if scenario.tls:
            bench = replace(bench, certificate=make_certificate(folder))
        if scenario.database:
            _say(f"{scenario.name}: starting PostgreSQL")
            bench.scratch.chmod(0o711)  # PostgreSQL runs as a user of its own
            bench = replace(bench, database=stack.enter_context(postgres.running(folder, bench.client_cpu)))
        records = run(bench, scenario, names, rounds, _say)
    _say("")
    return Result(scenario, records, subject_of(records))


def _say(text: str) -> None:
    """Progress, on one line of a terminal; nothing where no one looks."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _write(results: Sequence[Result], about: dict[str, Any], options: argparse.Namespace) -> None:
    if not results:
        return
    _write_json(results, about, options)
    if options.docs is not None:
        _write_docs(results, about, options.docs)
    if options.markdown is not None:
        options.markdown.write_text(as_markdown(results, about))


def _write_json(results: Sequence[Result], about: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(results, about), indent=2) + "\n")


def _write_docs(results: Sequence[Result], about: dict[str, Any], page: Path) -> None:
    """The page, and a picture a scenario in a folder that is called as it is."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    plots = {}
    for result in results:
        if (picture := as_svg(result)) is not None:
            (folder / f"{result.scenario.name}.svg").write_text(picture)
            plots[result.scenario.name] = f"{folder.name}/{result.scenario.name}.svg"
    page.write_text(as_page(results, about, plots))


def _about(options: argparse.Namespace, environments: Environments) -> dict[str, Any]:
    """Versions, machine, date and command; gives up when the two Pythons differ or one is not there."""
    try:
        ours, own = versions(environments.ours, ("dualwsgi", "greenlet"))
        theirs, peers = versions(environments.peers / "bin" / "python", PEERS)
    except OSError as error:
        _give_up(f"{error}\nrun it with --setup once, or name the peers' environment with --peers-venv")
    if ours != theirs:
        _give_up(f"ours is {ours} and the peers' environment is {theirs}: figures would not compare")
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": ours,
        "versions": own | peers,
        **machine(),
        "pinning": f"servers on CPU {options.server_cpu}, clients on CPU {options.client_cpu}"
        if options.pin
        else "nothing pinned",
        "rounds": options.rounds,
        "seconds": options.seconds,
        # Where the environments lie on this machine is of no use on another.
        "commands": [shlex.join(["python", "-m", "loadtests.peers", *_portable(options)])],
    }
    print(f"{about['python']}; {about['machine']}; {about['pinning']}")
    print(", ".join(f"{name} {version}" for name, version in (own | peers).items()))
    return about


def _portable(options: argparse.Namespace) -> list[str]:
    words = [
        *(["--all"] if options.all else []),
        *options.scenarios,
        "--rounds",
        str(options.rounds),
        "--seconds",
        str(options.seconds),
    ]
    if options.servers:
        words += ["--servers", ",".join(options.servers)]
    return words if options.pin else [*words, "--no-pin"]


def _list() -> None:
    for further in (False, True):
        print("\nfurther, by name or with --all:" if further else "measured unless others are named:")
        for scenario in SCENARIOS.values():
            if scenario.more is further:
                print(f"  {scenario.name:22}{scenario.title}")
    print("\nservers: " + ", ".join(SERVERS))


def _give_up(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(2)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.peers",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="which scenarios (default: see --list)")
    add("--all", action="store_true", help="the further scenarios, too")
    add(
        "--merge",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing: make one run of these JSON files",
    )
    add("--rounds", type=_positive, default=9, help="rounds a scenario, at least 1 (default: 9)")
    add("--seconds", type=_positive, default=1, help="whole seconds a round, as wrk wants them (default: 1)")
    add(
        "--servers",
        type=_names,
        default=[],
        metavar="A,B",
        help="only these servers (default: each scenario's)",
    )
    add("--json", type=Path, metavar="FILE", help="write every round's figures")
    add("--docs", type=Path, metavar="FILE", help="write the documentation's page and its pictures")
    add("--markdown", type=Path, metavar="FILE", help="write the tables for the documentation")
    add(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="the Python that runs dualwsgi (default: this one)",
    )
    add(
        "--peers-venv",
        type=Path,
        default=cache / "dualwsgi" / f"peers-{sys.version_info.major}.{sys.version_info.minor}",
        metavar="DIR",
        help="the peers' virtual environment (default: below the user's cache folder)",
    )
    add(
        "--setup",
        action="store_true",
        help="make the peers' environment; bjoern needs libev's headers (libev-dev)",
    )
    add("--no-pin", dest="pin", action="store_false", help="let the kernel place servers and clients")
    add("--server-cpu", type=int, default=0, help="the CPU of the servers (default: 0)")
    add("--client-cpu", type=int, default=1, help="the CPU of wrk and of this program (default: 1)")
    add("--list", action="store_true", help="name the scenarios and the servers, and end")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.scenarios if name not in SCENARIOS]:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if unknown := [name for name in options.servers if name not in SERVERS]:
        parser.error(f"no such server: {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    if options.pin and not {options.server_cpu, options.client_cpu} <= os.sched_getaffinity(0):
        parser.error("this machine has no such CPU to pin to; use --no-pin, --server-cpu or --client-cpu")
    return options


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _names(text: str) -> list[str]:
    return [name for name in text.replace(" ", ",").split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
