"""The dashboard on a real pseudo-terminal, against a real server: what it draws, and how it leaves.

Programs take a moment to start, so each session on a terminal shows several things.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import termios
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering
from terminal import Terminal
from wire import PATIENCE, eventually, request

from dualwsgi_cli.top.feed import Feed

on_one_backend = pytest.mark.parametrize("backend", ["threads"], indirect=True)
"""For what is about the terminal: the picture is drawn from the control socket, where backends are alike."""


@pytest.fixture
def served(kit: Kit, gate: Gate, tmp_path: Path) -> Served:
    """A server that has answered 7 requests: 5 times 200, once 404, once 500."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        if path == "/wait_here":
            gate.wait()
        status = {"/broken": "500 Internal Server Error", "/missing": "404 Not Found"}.get(path, "200 OK")
        start_response(status, [("Content-Type", "text/plain")])
        return [b"hello"]

    served = kit.serve(app, control_socket=str(tmp_path / "control.sock"))
    for target in ("/", "/item/1", "/item/2", "/item/3", "/%1b[31mred", "/missing", "/broken"):
        served.ask(request(target=target))
    return served


@on_one_backend
def test_a_server_that_stands_still_hides_no_other(kit: Kit, tmp_path: Path) -> None:
    still = tmp_path / "1.sock"  # the first that is found
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(still))
        listener.listen()
        served = kit.serve(answering(), control_socket=f"{tmp_path}/")
        feed = Feed(str(tmp_path), 0.05)
        try:
            assert eventually(feed.latest)[0]["addresses"] == [served.address]
        finally:
            feed.close()


def top(served: Served, width: int, height: int, **environ: str) -> Terminal:
    command = [sys.executable, "-m", "dualwsgi", "top", "--attach", str(served.server.control_socket)]
    return Terminal(command, width, height, environ)


def test_known_traffic_is_drawn_and_a_stuck_request_is_found_by_its_stack(served: Served, gate: Gate) -> None:
    client = served.client()
    client.send(request(target="/wait_here"))
    gate.expect()
    with top(served, 80, 24) as screen:
        before = screen.before
        text = screen.shows("requests 7 ", "2xx 5 ", "4xx 1 ", "5xx 1 ", "busy 1/", "? help", "serving")
        assert served.address in text
        assert "1 worker " in text
        assert "? help" in screen.screen.display[-1]
        assert re.search(r"running +\S+ +127\.0\.0\.1 +GET /wait_here", text)
        assert re.search(r"done +\S+ +404 127\.0\.0\.1 +GET /missing", text)
        assert termios.tcgetattr(screen.fd) != before
        screen.press("\r")
        text = screen.shows("GET /wait_here", "wait  ", "serving.py:", "Esc back")
        assert re.search(r"wait  \S+serving\.py:\d+", text), "where it is, is not cut off"
        screen.press("\x1b")
        screen.shows("REQUEST")
        gate.open()
        assert client.response().status == 200
        screen.shows("busy 0/", "requests 8 ")
        screen.press("2")
        text = screen.shows("ROUTE", "GET /item/*")
        row = next(line for line in text.splitlines() if "GET /item/*" in line)
        assert row.split()[0] == "3"
        screen.press("\r")
        screen.shows("PHASE", "application", "first byte", "the mean of ", "m measure all")
        screen.press("m")
        screen.shows("phases are measured of all requests")
        assert served.server.phase_clock == "all"
        screen.press("\x1b")
        screen.press("q")
        assert screen.exit() == 0
        assert termios.tcgetattr(screen.fd) == before
    assert screen.raw.count(b"\x1b[?1049h") == screen.raw.count(b"\x1b[?1049l") == 1
    assert screen.raw.rstrip().endswith(b"\x1b[?1049l")


def test_what_waits_for_a_lock_or_a_socket_or_computes_is_found_by_its_stack(
    kit: Kit, gate: Gate, tmp_path: Path
) -> None:
    net: Any = socket
    if kit.backend == "green":
        from dualwsgi.green import socket as net
    theirs, ours = net.socketpair()
    over = threading.Event()

    def wanting_a_lock() -> None:
        gate.wait()

    def asking_somebody() -> None:
        assert theirs.recv(1) == b"!"

    def computing() -> None:
        while not over.is_set():
            pass

    # In this order, since what computes on green lets nobody else come in.
    stuck = {"/lock": wanting_a_lock, "/upstream": asking_somebody, "/loop": computing}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        stuck[environ["PATH_INFO"]]()
        return answering()(environ, start_response)

    served = kit.serve(app, control_socket=str(tmp_path / "control.sock"))
    clients = []
    with top(served, 120, 40) as screen:
        try:
            for number, target in enumerate(stuck, 1):
                clients.append(served.client().send(request(target=target)))
                screen.shows(f"busy {number}/", f"GET {target}")
            for target, call in stuck.items():
                screen.press(f"{target}\r")  # its slash is the key that filters
                screen.until(lambda text, its=f"GET {target}": text.count("GET /") == 1 and its in text)
                screen.press("\r")
                screen.shows(call.__name__, "Esc back")
                screen.press("\x1b")
                screen.shows("REQUEST")
                screen.press("\x1b")
                screen.shows(*(f"GET {other}" for other in stuck))
        finally:
            over.set()
            gate.open()
            os.write(ours.fileno(), b"!")
        assert [client.response().status for client in clients] == [200] * len(stuck)
        screen.press("q")
        assert screen.exit() == 0
    theirs.close()
    ours.close()


