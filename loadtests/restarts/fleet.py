"""A `dualwsgi run` with workers, as a process, and what can be done to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


class Failed(Exception):
    """The server did not do what it was told in time; its log is in the text."""


class Fleet:
    """A running server.  `pid` is the supervisor's, which an upgrade changes."""

    def __init__(self, *options: str, target: str = "loadtests.restarts.app:app", port: int = 0) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # closed with it
        self.port = port or free_port()
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
        path = [str(ROOT), *filter(None, [environ.get("PYTHONPATH")])]
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "dualwsgi", "run", target, "--bind", f"127.0.0.1:{self.port}", *options],
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            env=environ | {"PYTHONPATH": os.pathsep.join(path)},
            cwd=ROOT,
        )
        self.pid = self._popen.pid
        try:
            self.until(lambda: " serves " in self.log or self._popen.poll() is not None, "serve")
            if self._popen.poll() is not None:
                raise Failed(f"it has ended; its log:\n{self.log}")
        except Failed:
            self._popen.kill()
            self._popen.wait()
            self._log.close()
            raise

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in {self.pid, self._popen.pid}:
            if alive(pid):
                os.kill(pid, signal.SIGTERM)
        try:
            self._popen.wait(PATIENCE)
            self.until(lambda: not alive(self.pid), "stop")
        finally:
            if self._popen.poll() is None:
                self._popen.kill()
                self._popen.wait()
            self._log.close()

    @property
    def log(self) -> str:
        # pread leaves alone the offset at which the server writes
        return os.pread(self._log.fileno(), 1 << 24, 0).decode("utf-8", "replace")

    def until(self, question: Callable[[], object], what: str) -> None:
        """Waits for something to be so."""
        deadline = monotonic() + PATIENCE
        while not question():
            if monotonic() > deadline:
                raise Failed(f"it did not {what}; its log:\n{self.log}")
            sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    @property
    def ready(self) -> list[int]:
        """The workers that were ready and have neither left nor died, by their pids."""
        log = self.log
        said = r"worker \d+ \(pid (\d+), \w+\) "
        known = [int(pid) for pid in re.findall(said + "is ready", log)]
        gone = {int(pid) for pid in re.findall(said + "(?!is ready|will be|has been)", log)}
        return [pid for pid in known if pid not in gone and alive(pid)]

    def count(self, pattern: str) -> int:
        return len(re.findall(pattern, self.log))

    def wait_code(self) -> int:
        return self._popen.wait(PATIENCE)


def alive(pid: int) -> bool:
    """Whether it runs, and is not another program that has got the number since."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        ours = b"dualwsgi" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return ours and stat.rpartition(") ")[2][:1] != "Z"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
