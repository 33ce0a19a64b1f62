"""A `dualwsgi run` as a process of its own, and clients that never stop asking.

Knows the command line and the log; knows no test framework.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from math import inf
from pathlib import Path
from signal import SIGKILL, SIGSTOP, SIGTERM, Signals
from threading import Event, Thread
from time import monotonic

from wire import CLOSE, Client, ProtocolError, Response, eventually, request

PATIENCE = 45.0  # seconds; far more than anything here takes
SILENCE = 0.25  # seconds; a server that drains lets go of connections that are silent for twice as long
EVERY = 0.02  # seconds between two looks: what is waited for is a process, and each look reads its log

APP = """\
import os
def app(environ, start_response):
    body = environ['PATH_INFO'].encode()
    head = [('Content-Length', str(len(body))), ('X-Pid', str(os.getpid())), ('X-Version', '{version}'),
            ('X-Many', str(environ['wsgi.multiprocess']))]
    start_response('200 OK', head)
    return [body]
"""


class Fleet:
    """A server with its supervisor.  `pid` is the supervisor's; an upgrade changes it."""

    def __init__(self, place: Path, *options: str, target: str = "fleet_app:app") -> None:
        self.place = place
        self._log = place / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "dualwsgi", "run", target, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=place,
                env={name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")},
            )
        self.pid = self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, pattern: str, times: int = 1) -> str:
        """Waits until the log has said it so many times; returns the last."""
        found = eventually(
            lambda: found if len(found := re.findall(pattern, self.log)) >= times else None,
            PATIENCE,
            every=EVERY,
        )
        return str(found[-1])

    def serves(self) -> str:
        """Waits until it serves; returns its address."""
        eventually(lambda: " serves " in self.log or self.process.poll() is not None, PATIENCE, every=EVERY)
        assert " serves " in self.log, self.log
        return re.findall(r"http://[\d.]+:\d+|unix:\S+", self.log)[-1]

    def ready(self) -> dict[int, int]:
        """The workers that serve: their places by their pids."""
        log = self.log
        came = re.findall(r"worker (\d+) \(pid (\d+), \w+\) is ready", log)
        went = set(re.findall(r"worker \d+ \(pid (\d+), \w+\) (?!is ready|will be|has been)", log))
        return {int(pid): int(place) for place, pid in came if pid not in went}

    def signal(self, number: Signals) -> None:
        os.kill(self.pid, number)

    def replaced(self, before: dict[int, int], size: int | None = None) -> None:
        """Waits until none of these serves any more, and so many do."""
        wanted = len(before) if size is None else size

        def is_so() -> bool:
            now = self.ready()
            return len(now) == wanted and not now.keys() & before.keys()

        eventually(is_so, PATIENCE, every=EVERY)

    def stop(self, number: Signals = SIGTERM) -> int:
        """Stops it; the exit code of the process that was started."""
        if self.process.poll() is None or is_alive(self.pid):
            self.signal(number)
        code = self.process.wait(PATIENCE)
        eventually(lambda: not is_alive(self.pid), PATIENCE, every=EVERY)
        return code

    def kill(self) -> None:
        for pid in {self.pid, *self.ready()}:
            if is_alive(pid):
                os.kill(pid, SIGKILL)
        self.process.kill()
        self.process.wait()

    def write_app(self, version: str) -> None:
        write_app(self.place, version)


def write_app(place: Path, version: str) -> None:
    (place / "fleet_app.py").write_text(APP.format(version=version))
    # Two versions within one tick of the clock look alike to the cache of compiled modules.
    for cached in place.glob("__pycache__/fleet_app.*"):
        cached.unlink()


def freeze(pid: int) -> None:
    """Stops a process: when this returns none of its threads runs, as some may when the signal is sent."""
    os.kill(pid, SIGSTOP)
    eventually(lambda: all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir()))


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(") ")[2][:1]


def is_alive(pid: int) -> bool:
    """Whether it runs, and is not another program that has got the number since."""
    try:
        return (
            _state(Path(f"/proc/{pid}")) != "Z" and b"dualwsgi" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
    except OSError:
        return False


class Askers:
    """Clients that ask again and again, some keeping their connections, some not."""

    def __init__(self, address: str, keeping: int = 2, closing: int = 1) -> None:
        self.address = address
        self.failures: list[str] = []
        self.answers = 0
        self.versions: set[str] = set()
        self._over = Event()
        self._threads = [Thread(target=self._ask, args=(True,)) for _ in range(keeping)]
        self._threads += [Thread(target=self._ask, args=(False,)) for _ in range(closing)]

    def __enter__(self) -> Askers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, keeping: bool) -> None:
        number, pause = 0, Event()
        while not self._over.is_set():
            silent = 0.0
            try:
                with Client(self.address, patience=PATIENCE) as client:
                    answered = inf
                    while not self._over.is_set():
                        number += 1
                        silent = monotonic() - answered
                        client.send(request("GET", f"/{number}", *(() if keeping else (CLOSE,))))
                        silent = monotonic() - answered  # it may have had to wait for a processor just then
                        if not self._take(client.response(), number):
                            break
                        answered = monotonic()
                        pause.wait(0.01)  # so that the server, on the same cores, can start its workers
            except (ProtocolError, ConnectionError) as error:
                if silent < SILENCE:  # else this machine was busy, and the connection is rightly gone
                    self.failures.append(f"request {number}, after {silent:.3f} s: {error!r}")
            except Exception as error:
                self.failures.append(f"request {number}: {error!r}")

    def _take(self, answer: Response, number: int) -> bool:
        """Counts an answer; whether the connection can be used again."""
        if answer.status != 200 or answer.body != b"/%d" % number:
            self.failures.append(f"request {number}: {answer.line} {answer.body!r}")
        self.answers += 1
        self.versions.add(answer["X-Version"])
        return answer.get("Connection") != "close"
