"""Locust as a load generator: processes of its own, which this one talks to in lines of JSON.

Knows the protocol of `driver.py` and imports nothing of locust, which would patch this process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import IO, Any

from .answers import Answers
from .process import pinned
from .traffic import Ask, GeneratorFailed, Traffic, merged

__all__ = ["LOCUST_MISSING", "Locust", "locust_is_here"]

LOCUST_MISSING = "locust is not installed; install the extra: pip install 'dualwsgi[load]', or use wrk: --wrk"
START = 60.0
"""Seconds that locust may take to be imported, on a machine that does other work."""
SETTLE = 0.2
"""Seconds between the last user's start and the window, which must not hold the connecting."""


def locust_is_here() -> bool:
    return importlib.util.find_spec("locust") is not None


class Locust:
    """Sends `asks`, or what the users of `locustfile` send.  Raises GeneratorFailed.

    `processes` share the users; `cpus` confines each to one of these, in turn.
    """

    name = "locust"

    def __init__(
        self,
        asks: Sequence[Ask] = (),
        *,
        locustfile: Path | None = None,
        processes: int = 1,
        cpus: Sequence[int] = (),
    ) -> None:
        if not locust_is_here():
            raise GeneratorFailed(LOCUST_MISSING)
        plan: dict[str, Any] = {"locustfile": str(locustfile)}
        if locustfile is None:
            plan = {"asks": [asdict(one) | {"body": one.body.decode("latin-1")} for one in asks]}
        self.answers: Answers | None = None
        self._drivers: list[_Driver] = []
        try:
            for number in range(processes):
                cpu = cpus[number % len(cpus)] if cpus else None
                self._drivers.append(_Driver(plan, cpu))
            for driver in self._drivers:
                self.version = str(driver.hear("ready", START))
        except BaseException:
            self.close()
            raise

    def run(self, port: int, users: int, seconds: float, mark: Callable[[], None]) -> Traffic:
        shares = _shares(users, len(self._drivers))
        drivers = self._drivers[: len(shares)]
        for driver, share in zip(drivers, shares, strict=True):
            driver.tell(
                {
                    "port": port,
                    "users": share,
                    "seconds": seconds,
                    "settle": SETTLE,
                    "look": self.answers is not None,
                }
            )
        for driver in drivers:
            driver.hear("begun", START + START)
        mark()
        for driver in drivers:
            driver.hear("ended", seconds + START)
        mark()
        results = [driver.hear("result", START) for driver in drivers]
        if self.answers is not None:
            for result in results:
                self.answers.merge(result["answers"])
        errors: dict[str, int] = {}
        for result in results:
            for said, count in result["errors"].items():
                errors[said] = errors.get(said, 0) + count
        return Traffic(
            seconds=max(result["seconds"] for result in results),
            requests=sum(result["requests"] for result in results),
            errors=errors,
            latency=merged(
                [dict(map(tuple, result["counts"])) for result in results],
                max(result["worst"] for result in results),
            ),
            cpu=sum(result["cpu"] for result in results),
            processes=len(results),
            waited=sum(result["waited"] for result in results),
        )

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()


def _shares(users: int, processes: int) -> list[int]:
    each, rest = divmod(users, processes)
    return [share for number in range(processes) if (share := each + (number < rest))]


class _Driver:
    """One process of locust."""

    def __init__(self, plan: dict[str, Any], cpu: int | None) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        self._popen = subprocess.Popen(
            pinned([sys.executable, "-m", "dualwsgi.compare.driver", json.dumps(plan)], cpu),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # a Ctrl-C is for the parent to handle
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._in, self._out = self._popen.stdin, self._popen.stdout
        os.set_blocking(self._out.fileno(), False)
        self._buffer = b""

    def tell(self, order: dict[str, Any]) -> None:
        try:
            self._in.write(json.dumps(order).encode() + b"\n")
            self._in.flush()
        except OSError:
            raise GeneratorFailed(f"locust ended: {self._tail()}") from None

    def hear(self, what: str, patience: float) -> Any:
        """The next line, which must be `what`."""
        deadline = monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - monotonic())):
                    raise GeneratorFailed(f"locust said nothing for {patience:g} s: {self._tail()}")
                data = os.read(self._out.fileno(), 65536)
                if not data:
                    raise GeneratorFailed(f"locust ended: {self._tail()}")
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        said = json.loads(line)
        if what not in said:
            raise GeneratorFailed(f"locust: {said.get('failed', said)}")
        return said[what]

    def close(self) -> None:
        try:
            self._in.close()  # the end of its input ends it
        except OSError:
            pass
        try:
            self._popen.wait(2)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._out.close()
        self._errors.close()

    def _tail(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-600:].decode("utf-8", "replace").strip() or "it gave no reason"
