"""Logs that nobody reads: who writes goes on, requests are served, and a stop is no slower than it may be."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wire import PATIENCE, Client, eventually, request

from dualwsgi.serve import nonblocking
from dualwsgi.serve.nonblocking import NonBlockingWriter as Writer

SMALL = 4096  # octets; the least that a pipe can be made to hold


class Pipe:
    """A pipe that holds little; `end` is where to write."""

    def __init__(self) -> None:
        self._reader, self.end = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, SMALL)
        os.set_blocking(self._reader, False)

    def fill(self) -> None:
        with open(f"/proc/self/fd/{self.end}", "wb", buffering=0, opener=_without_waiting) as file:
            while file.write(b"#" * SMALL):
                pass

    def read(self) -> str:
        """What is in it, but for what filled it."""
        found = b""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reader, 65536):
                found += data
        return found.replace(b"#", b"").decode()

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.end)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    monkeypatch.setattr(nonblocking, "LAST_PATIENCE", 0.1)
    pipe = Pipe()
    yield pipe
    pipe.read()  # whoever waits for room has it
    pipe.close()


@pytest.fixture(params=["its own way there", "another user's pipe"])
def out(pipe: Pipe, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    if request.param != "its own way there":
        monkeypatch.setattr(Writer, "_look", lambda _: None)  # it finds no way
    out = Writer(pipe.end)
    yield out
    eventually(lambda: pipe.read() or not out._waiting)


def read_all(pipe: Pipe, end: str) -> str:
    """Reads until that has come."""
    found = ""

    def has_come() -> bool:
        nonlocal found
        found += pipe.read()
        return found.endswith(end)

    eventually(has_come)
    return found


def test_what_goes_in_is_there_at_once(pipe: Pipe, out: Writer) -> None:
    out.write(b"one\n")
    out.write(b"two\n")
    assert read_all(pipe, "two\n") == "one\ntwo\n"


def test_who_writes_waits_for_no_reader_and_what_is_held_comes_in_order(pipe: Pipe, out: Writer) -> None:
    pipe.fill()
    for number in range(10):
        out.write(b"%d\n" % number)
    out.settle()  # which takes a moment, and not more
    assert read_all(pipe, "9\n") == "".join(f"{number}\n" for number in range(10))


def test_what_nobody_reads_is_bounded_and_what_is_missing_is_told(
    pipe: Pipe, out: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonblocking, "PIECES_MOST", 4)
    pipe.fill()
    for number in range(10):
        out.write(b"%d\n" % number)
    assert (
        read_all(pipe, "read them\n")
        == "0\n1\n2\n3\ndualwsgi: 6 messages are missing here: nobody has read them\n"
    )


def test_a_text_longer_than_a_pipe_arrives_whole(pipe: Pipe, out: Writer) -> None:
    text = "".join(f"line {number}\n" for number in range(5000))
    out.write(text.encode())
    out.write(b"end\n")
    assert read_all(pipe, "end\n") == text + "end\n"


def test_where_threads_are_not_to_be_had_the_lines_come_all_the_same(
    pipe: Pipe, out: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(nonblocking, "start_native", start)
    out.write(b"raise the limit of processes\n")
    assert pipe.read() == "raise the limit of processes\n"


def test_a_reader_that_has_died_is_no_reason_to_fail(out: Writer) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    dead = Writer(writer)
    dead.write(b"is anybody there?\n")
    eventually(lambda: not dead._waiting)
    os.close(writer)


def test_a_socket_such_as_the_journals_is_waited_for_by_nobody() -> None:
    here, there = socket.socketpair()
    out = Writer(here.fileno())
    for number in range(1000):
        out.write(b"%04d%s\n" % (number, b"x" * 1000))
    out.write(b"end\n")
    found = b""
    while not found.endswith(b"end\n"):
        found += there.recv(65536)
    assert [int(line[:4]) for line in found.splitlines()[:-1]] == list(range(1000))
    there.close()
    here.close()
    out.write(b"")  # it finds that the number is closed, and lets go of its own
    out._sock.detach() if out._sock is not None else None


def test_a_program_may_send_its_output_elsewhere(pipe: Pipe, out: Writer, tmp_path: Path) -> None:
    out.write(b"to the pipe\n")
    assert read_all(pipe, "pipe\n") == "to the pipe\n"
    kept = os.dup(pipe.end)
    with open(tmp_path / "file", "wb") as file:
        os.dup2(file.fileno(), pipe.end)
    out.write(b"to the file\n")
    eventually(lambda: (tmp_path / "file").read_text() == "to the file\n")
    os.dup2(kept, pipe.end)
    os.close(kept)
    out.write(b"and back\n")
    assert read_all(pipe, "back\n") == "and back\n"


def test_nothing_goes_to_a_file_that_has_got_the_number_of_one_closed_by_a_program(
    pipe: Pipe, tmp_path: Path
) -> None:
    out = Writer(pipe.end)
    out.write(b"first\n")
    os.close(out._own)
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    assert file == out._own
    out.write(b"second\n")
    os.close(file)
    assert pipe.read() == "first\nsecond\n"
    assert (tmp_path / "file").read_text() == ""


def test_a_signal_handler_may_write_while_its_thread_does(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Writer(pipe.end)
    look = out._look

    def look_and_be_interrupted() -> None:
        monkeypatch.setattr(out, "_look", look)
        out.write(b"inner\n")
        look()

    monkeypatch.setattr(out, "_look", look_and_be_interrupted)
    out.write(b"outer\n")
    assert pipe.read() == "outer\ninner\n"


def test_a_forked_child_repeats_nothing(pipe: Pipe) -> None:
    out = Writer(pipe.end)
    pipe.fill()
    out.write(b"the parent's\n")
    child = os.fork()
    if not child:
        try:
            out.write(b"")
            os._exit(len(out._waiting))
        finally:
            os._exit(99)
    assert os.waitpid(child, 0)[1] == 0
    assert read_all(pipe, "parent's\n") == "the parent's\n"


def test_the_streams_of_a_program_are_put_back(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    before = io.TextIOWrapper(
        open(pipe.end, "wb", closefd=False), "ascii", "backslashreplace", line_buffering=True
    )
    own = io.StringIO()
    monkeypatch.setattr(sys, "stderr", before)
    monkeypatch.setattr(sys, "__stderr__", before)
    monkeypatch.setattr(sys, "stdout", own)
    put_back = nonblocking.lay_streams()
    assert sys.stdout is own
    assert sys.stderr is not before
    assert (sys.stderr.fileno(), sys.stderr.encoding) == (pipe.end, "ascii")
    pipe.fill()
    print("\N{SNOWMAN}", file=sys.stderr)
    reader = threading.Timer(0.02, lambda: found.append(pipe.read()))
    found: list[str] = []
    reader.start()
    put_back()
    reader.join()
    assert "".join(found) + pipe.read() == "\\u2603\n"
    assert sys.stderr is before


# For real

APP = """\
import logging, os, sys
from dualwsgi.serve import nonblocking
nonblocking.LAST_PATIENCE = 0.1
def app(environ, start_response):
    print('x' * 5000, file=sys.stderr)
    print('x' * 10000)
    print('x' * 5000, file=environ['wsgi.errors'])
    logging.error('x' * 5000)
    logging.getLogger('dualwsgi').error('x' * 5000)
    if environ['PATH_INFO'] == '/fail':
        raise ValueError('x' * 5000)
    start_response('200 OK', [])
    return [b'served']
