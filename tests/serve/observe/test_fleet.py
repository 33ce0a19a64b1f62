"""Observing a fleet: what was sent is counted and logged once, across workers and a reload."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import is_alive
from ports import free_port
from wire import PATIENCE, Client, eventually, request

from dualwsgi.serve.observe.client import ask_all, attach, find
from dualwsgi.serve.observe.snapshot import merge

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


class Fleet:
    def __init__(self, place: Path, *arguments: str) -> None:
        (place / "fleet_app.py").write_text(APP)
        (place / "control").mkdir(mode=0o700)
        self.control, self.log = place / "control", place / "access.log"
        command = f"{sys.executable} -m dualwsgi run fleet_app:app --bind 127.0.0.1:0"
        self.metrics = f"127.0.0.1:{free_port()}"
        files = f"--metrics-bind {self.metrics} --control-socket {self.control}/ --access-logfile {self.log}"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
        self.process = subprocess.Popen(
            [*command.split(), *files.split(), *arguments],
            stderr=subprocess.PIPE,
            text=True,
            cwd=place,
            env=environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"http://[^ ]+", line):
                self.address = found[0]
                break

    def snapshots(self) -> list[dict[str, Any]]:
        return [snapshot for _, snapshot in ask_all(find(self.control), "snapshot")]

    def send(self, count: int) -> None:
        for _ in range(count):
            with Client(self.address) as client:
                assert client.send(request(target="/hello")).response().status == 200

    def exported(self) -> int:
        """How many requests a scrape of some worker tells of."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        return int(
            re.findall(r'^dualwsgi_requests_total\{class="2xx"\} (\d+)(?:\.0)?$', text, re.MULTILINE)[0]
        )

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=2 * PATIENCE)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    started: list[Fleet] = []

    def start(*arguments: str) -> Fleet:
        started.append(Fleet(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


# What is shown here is between processes, and each run starts six.
@pytest.mark.parametrize(
    ("backend", "workers"),
    [
        ("threads", 3),
        pytest.param("threads", 1, marks=pytest.mark.soak),
        pytest.param("green", 3, marks=pytest.mark.soak),
        pytest.param("green", 1, marks=pytest.mark.soak),
    ],
)
def test_sent_is_counted_is_logged_across_a_reload(
    fleet: Callable[..., Fleet], backend: str, workers: int
) -> None:
    running = fleet("--workers", str(workers), "--supervise", "--backend", backend)

    def complete() -> list[dict[str, Any]] | None:
        found = running.snapshots()
        return found if len(found) == workers else None

    first = eventually(complete, 2 * PATIENCE, every=0.05)
    running.send(40)
    eventually(lambda: merge(running.snapshots())["totals"]["requests"] == 40)
    snapshots = running.snapshots()
    merged = merge(snapshots)
    assert merged["totals"]["requests"] == merged["totals"]["classes"]["2xx"] == 40
    assert merged["latency"]["count"] == merged["routes"]["GET /hello"]["latency"]["count"] == 40
    assert [running.exported() for _ in range(4)] == [40] * 4
    assert {worker["supervisor"] for worker in merged["workers"]} == {running.process.pid}

    before = {worker["pid"] for one in first for worker in one["workers"]}
    with attach(find(running.control)[0]) as server:
        assert server.ask("reload") == {"reloading": True}

    def replaced() -> bool:
        pids = {worker["pid"] for one in running.snapshots() for worker in one["workers"]}
        return len(pids) == workers and not pids & before

    eventually(replaced, 3 * PATIENCE, every=0.05)
    running.send(20)
    eventually(lambda: merge(running.snapshots())["totals"]["requests"] == 20)
    assert [running.exported() for _ in range(4)] == [60] * 4
    listed = json.loads(
        subprocess.run(
            [sys.executable, "-m", "dualwsgi", "ctl", "snapshot", "--json", "--socket", str(running.control)],
            capture_output=True,
            check=True,
            timeout=4 * PATIENCE,
        ).stdout
    )
    assert listed["totals"]["requests"] == 60
    assert len(listed["workers"]) == workers
    if workers == 1:
        # After all counts were compared: a worker more, by its number.
        with attach(find(running.control)[0]) as server:
            assert server.ask("set", workers=2) == {"workers": 2}
        eventually(lambda: len(running.snapshots()) == 2, 2 * PATIENCE)
    running.end()
    assert running.process.returncode == 0
    assert running.log.read_text().count('"GET /hello HTTP/1.1" 200') == 60


@pytest.mark.parametrize("backend", ["threads", pytest.param("green", marks=pytest.mark.soak)])
def test_what_is_exported_never_goes_back_when_a_worker_is_killed_or_the_program_is_replaced(
    fleet: Callable[..., Fleet], backend: str
) -> None:
    running = fleet("--workers", "2", "--backend", backend)
    told: list[int] = []

    def workers() -> dict[int, int]:
        """Those that there are, and their supervisors; a scrape, whenever somebody asks."""
        try:
            told.append(running.exported())
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass  # by one that was just killed
        found = (one["workers"][0] for one in running.snapshots())
        return {one["pid"]: one["supervisor"] for one in found}

    eventually(lambda: len(workers()) == 2, 2 * PATIENCE, every=0.05)
    running.send(20)
    eventually(lambda: running.exported() == 20)
    killed = min(workers())
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: len(found := workers()) == 2 and killed not in found, 3 * PATIENCE, every=0.05)
    running.process.send_signal(signal.SIGUSR2)

    def successor() -> int:
        supervisors = set(workers().values())
        return supervisors.pop() if len(supervisors) == 1 and running.process.pid not in supervisors else 0

    pid = eventually(successor, 4 * PATIENCE, every=0.05)
    try:
        running.send(5)
        eventually(lambda: workers() and told[-1] == 25)
        assert told == sorted(told)
    finally:
        running.process.wait(PATIENCE)
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not is_alive(pid), 2 * PATIENCE, every=0.05)


def test_run_can_be_found_by_its_user_without_a_word(tmp_path: Path) -> None:
    command = f"{sys.executable} -m dualwsgi run dualwsgi.example --bind 127.0.0.1:0"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
    environ["XDG_RUNTIME_DIR"] = str(tmp_path)
    with subprocess.Popen(command.split(), stderr=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stderr is not None
            process.stderr.readline()
            (path,) = (tmp_path / "dualwsgi").iterdir()
            assert path.name == f"{process.pid}.sock"
            with attach(path) as server:
                assert server.ask("snapshot")["totals"]["requests"] == 0
                assert server.ask("drain")
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 0
            assert not path.exists()
        finally:
            process.kill()
