"""wrk as a load generator: one thread of C, where locust would be the limit.  https://github.com/wg/wrk

Its script sends the requests in turn and prints the percentiles that wrk's own report leaves out.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .answers import Answers
from .process import pinned, waited_for_cpu
from .traffic import GRID, Ask, GeneratorFailed, Traffic

__all__ = ["WRK_MISSING", "Wrk", "wrk_is_here"]

WRK_MISSING = "wrk is not on the PATH; install it (Debian: apt install wrk), or leave out --wrk"

MARK = "dualwsgi "
GLANCE = 0.1
"""Seconds between two looks at how it fares."""

_SCRIPT = """
local requests, turn = {}, 0
function init(args)
%(requests)s
end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("dualwsgi total %%d %%d\\n", summary.requests, summary.duration))
  io.write(string.format("dualwsgi connect errors %%d\\n", e.connect))
  io.write(string.format("dualwsgi read errors %%d\\n", e.read))
  io.write(string.format("dualwsgi write errors %%d\\n", e.write))
  io.write(string.format("dualwsgi time-outs %%d\\n", e.timeout))
  io.write(string.format("dualwsgi answers of 400 and above %%d\\n", e.status))
  for _, p in ipairs({%(grid)s}) do
    local l = p == 100 and latency.max or latency:percentile(p)
    io.write(string.format("dualwsgi latency %%g %%d\\n", p, l))
  end
end
"""


def wrk_is_here() -> bool:
    return shutil.which("wrk") is not None


class Wrk:
    """Sends `asks` as quickly as they are answered.  Raises GeneratorFailed."""

    name = "wrk"

    def __init__(self, asks: Sequence[Ask], *, cpus: Sequence[int] = ()) -> None:
        if not wrk_is_here():
            raise GeneratorFailed(WRK_MISSING)
        self.answers: Answers | None = None  # they are asked for beside it
        self._cpu = cpus[0] if cpus else None
        self._folder = tempfile.TemporaryDirectory(prefix="dualwsgi-compare-")
        self._script = Path(self._folder.name) / "traffic.lua"
        self._script.write_text(script(asks))

    def run(self, port: int, users: int, seconds: float, mark: Callable[[], None]) -> Traffic:
        whole = max(1, round(seconds))  # it knows no fractions
        argv = ["wrk", "-t1", f"-c{users}", f"-d{whole}s", "--timeout", "10s", "-s", str(self._script)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        mark()
        output, waited = self._to_the_end([*argv, f"http://127.0.0.1:{port}/"], whole + 60)
        mark()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return replace(parse(output, cpu), waited=waited)

    def _to_the_end(self, argv: Sequence[str], patience: float) -> tuple[str, float]:
        """What it said, and for how many seconds it was ready to run and had no CPU."""
        begun, waited, glanced = time.monotonic(), 0.0, 0.0
        with subprocess.Popen(
            pinned(argv, self._cpu), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as popen:
            try:
                while True:
                    try:
                        output, errors = popen.communicate(timeout=GLANCE)
                        break
                    except subprocess.TimeoutExpired:
                        # Nobody tells any more once it has ended.
                        if (told := waited_for_cpu(popen.pid)) >= waited:
                            waited, glanced = told, time.monotonic() - begun
                        if time.monotonic() - begun > patience:
                            raise GeneratorFailed(f"wrk did not end in {patience:g} s") from None
            except BaseException:
                popen.kill()
                raise
        if popen.returncode != 0:
            raise GeneratorFailed(f"wrk failed: {(errors or output).strip()[-400:]}")
        taken = time.monotonic() - begun
        return output, waited * taken / glanced if glanced else 0.0

    def close(self) -> None:
        self._folder.cleanup()


def script(asks: Sequence[Ask]) -> str:
    """The Lua script that sends these requests in turn."""
    lines = []
    for one in asks:
        headers = ", ".join(f"[{_lua(name)}] = {_lua(value)}" for name, value in one.headers.items())
        body = _lua(one.body.decode("latin-1")) if one.body else "nil"
        lines.append(
            "  requests[#requests + 1] = "
            f"wrk.format({_lua(one.method)}, {_lua(one.path)}, {{{headers}}}, {body})"
        )
    return _SCRIPT % {"requests": "\n".join(lines), "grid": ", ".join(f"{share:g}" for share in GRID)}


def _lua(text: str) -> str:
    """A Lua string; each byte as a decimal escape, so that no text ends it."""
    return '"' + "".join(f"\\{octet:03d}" for octet in text.encode("latin-1")) + '"'


def parse(output: str, cpu: float) -> Traffic:
    """What the script printed.  Raises GeneratorFailed when it printed nothing."""
    latency: dict[float, float] = {}
    errors: dict[str, int] = {}
    requests = microseconds = 0
    for line in output.splitlines():
        if not line.startswith(MARK):
            continue
        what, *numbers = line.removeprefix(MARK).split()
        if what == "total":
            requests, microseconds = int(numbers[0]), int(numbers[1])
        elif what == "latency":
            latency[float(numbers[0])] = int(numbers[1]) / 1e6
        elif int(numbers[-1]):
            errors[" ".join([what, *numbers[:-1]])] = int(numbers[-1])
    if not microseconds:
        raise GeneratorFailed(f"wrk: {output.strip()[-400:] or 'it said nothing'}")
    # A request that met an error of its socket was not counted as one.
    requests += sum(count for said, count in errors.items() if "answers" not in said)
    return Traffic(microseconds / 1e6, requests, errors, latency if requests else {}, cpu)
