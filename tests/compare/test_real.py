"""Comparisons for real: servers as processes, traffic from locust and wrk.  No time is ever asserted.

Short, and so wide in their intervals: that a slowed backend is found takes some rounds, and is a soak test.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from dualwsgi.compare.answers import Answers
from dualwsgi.compare.locust import Locust, locust_is_here
from dualwsgi.compare.process import descendants, open_connections
from dualwsgi.compare.traffic import GRID, Ask
from dualwsgi.compare.wrk import Wrk, wrk_is_here

needs_locust = pytest.mark.skipif(not locust_is_here(), reason="locust is not installed")
needs_wrk = pytest.mark.skipif(not wrk_is_here(), reason="wrk is not installed")

APP = """
import os, time

BACKEND = os.environ["DUALWSGI_BACKEND"]

def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = b"hello"
    headers = [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))]
    if path == "/slow-on-green" and BACKEND == "green":
        end = time.thread_time() + 0.003
        while time.thread_time() < end:
            pass
    if path == "/name":
        body = BACKEND.encode()
    if path == "/fail":
        start_response("500 Internal Server Error", headers + [("Content-Length", "0")])
        return []
    start_response("200 OK", headers + [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def compare(tmp_path: Path) -> Any:
    (tmp_path / "measured.py").write_text(APP)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
        return subprocess.run(
            [sys.executable, "-m", "dualwsgi", "compare", "measured:app", *arguments, "--json", "x.json"],
            cwd=tmp_path,
            env=environ | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return run


BY_LOCUST = ("--seconds", "0.2")
BY_WRK = ("--wrk", "--seconds", "1")


@pytest.mark.soak  # ten seconds of both cores
@pytest.mark.parametrize(
    "generator",
    [
        pytest.param(BY_LOCUST, marks=needs_locust, id="locust"),
        pytest.param(BY_WRK, marks=needs_wrk, id="wrk"),
    ],
)
def test_both_sides_are_measured_and_where_the_answers_differ_is_seen(
    compare: Any, tmp_path: Path, generator: tuple[str, ...]
) -> None:
    short = ("--rounds", "2", "--warm-up", "0", "--users", "2", *generator)
    done = compare(*short, "--url", "/name", "--url", "/", "--csv", "x.csv", "--html", "x.html")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads((tmp_path / "x.json").read_text())
    assert len(said["windows"]) == 4
    assert [window["side"] for window in said["windows"]] == ["threads", "green", "green", "threads"]
    for window in said["windows"]:
        assert window["requests"] > 0
        assert window["errors"] == {}
        assert 0 < window["latency"]["p50"] <= window["latency"]["p99"] <= window["latency"]["p100"]
        assert window["cpu"] > 0
        assert window["rss"] > 5e6
    body, length = said["answers"]["differ"]
    assert body.startswith("GET /name: body is '7 bytes")
    assert length == "GET /name: header content-length is '7' on threads, '5' on green"
    assert set(said["answers"]["vary"]) == {
        f"GET {path}: header x-process varies from answer to answer" for path in ("/", "/name")
    }
    assert "The answers differ:" in done.stdout
    assert len(list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))) == 4
    assert "</svg>" in (tmp_path / "x.html").read_text()


# The generators, against the standard library


LOCUSTFILE = """
from locust import FastHttpUser, task

print("this must not come among the results")

class Reader(FastHttpUser):
    host = "http://127.0.0.1:9"

    @task
    def read(self):
        self.client.get("/name", name="the name")
        self.client.get("/fail")
"""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/fail" else 200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"abc")

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that are stopped reset


@pytest.fixture
def port() -> Iterator[int]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


@needs_locust
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_locust_file_says_what_is_sent_and_not_where_to(port: int, tmp_path: Path, processes: int) -> None:
    (tmp_path / "users.py").write_text(LOCUSTFILE)
    marks: list[float] = []
    generator = Locust(locustfile=tmp_path / "users.py", processes=processes)
    try:
        generator.answers = Answers()
        traffic = generator.run(port, 3, 0.3, lambda: marks.append(monotonic()))
        # Users that are gone leave no connection behind, or the next window would wait for it.
        deadline = monotonic() + 10
        while open_connections(port):
            assert monotonic() < deadline, "locust keeps its connections"
            sleep(0.01)
    finally:
        generator.close()
    assert len(marks) == 2
    assert marks[1] - marks[0] > 0.1
    assert traffic.processes == processes
    assert traffic.cpu > 0
    (count,) = traffic.errors.values()
    assert 0 < count < traffic.requests
    assert "500" in next(iter(traffic.errors))
    assert generator.answers.seen["GET the name"]["status"] == ["200"]
    assert generator.answers.seen["GET the name"]["body"][0].startswith("3 bytes")
    assert generator.answers.bad() == ["GET /fail is answered 500"]


def test_connections_are_counted_until_the_server_closes_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert open_connections(port) == 0
        with socket.create_connection(("127.0.0.1", port)):
            served, _ = listener.accept()
            assert open_connections(port) == 1
        # The client is gone; what it asked for may still be running.
        assert open_connections(port) == 1
        served.close()
        assert open_connections(port) == 0


@needs_wrk
def test_wrk_sends_its_requests_in_turn_and_counts_those_that_fail(port: int) -> None:
    marks: list[float] = []
    generator = Wrk([Ask("/name"), Ask("/fail")])
    try:
        traffic = generator.run(port, 2, 1, lambda: marks.append(monotonic()))
    finally:
        generator.close()
    assert len(marks) == 2
    assert traffic.requests > 1
    assert abs(traffic.failed - traffic.requests / 2) <= 2
    assert set(traffic.latency) == set(GRID)
    assert traffic.latency[1.0] <= traffic.latency[50.0] <= traffic.latency[100.0]


@pytest.mark.soak
@needs_locust
def test_nobody_listening_is_counted_and_no_crash(tmp_path: Path) -> None:
    generator = Locust([Ask("/")])
    try:
        traffic = generator.run(9, 1, 0.1, lambda: None)
    finally:
        generator.close()
    assert traffic.failed == traffic.requests > 0


# What cannot be measured


@needs_wrk
def test_an_application_that_cannot_be_loaded_is_told_in_its_own_words(compare: Any, tmp_path: Path) -> None:
    (tmp_path / "measured.py").write_text("import nowhere_to_be_found\n")
    done = compare("--wrk")
    assert done.returncode == 1
    assert "No module named 'nowhere_to_be_found'" in done.stderr
    assert "Traceback" not in done.stderr.partition("threads ended with status")[0]
    assert done.stdout == ""


def test_an_interruption_ends_what_was_started(tmp_path: Path) -> None:
    if not wrk_is_here():
        pytest.skip("wrk is not installed")
    (tmp_path / "measured.py").write_text(APP)
    argv = ["-m", "dualwsgi", "compare", "measured:app", "--wrk", "--seconds", "30", "--users", "1"]
    running = subprocess.Popen(
        [sys.executable, *argv], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = monotonic() + 30
        started: dict[int, str] = {}
        while not any("measured:app" in _command(pid) for pid in started):
            assert monotonic() < deadline, "no server was started"
            assert running.poll() is None
            started = descendants([running.pid])
            del started[running.pid]
            sleep(0.02)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=30)
    finally:
        running.kill()
        running.wait()
    assert (running.returncode, output) == (130, "")
    assert errors == "dualwsgi: interrupted after 0 of 8 rounds\n"
    assert not any("measured:app" in _command(pid) for pid in started)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


# What it is for


@pytest.mark.soak
@pytest.mark.timeout(300)
@needs_wrk
def test_a_deliberately_slowed_backend_is_found_and_named(compare: Any, tmp_path: Path) -> None:
    done = compare("--rounds", "6", "--seconds", "1", "--users", "4", "--wrk", "--url", "/slow-on-green")
    said = json.loads((tmp_path / "x.json").read_text())
    assert said["verdict"]["choice"] == "threads", done.stdout
    slower = {finding["figure"] for finding in said["findings"] if finding["better"] == "threads"}
    assert {"rate", "p50", "cpu"} <= slower
    assert "Choose threads." in done.stdout


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["threads", "green"])
@needs_wrk
def test_a_backend_against_itself_shows_no_difference(compare: Any, tmp_path: Path, backend: str) -> None:
    done = compare("--rounds", "8", "--seconds", "1", "--users", "16", "--wrk", *(("--side", backend) * 2))
    said = json.loads((tmp_path / "x.json").read_text())
    assert said["verdict"]["choice"] is None, done.stdout
    assert "No difference" in done.stdout


@pytest.mark.soak
@pytest.mark.timeout(300)
@needs_wrk
def test_two_settings_of_one_backend_are_compared_too(compare: Any, tmp_path: Path) -> None:
    side = ("--side", "threads --threads 1", "--side", "threads --threads 2")
    done = compare("--rounds", "2", "--seconds", "1", "--warm-up", "0", "--users", "2", "--wrk", *side)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "x.json").read_text())
    assert said["about"]["sides"] == ["threads --threads 1", "threads --threads 2"]
    assert all(window["requests"] > 0 for window in said["windows"])
    assert said["answers"]["differ"] == []
