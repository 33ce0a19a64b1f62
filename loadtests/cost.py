"""What observing costs: CPU a request of the same server with and without, in interleaved rounds.

    python -m loadtests.cost                             every variant against the plain server
    python -m loadtests.cost log viewer --rounds 15      two of them
    python -m loadtests.cost dashboard --seconds 4       with `dualwsgi top` attached, four frames a second
    python -m loadtests.cost stalled dying               with four viewers that stall; that are killed
    python -m loadtests.cost --at-once --baseline ../x   a change that costs little
    python -m loadtests.cost --baseline ../before        the plain server against that of another checkout

Linux and wrk, as in loadtests.peers, whose harness it stands on: servers on CPU 0, clients on CPU 1,
all servers up, each round measures them in turn, and the median of the ratios within rounds counts.

With --at-once each round measures them at the same time, on the same two CPUs: whatever else disturbs these
disturbs all of them alike, so that a difference of a hundredth shows where others share the machine.  The
figures are those of servers that take the caches from each other.  The rate then tells what the server pays,
and not what a viewer takes from the client's CPU.  They share one CPU, so what costs by the second and not by
the request counts as often as there are servers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from dualwsgi.compare.process import Process
from loadtests.peers import wrk
from loadtests.peers.drives import How, Running, Wrk
from loadtests.peers.rounds import first_answer
from loadtests.peers.servers import REPOSITORY, free_port
from loadtests.peers.stats import paired_ratios, spread
from loadtests.watcher import WATCHING

PATIENCE = 20.0
"""Seconds that a viewer may take to start."""


@dataclass(frozen=True)
class Variant:
    """How a server differs from the plain one; `viewer` is a command of Python that watches it."""

    options: str = ""
    viewer: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


VARIANTS = {
    "viewer": Variant(
        "--control-socket {scratch}/{name}.sock",
        "-m loadtests.watcher {scratch}/{name}.sock",
    ),
    "dashboard": Variant(
        "--control-socket {scratch}/{name}.sock",
        "-m loadtests.watcher {scratch}/{name}.sock --draw",
    ),
    "stalled": Variant(
        "--control-socket {scratch}/{name}.sock",
        "-m loadtests.watcher {scratch}/{name}.sock --stall",
    ),
    "dying": Variant(
        "--control-socket {scratch}/{name}.sock",
        "-m loadtests.watcher {scratch}/{name}.sock --die",
    ),
    "log": Variant("--access-logfile {scratch}/{name}.log"),
    "phases": Variant("--phase-clock all"),
    "no phases": Variant("--phase-clock off"),
}


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if wrk.available() is None:
        print("wrk is not on the PATH; on Debian: apt install wrk", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {options.client_cpu})
    for backend in options.backend:
        _measure(backend, options)
    return 0


def _measure(backend: str, options: argparse.Namespace) -> None:
    roots = {"plain": REPOSITORY}
    variants = {"plain": Variant()}
    if options.baseline is not None:
        variants["baseline"], roots["baseline"] = Variant(), options.baseline.resolve()
    else:
        variants |= {name: VARIANTS[name] for name in options.variants or VARIANTS}
    drive = Wrk(wrk.Load("/hello"))
    how = How(options.seconds, options.server_cpu, options.client_cpu)
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    rate: dict[str, list[float]] = {name: [] for name in variants}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dualwsgi-cost-")))
        servers = {
            name: stack.enter_context(
                _running(name, variant, backend, roots.get(name, REPOSITORY), scratch, how)
            )
            for name, variant in variants.items()
        }
        for running in servers.values():
            drive.measure(running, How(1, options.server_cpu, options.client_cpu))
        for number in range(options.rounds):
            # To and fro, so that no variant always follows the same one.
            names = list(variants)[:: 1 if number % 2 else -1]
            groups = [names] if options.at_once else [[name] for name in names]
            for group in groups:
                with ExitStack() as watching, ThreadPoolExecutor(len(group)) as pool:
                    for name in group:
                        watching.enter_context(_watched(name, variants[name], scratch, how))
                    samples = pool.map(partial(drive.measure, how=how), [servers[name] for name in group])
                    for name, sample in zip(group, samples, strict=True):
                        cpu[name].append(sample.figures["cpu"])
                        rate[name].append(sample.figures["rate"])
    together = " at once" if options.at_once else ""
    print(
        f"\n{backend}: hello world, {options.rounds} rounds of {options.seconds} s{together}, 64 connections"
    )
    for name in variants:
        of_cpu, of_rate = paired_ratios(cpu[name], cpu["plain"]), paired_ratios(rate[name], rate["plain"])
        if name == "baseline":  # what changed since, rather than what there was before
            of_cpu, of_rate = paired_ratios(cpu["plain"], cpu[name]), paired_ratios(rate["plain"], rate[name])
        ratio = spread(of_cpu)
        assert ratio is not None
        print(
            f"  {name:10} {1e6 * median(cpu[name]):7.2f} us a request   {median(rate[name]):9,.0f} a second"
            f"   CPU {'plain / it' if name == 'baseline' else 'it / plain'}"
            f" {ratio.median:.3f} [{ratio.low:.3f}-{ratio.high:.3f}]   rate {median(of_rate):.3f}"
        )


@contextmanager
def _running(
    name: str, variant: Variant, backend: str, root: Path, scratch: Path, how: How
) -> Iterator[Running]:
    port = free_port()
    command = (
        f"{sys.executable} -m dualwsgi run loadtests.peers.apps:hello --backend {backend} --log-level warning"
        f" --bind 127.0.0.1:{port} {variant.options.format(scratch=scratch, name=name)}"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DUALWSGI"))}
    process = Process(
        name,
        command.split(),
        env=kept | variant.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'cli'}"},
        cwd=root,
        output=scratch / f"{name}.out",
        cpu=how.server_cpu,
    )
    try:
        yield Running(process, port, first_answer(process, port))
    finally:
        process.stop()


@contextmanager
def _watched(name: str, variant: Variant, scratch: Path, how: How) -> Iterator[None]:
    if not variant.viewer:
        yield
        return
    command = f"{sys.executable} {variant.viewer.format(scratch=scratch, name=name)}"
    said = scratch / f"{name}.viewer.out"
    viewer = Process(
        "viewer",
        command.split(),
        env=dict(os.environ),
        cwd=REPOSITORY,
        output=said,
        cpu=how.client_cpu,
    )
    try:
        deadline = monotonic() + PATIENCE
        while WATCHING not in said.read_text():
            viewer.check()
            if monotonic() > deadline:
                raise TimeoutError(f"the viewer does not watch after {PATIENCE:g} s")
            sleep(0.01)
        yield
        viewer.check()
    finally:
        viewer.stop()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.cost",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("variants", nargs="*", choices=[[], *VARIANTS], help="which variants (default: all)")
    add("--baseline", type=Path, metavar="DIR", help="compare with another checkout instead")
    add("--backend", action="append", choices=["threads", "green"], help="only this one (default: both)")
    add("--rounds", type=int, default=9)
    add("--seconds", type=int, default=2, help="whole seconds a round")
    add("--at-once", action="store_true", help="measure all of a round at the same time")
    add("--server-cpu", type=int, default=0)
    add("--client-cpu", type=int, default=1)
    options = parser.parse_args(arguments)
    options.backend = options.backend or ["threads", "green"]
    return options


if __name__ == "__main__":
    sys.exit(main())
