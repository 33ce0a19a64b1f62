"""Run the cases and print what each cost."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from time import monotonic, sleep

from dualwsgi.testing import pki
from loadtests.peers.wrk import Load, WrkResult, available, beside
from loadtests.restarts.cases import CASES, WORKERS
from loadtests.restarts.fleet import Fleet

LONGEST = 900
AFTERWARDS = 2.0
"""Seconds: of a case, and of the load when it is done."""


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


def run(
    case: str, backend: str, keep_alive: bool, seconds: float, *, least: int = 1, tls: bool = False
) -> Outcome:
    """One case under one load.  The load is still on when the last worker has been replaced."""
    act, options = CASES[case]
    if tls:
        options += ("--certfile", pki.server())
    with Fleet("--backend", backend, "--workers", str(WORKERS), *options) as fleet:
        headers = {} if keep_alive else {"Connection": "close"}
        with beside(Load(headers=headers, tls=tls), fleet.port, LONGEST, None) as said:
            done = act(fleet, monotonic() + seconds, least)
            sleep(AFTERWARDS)
        return Outcome(case, backend, keep_alive, done, said[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="loadtests.restarts", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--backend", choices=["threads", "green"], action="append")
    parser.add_argument("--seconds", type=float, default=10, help="how long each is done (default: 10)")
    parser.add_argument("--least", type=int, default=1, help="how often at the least (default: 1)")
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
                outcome = run(
                    case, backend, keep_alive, arguments.seconds, least=arguments.least, tls=arguments.tls
                )
                print(outcome.row, flush=True)
                lost += bool(outcome.result.errors) and case != "kill"
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
