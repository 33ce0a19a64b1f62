"""What many clients and large bodies cost, measured on a server of its own.

Sizes are those of resident memory; times are never asserted but as a multiple of what the same
server has just taken.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from wire import Client, eventually, request

from ..conftest import BACKENDS

pytestmark = [pytest.mark.soak, pytest.mark.timeout(240)]

APP = """
import threading

gate = threading.Event()
held = set()

def app(environ, start_response):
    size = 0
    if environ["PATH_INFO"] == "/wait":
        held.add(threading.get_ident())
        gate.wait()
    if environ["PATH_INFO"] == "/held":
        size = len(held)
    if environ["PATH_INFO"] == "/open":
        gate.set()
    while piece := environ["wsgi.input"].read(65536):
        size += len(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % size]
"""

MB = 1 << 20


class Running:
    """A server in a process of its own, and what the system says of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        self.address = found[0]

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(rf"{name}:\s+(\d+)", text)
        assert match
        return int(match[1])

    @property
    def rss(self) -> int:
        """Octets."""
        return self._status("VmRSS") * 1024

    @property
    def threads(self) -> int:
        return self._status("Threads")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def client(self) -> Client:
        return Client(self.address, patience=60)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for 10,000 connections, here and in servers that are started here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 12_000:
        pytest.skip("the system allows no 10,000 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 12_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=BACKENDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    processes: list[subprocess.Popen[str]] = []
    (tmp_path / "measured.py").write_text(APP)

    def start(*options: str) -> Running:
        own = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dualwsgi", "run", "measured:app", "--app-dir", str(tmp_path)),
                *("--backend", request.param, "--bind", "127.0.0.1:0", *options),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=own,
        )
        processes.append(process)
        return Running(process)

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def median_time(client: Client) -> float:
    """Seconds that a request takes."""
    times = []
    for _ in range(300):
        began = monotonic()
        assert client.send(request()).response().body == b"0"
        times.append(monotonic() - began)
    return statistics.median(times)


@pytest.mark.usefixtures("many_files")
def test_10_000_idle_connections_cost_little_and_slow_nobody_down(run: Callable[..., Running]) -> None:
    served = run("--keep-alive", "600")
    with served.client() as quick:
        alone = median_time(quick)
        before = served.rss
        clients = []
        for number in range(10_000):
            client = served.client()
            clients.append(client)
            # Each a head of its own, as browsers with cookies send them.
            assert client.send(request("GET", f"/{number}", f"Cookie: id={number}")).response().status == 200
        each = (served.rss - before) / len(clients)
        among = median_time(quick)
        assert served.descriptors > 10_000
        assert served.threads <= 40, "some that ran the calls, none for the connections"
        assert each < 4096, f"{each:.0f} octets each"
        assert among < 2 * alone + 0.001, f"{among * 1e6:.0f} us among them, {alone * 1e6:.0f} us alone"
        print(f"{each:.0f} octets each; {alone * 1e6:.0f} us alone, {among * 1e6:.0f} us among them")
        for client in clients:
            client.close()
        eventually(lambda: served.descriptors < 100, 60)
        assert median_time(quick) < 2 * alone + 0.001


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("run", ["green"], indirect=True)
def test_5_000_requests_that_wait_at_once_cost_little(run: Callable[..., Running]) -> None:
    """On green only: on threads each has a thread, and these are as many as one allows."""
    served = run("--concurrency", "6000")
    with served.client() as quick:
        alone = median_time(quick)
        before, threads = served.rss, served.threads
        clients = [served.client().send(request("GET", "/wait")) for _ in range(5_000)]
        eventually(lambda: quick.send(request("GET", "/held")).response().body == b"5000", 60)
        each = (served.rss - before) / len(clients)
        among = median_time(quick)
        assert served.threads <= threads
        assert each < 12_288, f"{each:.0f} octets each"
        assert among < 2 * alone + 0.001, f"{among * 1e6:.0f} us among them, {alone * 1e6:.0f} us alone"
        print(f"{each:.0f} octets each; {alone * 1e6:.0f} us alone, {among * 1e6:.0f} us among them")
        assert quick.send(request("GET", "/open")).response().status == 200
        for client in clients:
            assert client.response().status == 200
            client.close()


def test_500_clients_that_drip_their_heads_hold_no_thread(run: Callable[..., Running]) -> None:
    served = run("--threads", "2", "--concurrency", "2", "--header-timeout", "60")
    with served.client() as quick:
        alone = median_time(quick)
        threads = served.threads
        head = request("GET", "/slow", "X: " + "y" * 30)
        clients = [served.client() for _ in range(500)]
        for at in range(len(head) - 1):
            for client in clients:
                client.send(head[at : at + 1])
        assert served.threads <= threads + 1
        assert median_time(quick) < 3 * alone + 0.001
        for client in clients:
            assert client.send(head[-1:]).response().status == 200
            client.close()


@pytest.mark.parametrize("framing", ["chunked", "sized"])
def test_an_upload_of_100_mb_that_is_read_in_pieces_stays_small(
    run: Callable[..., Running], framing: str
) -> None:
    served = run()
    piece = bytes(MB)
    with served.client() as client:
        assert client.send(request("POST", "/", body=piece)).response().body == b"%d" % MB
        before = most = served.rss
        field = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {100 * MB}"
        client.send(request("POST", "/", field))
        for _ in range(100):
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" else piece)
            most = max(most, served.rss)
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert client.response().body == b"%d" % (100 * MB)
        most = max(most, served.rss)
        assert most - before < 10 * MB, f"grew by {(most - before) / MB:.1f} MB"
        print(f"grew by {(most - before) / MB:.1f} MB")
