"""`dualwsgi run` for real: a process, a socket, signals and exit codes."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from dualwsgi import ConfigError, Server
from dualwsgi.example import app

PATIENCE = 20.0  # seconds; far more than any step here takes
HAS_GREEN = bool(importlib.util.find_spec("dualwsgi.backends")) and bool(
    importlib.util.find_spec("dualwsgi.backends.green")
)
BACKENDS = [
    "threads",
    pytest.param(
        "green", marks=pytest.mark.skipif(not HAS_GREEN, reason="the green backend is not built in")
    ),
]

Start = Callable[..., "Running"]


class Running:
    """A `dualwsgi run` that has said where it is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        # Blocks until the line is there or the process is gone; the test's timeout is the deadline.
        self.start_line = process.stderr.readline()
        addresses = re.findall(r"https?://\S+", self.start_line)
        assert addresses, self.start_line + process.stderr.read()
        self.url = addresses[0]

    def get(self, path: str, data: bytes | None = None) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self.url + path, data, timeout=PATIENCE) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-X", "dev", "-W", "error", "-m", "dualwsgi", "run", *arguments]


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
    return own | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | more


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server on a port of its own; what still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str, prefix: Sequence[str] = (), **more: str) -> Running:
        bind = () if any(text.startswith("--bind") for text in arguments) else ("--bind", "127.0.0.1:0")
        process = subprocess.Popen(
            [*prefix, *command(*arguments, *bind)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=tmp_path,
            env=environment(**more),
        )
        processes.append(process)
        return Running(process)

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(tmp_path: Path, *arguments: str, **more: str) -> str:
    """What a run that must fail says; it fails with code 2 and no traceback."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(**more),
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_example_is_served_and_stops_with_code_0_on_sigterm(start: Start, backend: str) -> None:
    server = start("dualwsgi.example", "--backend", backend)
    assert f" on {backend}, " in server.start_line
    status, page = server.get("/")
    assert status == 200
    assert b"It works." in page
    assert server.get("/hello") == (200, b"Hello, World!")
    assert server.get("/upload", b"x" * 100_000) == (200, b"100000 bytes\n")
    assert server.get("/echo", b"a=b") == (200, b"a=b")
    assert server.get("/stream")[1].count(b"\n") == 10
    assert server.get("/sleep?ms=1") == (200, b"Slept 1 ms.\n")
    assert server.get("/sleep?ms=soon")[0] == 400
    assert server.get("/nothing")[0] == 404
    assert server.get("/hello", b"posted")[0] == 405
    assert server.end() == (0, "", "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_sigint_lets_a_request_in_flight_end(start: Start, tmp_path: Path, backend: str) -> None:
    (tmp_path / "run_gate.py").write_text(
        "import sys, time\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '4')])\n"
        "    yield b'in'\n"
        "    time.sleep(0.3)\n"
        "    yield b'ok'\n"
    )
    server = start("run_gate", "--backend", backend)
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while b"in" not in answer.partition(b"\r\n\r\n")[2]:
            answer += client.recv(4096)
        server.process.send_signal(signal.SIGINT)
        while piece := client.recv(4096):
            answer += piece
    assert answer.endswith(b"\r\n\r\ninok")
    out, err = server.process.communicate(timeout=PATIENCE)
    assert (server.process.returncode, out) == (0, "")
    assert "Traceback" not in err


def test_several_addresses_and_variables_are_served_with_a_line_a_request(
    start: Start, tmp_path: Path
) -> None:
    addresses = ("--bind", "127.0.0.1:0", "--bind=unix:app.sock")
    server = start(*addresses, "--access-log", DUALWSGI_APP="dualwsgi.example", DUALWSGI_THREADS="3")
    assert "up to 3 calls at once" in server.start_line
    assert server.get("/hello")[0] == 200
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(tmp_path / "app.sock"))
        client.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    code, out, _ = server.end()
    assert code == 0
    assert '"GET /hello HTTP/1.1" 200 13 ' in out
    assert '"GET /hello HTTP/1.0" 200 13 ' in out
    assert out.count("\n") == 2
    assert not (tmp_path / "app.sock").exists()


# What is refused, in the words of the process; test_command.py has the rest of them.


def test_a_port_in_use_is_refused_with_the_way_to_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        message = refused(tmp_path, "dualwsgi.example", "--bind", address)
    assert address in message
    assert "in use" in message
    assert f"sport = :{address.rpartition(':')[2]}" in message


@pytest.mark.parametrize("address", ["192.0.2.1:8000", "unix:no/app.sock"])
def test_an_unusable_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(address)):
        Server(app, bind=(address,)).start()


def test_a_mistake_is_refused_on_one_line(tmp_path: Path) -> None:
    message = refused(tmp_path, "nowhere:app")
    assert "no module 'nowhere'" in message
    assert message.count("\n") == 1


LIMITED = """
import resource

def app(environ, start_response):
    start_response("200 OK", [])
    return [repr(resource.getrlimit(resource.RLIMIT_NOFILE)).encode()]
"""


def test_the_limit_of_descriptors_is_raised_as_far_as_it_may_be(start: Start, tmp_path: Path) -> None:
    (tmp_path / "limited.py").write_text(LIMITED)
    limit = ["sh", "-c", 'ulimit -S -n 256; ulimit -H -n 900; exec "$@"', "sh"]
    running = start("limited:app", "--app-dir", str(tmp_path), prefix=limit)
    assert running.get("/")[1] == b"(900, 900)"
    assert running.end()[0] == 0


@pytest.mark.parametrize("options", [(), ("--workers", "1"), ("--workers", "1", "--preload")], ids=" ".join)
def test_the_command_line_is_not_the_application_s(options: Sequence[str], tmp_path: Path) -> None:
    """One that parses sys.argv, as keystone does, would end the server over options that it does not know."""
    (tmp_path / "curious.py").write_text("import sys\nraise RuntimeError(f'it has found {sys.argv}')\n")
    done = subprocess.run(
        command("--bind", "127.0.0.1:0", *options, "curious:app"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode
    assert "it has found ['dualwsgi']" in done.stderr, done.stderr