"""


@pytest.fixture
def serve(pipe: Pipe, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a server whose output nobody reads, at ./sock; what still runs at the end is killed."""
    (tmp_path / "unread.py").write_text(APP)
    pipe.fill()
    servers: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dualwsgi", "run", "unread:app", "--bind", "unix:sock", *options]
        server = subprocess.Popen(
            command, cwd=tmp_path, stdout=pipe.end, stderr=pipe.end, start_new_session=True
        )
        servers.append(server)
        eventually(lambda: (tmp_path / "sock").exists() or server.poll() is not None, PATIENCE)
        return server

    yield start
    for server in servers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def ask(path: Path) -> None:
    for target, status in [("/", 200), ("/fail", 500), ("/", 200)]:
        with Client(f"unix:{path}", patience=PATIENCE) as client:
            assert client.send(request("GET", target)).response().status == status


def test_who_serves_waits_for_no_reader_and_stops_when_it_is_told(
    backend: str, serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    server = serve("--backend", backend)
    ask(tmp_path / "sock")
    server.send_signal(signal.SIGTERM)
    assert server.wait(PATIENCE) == 0


def test_so_do_a_supervisor_and_its_workers(
    serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    server = serve("--workers", "green:1,threads:1")
    ask(tmp_path / "sock")
    server.send_signal(signal.SIGTERM)
    assert server.wait(PATIENCE) == 0


def test_a_named_pipe_is_waited_for_by_nobody_who_logs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    number = nonblocking.open_for_log(str(tmp_path / "log"))  # nobody reads yet
    out = Writer(number)
    out.write(b"early\n")
    with open(tmp_path / "log", "rb", buffering=0) as reader:
        assert reader.read(100) == b"early\n"
    out.write(b"between\n")  # one reader has gone, another comes
    with open(tmp_path / "log", "rb", buffering=0) as reader:
        assert reader.read(100) == b"between\n"
    os.close(number)
