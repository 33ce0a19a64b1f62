"""Run the cases and print what each cost."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from time import monotonic

from dualwsgi.testing import pki
from loadtests.peers.wrk import WrkResult, available, parse
from loadtests.restarts.cases import CASES, WORKERS
from loadtests.restarts.fleet import Fleet

CONNECTIONS = 64


@dataclass(frozen=True)
class Outcome:
    case: str
    backend: str
    keep_alive: bool
    done: str
    result: WrkResult

    @property
    def failed(self) -> str:
        return "; ".join(self.result.errors) or "none"

    @property
    def row(self) -> str:
        result = self.result
        return (
            f"| {self.case} | {self.backend} | {'yes' if self.keep_alive else 'no'} | {self.done} | "
            f"{result.requests} | {self.failed} | {result.p99 * 1000:.1f} | {result.worst * 1000:.0f} |"
        )


HEAD = (
    "| case | backend | keep-alive | what happened | requests | failed | p99 ms | worst ms |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def run(case: str, backend: str, keep_alive: bool, seconds: int, tls: bool = False) -> Outcome:
    """One case under one load.  The load is still on when the last worker has been replaced."""
    act, options = CASES[case]
    if tls:
        options += ("--certfile", pki.server())
    with Fleet("--backend", backend, "--workers", str(WORKERS), *options) as fleet:
        argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds + 3}s", "--latency", "--timeout", "10s"]
        if not keep_alive:
            argv += ["-H", "Connection: close"]
        scheme = "https" if tls else "http"
        load = subprocess.Popen(
            [*argv, f"{scheme}://127.0.0.1:{fleet.port}/"], stdout=subprocess.PIPE, text=True
        )
        done = act(fleet, monotonic() + seconds)
        output, _ = load.communicate(timeout=seconds + 60)
        return Outcome(case, backend, keep_alive, done, parse(output))


def main() -> int:
    parser = argparse.ArgumentParser(prog="loadtests.restarts", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--backend", choices=["threads", "green"], action="append")
    parser.add_argument("--seconds", type=int, default=10, help="how long each is done (default: 10)")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - CASES.keys():
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    if available() is None:
        print("wrk is not there: install it", file=sys.stderr)
        return 2
    print(HEAD, flush=True)
    lost = 0
    for case in arguments.cases or CASES:
        for backend in arguments.backend or ["threads", "green"]:
            for keep_alive in (True, False):
                outcome = run(case, backend, keep_alive, arguments.seconds, arguments.tls)
                print(outcome.row, flush=True)
                lost += bool(outcome.result.errors) and case != "kill"
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
