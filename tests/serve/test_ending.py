"""A process that was told to stop ends, whatever the application keeps it with, and says what that was."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import PATIENCE, Fleet
from serving import Gate, Served, answering
from wire import Client, eventually, request

APP = """\
import atexit, os, threading
from dualwsgi.serve import server, worker
server.END_MARGIN = worker.END_MARGIN = 0.1

def wait_long():
    threading.Event().wait(60)

def hook(server):
    threading.Event().wait(60)

def app(environ, start_response):
    start_response('200 OK', [])
    return [b'served']

def computing(environ, start_response):
    print('computing', flush=True)
    while True:
        pass

def closing(environ, start_response):
    start_response('200 OK', [])
    for number in os.listdir('/proc/self/fd'):
        try:
            if environ['PATH_INFO'] == '/close' and 'eventpoll' in os.readlink('/proc/self/fd/' + number):
                os.close(int(number))
        except OSError:
            pass
    return [str(os.getpid()).encode()]

what = {what!r}
if what == 'a thread':
    threading.Thread(target=wait_long, name='keeper').start()
if what == 'atexit':
    atexit.register(wait_long)
if what == 'closing':
    app = closing
if what == 'a call':
    app = computing
"""

Start = Callable[..., Fleet]


@pytest.fixture
def start(tmp_path: Path, backend: str) -> Iterator[Start]:
    fleets: list[Fleet] = []

    def run(what: str, *options: str) -> Fleet:
        (tmp_path / "keeping.py").write_text(APP.format(what=what))
        common = ("--bind", "127.0.0.1:0", "--backend", backend, "--graceful-timeout", "0.1")
        fleets.append(Fleet(tmp_path, *common, *options, target="keeping:app"))
        return fleets[-1]

    yield run
    for fleet in fleets:
        fleet.kill()


HOOK = "--worker-stopped", "keeping:hook"
AT_HOOK = r"MainThread at .*keeping.py:\d+, in hook"


@pytest.mark.parametrize(
    ("what", "told", "options"),
    [
        ("a thread", "keeper", ()),
        ("atexit", ".*", ()),
        ("", AT_HOOK, HOOK),
    ],
)
def test_what_keeps_a_process_keeps_it_no_longer_than_the_grace_time(
    start: Start, what: str, told: str, options: tuple[str, ...]
) -> None:
    fleet = start(what, *options)
    fleet.serves()
    assert fleet.stop() == 1
    assert re.search(rf"process {fleet.pid} was told to stop and is ended now.*; kept by {told}", fleet.log)


def test_a_worker_ends_by_itself_and_says_what_has_kept_it(start: Start) -> None:
    fleet = start("a thread", "--supervise")
    fleet.serves()
    assert fleet.stop() == 0
    assert re.search(r"process \d+ was told to stop.*; kept by keeper", fleet.log)
    assert "was ended, as it had not left within the grace time: what kept it stands above" in fleet.log


@pytest.mark.parametrize("backend", ["green"], indirect=True)  # on threads others look for signals
def test_a_call_that_computes_for_ever_keeps_no_process(start: Start) -> None:
    fleet = start("a call", "--max-blocking-time", "0")
    with Client(fleet.serves()) as client:
        client.send(request())
        fleet.says("computing")
        fleet.signal(signal.SIGTERM)
        eventually(lambda: fleet.process.poll() is not None)
    assert fleet.process.poll() == 1
    assert re.search(r"; kept by MainThread at .*keeping.py:\d+, in computing", fleet.log)


def test_a_server_whose_descriptors_are_closed_does_not_live_on_serving_nobody(start: Start) -> None:
    fleet = start("closing")
    with Client(fleet.serves()) as client:
        client.send(request("GET", "/close"))
        eventually(lambda: fleet.process.poll() is not None)
    assert fleet.process.poll() == 1
    # The number may be another file's by then, which cannot be polled.
    told = r"has closed a descriptor of the server's own, which can serve no more: \[Errno (9|22)\]"
    assert re.search(told, fleet.log)


def test_a_worker_whose_descriptors_are_closed_gets_a_successor(start: Start) -> None:
    fleet = start("closing", "--supervise")
    address = fleet.serves()
    with Client(address) as client:
        client.send(request("GET", "/close"))
        fleet.says("exited with code 1, though nobody told it to; another is started at once")
    fleet.says("is ready", times=2)
    with Client(address, patience=PATIENCE) as client:
        assert int(client.send(request()).response().body) in fleet.ready()


@pytest.mark.parametrize(("grace", "why"), [(0.0, "stopping at once"), (0.01, "the grace time is over")])
def test_a_stop_names_what_it_cuts_off(
    serve: Callable[..., Served], gate: Gate, said: Callable[[], list[str]], grace: float, why: str
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return answering()(environ, start_response)

    served = serve(app)
    served.client().send(request("GET", "/slow"))
    gate.expect()
    threading.Timer(0.05, gate.open).start()
    assert not served.stop(grace)
    told = said()[0]
    assert told == f"{why}; cut off: requests in hand 1 (127.0.0.1 GET /slow), other connections 0"
