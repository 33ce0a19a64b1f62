"""wrk as a client: its command line, and what its output says.

wrk's `-d` takes whole seconds only. Its counts cover the time it says it took ("in 2.00s"), so CPU a request
is taken over the whole life of the wrk process, in which a server does no more than wrk's connections on top
of that.
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dualwsgi.compare.process import pinned

SCRIPTS = Path(__file__).parent / "wrk"
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TOTAL = re.compile(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),", re.MULTILINE)
_PERCENTILE = re.compile(r"^\s*(50|75|90|99)%\s+([\d.]+)(us|ms|s|m|h)\s*$", re.MULTILINE)
_LATENCY = re.compile(r"^\s*Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s|m|h)\s", re.MULTILINE)
_NON_2XX = re.compile(r"^\s*Non-2xx or 3xx responses: (\d+)", re.MULTILINE)
_SOCKET = re.compile(
    r"^\s*Socket errors: (connect (\d+), read (\d+), write (\d+), timeout (\d+))", re.MULTILINE
)


class WrkFailed(Exception):
    """wrk is missing, ended with an error, or said something unknown."""


@dataclass(frozen=True)
class WrkResult:
    """Latencies in seconds. `errors` is what wrk complained of, in its words, and empty when all was well."""

    requests: int
    seconds: float
    p50: float
    p99: float
    worst: float
    errors: tuple[str, ...] = ()
    read_errors: int = 0
    socket_errors: int = 0

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Load:
    """One kind of traffic that wrk makes."""

    path: str = "/"
    connections: int = 64
    headers: Mapping[str, str] = field(default_factory=dict)
    script: str | None = None
    """A Lua file beside this one. It gets, as its first argument, a token that no other run has."""
    tls: bool = False


def available() -> str | None:
    """Where wrk is, or None."""
    return shutil.which("wrk")


def command(load: Load, port: int, seconds: int) -> list[str]:
    argv = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
    for name, value in load.headers.items():
        argv += ["-H", f"{name}: {value}"]
    if load.script is not None:
        argv += ["-s", str(SCRIPTS / load.script)]
    argv += [f"{'https' if load.tls else 'http'}://127.0.0.1:{port}{load.path}"]
    if load.script is not None:
        # Ids that came in an earlier round are known to a server that caches heads: never send one twice.
        argv += ["--", secrets.token_hex(10)]
    return argv


def parse(output: str) -> WrkResult:
    """wrk's report. Raises WrkFailed when it is not one."""
    if (total := _TOTAL.search(output)) is None:
        raise WrkFailed(output.strip()[-400:] or "wrk said nothing")
    percents = {which: float(value) * _SECONDS[unit] for which, value, unit in _PERCENTILE.findall(output)}
    worst = _LATENCY.search(output)
    errors = []
    if (refused := _NON_2XX.search(output)) is not None:
        errors.append(f"{refused[1]} non-2xx answers")
    if (sockets := _SOCKET.search(output)) is not None:
        errors.append(f"socket errors: {sockets[1]}")
    nan = float("nan")
    return WrkResult(
        requests=int(total[1]),
        seconds=float(total[2]) * _SECONDS[total[3]],
        p50=percents.get("50", nan),
        p99=percents.get("99", nan),
        worst=nan if worst is None else float(worst[1]) * _SECONDS[worst[2]],
        errors=tuple(errors),
        read_errors=0 if sockets is None else int(sockets[3]),
        socket_errors=0 if sockets is None else sum(int(sockets[which]) for which in range(2, 6)),
    )


def run(load: Load, port: int, seconds: int, cpu: int | None) -> WrkResult:
    """Run wrk to its end."""
    done = subprocess.run(
        pinned(command(load, port, seconds), cpu),
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    if done.returncode != 0:
        raise WrkFailed((done.stderr or done.stdout).strip()[-400:])
    return parse(done.stdout)


@contextmanager
def beside(load: Load, port: int, seconds: int, cpu: int | None) -> Iterator[list[WrkResult]]:
    """wrk beside the block, at most `seconds`; its result is then in the list."""
    said: list[WrkResult] = []
    popen = subprocess.Popen(
        pinned(command(load, port, seconds), cpu),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield said
        popen.send_signal(signal.SIGINT)  # at which wrk stops and reports
        said.append(parse(popen.communicate(timeout=30)[0]))
    finally:
        popen.kill()
        popen.communicate()
