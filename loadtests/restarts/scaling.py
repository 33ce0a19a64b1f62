"""What a second worker is worth: an application that burns 2 ms of processor time, on two cores.

    python -m loadtests.restarts.scaling [--rounds 3] [--seconds 4]

One and two workers take turns, so that whatever else the machine does meets both alike; the figure is
the median of the rounds' ratios.  The client takes a few per cent of a core itself.

Where the machine has other work, time on the clock says little.  So it also tells requests a second of
the workers' own processor time, and how evenly two share the work (the smaller's part of an equal
share): on idle cores, two serve about twice the one's as far as both stay where they are.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from loadtests.peers.wrk import available, parse
from loadtests.restarts.fleet import Fleet

APP = "loadtests.restarts.app:burn"


class Figures(NamedTuple):
    rate: float
    """Requests a second on the clock."""
    yield_: float
    """Requests a second of the workers' processor time."""
    evenness: float
    """1.0 where all workers worked equally long."""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(backend: str, workers: int, seconds: int, connections: int) -> Figures:
    """What so many workers serve."""
    with Fleet("--backend", backend, "--workers", str(workers), "--supervise", target=APP) as fleet:
        url = f"http://127.0.0.1:{fleet.port}/"
        argv = ["wrk", "-t1", f"-c{connections}", "--latency", "--timeout", "10s", url]
        subprocess.run([*argv, "-d1s"], stdout=subprocess.DEVNULL, check=True)
        before = {pid: cpu_seconds(pid) for pid in fleet.ready}
        done = subprocess.run([*argv, f"-d{seconds}s"], capture_output=True, text=True, check=True)
        result = parse(done.stdout)
        assert not result.errors, result.errors
        spent = [cpu_seconds(pid) - began for pid, began in before.items()]
        evenness = min(spent) * len(spent) / sum(spent)
        return Figures(result.rate, result.requests / sum(spent), evenness)


def main() -> int:
    parser = argparse.ArgumentParser(prog="loadtests.restarts.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--backend", choices=["threads", "green"], action="append")
    arguments = parser.parse_args()
    if available() is None:
        print("wrk is not there: install it", file=sys.stderr)
        return 2
    print(
        "| backend | one worker, requests/s | two workers | ratio "
        "| requests a CPU second, one | two | evenness |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for backend in arguments.backend or ["threads", "green"]:
        ones, twos = [], []
        for _ in range(arguments.rounds):
            ones.append(measure(backend, 1, arguments.seconds, arguments.connections))
            twos.append(measure(backend, 2, arguments.seconds, arguments.connections))
        ratio = statistics.median(two.rate / one.rate for one, two in zip(ones, twos, strict=True))
        rates = [statistics.median(each.rate for each in figures) for figures in (ones, twos)]
        yields = [statistics.median(each.yield_ for each in figures) for figures in (ones, twos)]
        evenness = statistics.median(two.evenness for two in twos)
        print(
            f"| {backend} | {rates[0]:.0f} | {rates[1]:.0f} | {ratio:.2f} "
            f"| {yields[0]:.0f} | {yields[1]:.0f} | {evenness:.2f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