@on_one_backend
def test_keys_filter_sort_pause_explain_and_change(served: Served) -> None:
    client = served.client()
    client.send(b"GET /\xc2\x9b31mraw HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.response().status in (200, 400)
    with top(served, 132, 40, NO_COLOR="1") as screen:
        screen.shows("requests 8 ", "/missing", "/broken", "%1b[31mred", "? help")
        screen.press("/missing\r")
        screen.until(lambda text: "/missing" in text and "/broken" not in text)
        screen.press("\x1b")
        screen.shows("/broken")
        screen.press("o")
        screen.shows("by newest")
        screen.press("?")
        screen.shows("its stack, where it is right now")
        screen.press("\x1b")
        screen.press("p")
        screen.shows("paused")
        served.ask()
        screen.press("3")
        screen.shows("paused", "requests 8 ", f" {os.getpid()} ", "BACKEND")
        screen.press("p")
        screen.shows("serving", "requests 9 ")
        screen.press("d")
        screen.shows("y yes  n no")
        screen.press("n")
        screen.until(lambda text: "y yes" not in text)
        assert not served.server.draining
        screen.press("-")
        screen.shows("up to 31 calls at once", "busy 0/31")
        for width, height in [(80, 24), (30, 8), (200, 50)]:
            screen.resize(width, height)
            screen.screen.reset()
            screen.shows("too small" if width < 80 else "requests 9 ")
        text = screen.until(lambda text: re.search("2xx [67] ", text) and "? help" in text.splitlines()[-1])
        assert [len(line) for line in text.splitlines()] == [200] * 50
        screen.press("1")
        screen.until(lambda text: "? help" in text.splitlines()[-1])
        screen.press("q")
        assert screen.exit() == 0
    assert not re.search(rb"\x1b\[[0-9;]*[34][0-7]m", screen.raw), "colour in spite of NO_COLOR"
    assert b"\xc2\x9b" not in screen.raw, "a control character of a client reached the terminal"


@on_one_backend
def test_a_signal_that_ends_it_also_gives_the_terminal_back(served: Served) -> None:
    with top(served, 80, 24) as screen:
        screen.shows("requests 7")
        os.kill(screen.pid, signal.SIGTERM)
        assert screen.exit() == 128 + signal.SIGTERM
        assert termios.tcgetattr(screen.fd) == screen.before
        assert screen.raw.rstrip().endswith(b"\x1b[?1049l")
    assert served.ask().status == 200


@on_one_backend
def test_without_a_terminal_it_writes_lines_until_the_server_ends(served: Served) -> None:
    command = [sys.executable, "-m", "dualwsgi", "top", "--attach", str(served.server.control_socket)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert " requests 7 " in line
            assert "\x1b" not in line
            served.stop()
            _, said = process.communicate(timeout=PATIENCE)
            assert (process.returncode, said) == (0, "")
        finally:
            process.kill()


# Two processes each.  On green there is more to it: who serves is patched, and who draws is not.
@pytest.mark.parametrize("backend", ["green", pytest.param("threads", marks=pytest.mark.soak)])
def test_run_with_a_dashboard_draws_serves_and_stops_with_it(backend: str, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "def app(environ, start_response):\n"
        "    print('printed by the application', flush=True)\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    command = f"{sys.executable} -m dualwsgi run loud --backend {backend} --bind 127.0.0.1:0 --dashboard"
    with Terminal([*command.split(), "--app-dir", str(tmp_path)], 100, 30) as screen:
        text = screen.shows("http://127.0.0.1:", backend, "requests 0 ", "q stop and quit")
        found = re.search(r"http://127\.0\.0\.1:\d+", text)
        assert found is not None
        with urllib.request.urlopen(found[0], timeout=PATIENCE) as answer:
            assert answer.read() == b"ok"
        assert "printed by" not in screen.shows("requests 1 ", "GET /")
        screen.press("4")
        text = screen.shows("printed by the application", "serves loud")
        assert text.index("serves loud") < text.index("printed by"), "as it was printed"
        screen.press("q")
        assert screen.exit() == 0


def test_a_server_that_cannot_start_under_a_dashboard_says_why(tmp_path: Path) -> None:
    command = f"{sys.executable} -m dualwsgi run nowhere_at_all:app --dashboard".split()
    with Terminal(command, 100, 30) as screen:
        assert screen.exit() == 2
    assert b"no module 'nowhere_at_all'" in screen.raw
