"""The file of the access log: when lines are in it, that they are whole, and what moving it away does."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from serving import Kit, answering
from wire import Client, eventually, request

from dualwsgi.serve.observe import accesslog
from dualwsgi.serve.observe.accesslog import LINES_HELD, AccessLog

PEER = {"REMOTE_ADDR": "192.0.2.1"}


def lines(path: Path) -> list[str]:
    return path.read_text("latin-1").splitlines() if path.exists() else []


def test_a_line_is_in_the_file_a_moment_later_so_a_crash_loses_no_more(kit: Kit, tmp_path: Path) -> None:
    served = kit.serve(answering(), access_log=str(tmp_path / "log"))
    served.ask(request(target="/one"))
    (line,) = eventually(lambda: lines(tmp_path / "log"))
    assert '"GET /one HTTP/1.1" 200' in line


@pytest.mark.parametrize("backend", ["threads", pytest.param("green", marks=pytest.mark.soak)])
def test_a_kill_loses_at_most_the_last_second_s_lines_and_tears_none(tmp_path: Path, backend: str) -> None:
    path, options = tmp_path / "log", f"--backend {backend} --bind 127.0.0.1:0 --control-socket off"
    command = f"{sys.executable} -m dualwsgi run dualwsgi.example {options} --access-logfile {path}"
    with subprocess.Popen(command.split(), stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stderr is not None
            address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
            with Client(address) as client:
                for _ in range(30):
                    assert client.send(request(target="/early")).response().status == 404
                eventually(lambda: len(lines(path)) == 30)
                for _ in range(30):
                    assert client.send(request(target="/late")).response().status == 404
                process.kill()
        finally:
            process.kill()
            process.communicate()
    found = lines(path)
    assert sum("/early" in line for line in found) == 30
    assert path.read_text().endswith("\n")
    assert all(re.fullmatch(r'127\.0\.0\.1 .* "GET /\w+ HTTP/1\.1" 404 \d+ "-" "-"', line) for line in found)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_file_that_was_moved_away_is_begun_anew(
    tmp_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "LOOK_EVERY", 0.0)
    path, moved = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(str(path))
    log(None, PEER, "400 Bad Request", 1, 0.1)
    log.write_out()
    path.rename(moved)
    if told:
        log.reopen()
    log(None, PEER, "400 Bad Request", 2, 0.1)
    log.write_out()
    assert [line.split()[-3] for line in lines(moved)] == ["1"]
    assert [line.split()[-3] for line in lines(path)] == ["2"]
    path.unlink()
    log(None, PEER, "400 Bad Request", 3, 0.1)
    log.close()
    assert [line.split()[-3] for line in lines(path)] == ["3"]


def test_a_file_that_cannot_be_begun_anew_is_told_of_once_and_whenever_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "LOOK_EVERY", 0.0)
    path = tmp_path / "there" / "log"
    path.parent.mkdir()
    log = AccessLog(str(path))
    path.unlink()
    path.parent.rmdir()
    for _ in range(3):
        log.write_out()
    assert [record.message[:20] for record in caplog.records] == ["cannot reopen the ac"]
    log.reopen()
    log.write_out()
    assert len(caplog.records) == 2
    log.close()


def test_lines_of_many_writers_to_one_file_are_whole(tmp_path: Path) -> None:
    # Each worker has a descriptor of its own, and each of its threads adds lines.
    path, count = tmp_path / "log", 3 * LINES_HELD
    logs = [AccessLog(str(path)) for _ in range(3)]

    def write(log: AccessLog, size: int) -> None:
        for _ in range(count):
            log(None, PEER, "200 OK", size, 0.1)

    threads = [threading.Thread(target=write, args=(log, 11 + at)) for log in logs for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    found = lines(path)
    assert len(found) == len(threads) * count
    ends = {line.partition("] ")[2] for line in found}
    assert ends == {f'"-" 200 {size} "-" "-"' for size in (11, 12)}


def test_who_flushes_waits_for_no_handler_of_the_error_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # On green a handler may wait by switching, and a second flush would then keep the hub for ever.
    held: list[bool] = []
    full = True

    def write(fd: int, octets: memoryview) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(octets)

    def note(record: logging.LogRecord) -> bool:
        held.append(log._writing.locked())
        return True

    log = AccessLog(str(tmp_path / "log"))
    monkeypatch.setattr(accesslog, "write", write)
    monkeypatch.setattr(caplog.handler, "filters", [note])
    log(None, PEER, "200 OK", 1, 0.1)
    log.write_out()
    full = False
    log(None, PEER, "200 OK", 1, 0.1)
    log.close()
    assert [record.message.partition(" (")[0].partition(";")[0] for record in caplog.records] == [
        "cannot write the access log",
        "the access log is written again",
    ]
    assert held == [False, False]


def test_a_syslog_daemon_that_was_started_anew_gets_the_lines_that_come_then(tmp_path: Path) -> None:
    path = tmp_path / "daemon"

    def listen() -> socket.socket:
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        daemon.bind(str(path))
        daemon.setblocking(False)
        return daemon

    def say(size: int) -> None:
        log(None, PEER, "200 OK", size, 0.1)
        log.write_out()

    with listen() as daemon:
        log = AccessLog(f"syslog:{path}")
        say(1)
        assert b" 200 1 " in daemon.recv(1000)
    path.unlink()
    say(2)
    say(3)
    with listen() as daemon:
        say(4)
        assert b" 200 4 " in daemon.recv(1000)
        log.close()
        say(5)  # a call that outlives its server: no descriptor is opened for it
    assert log._fd == -1


def test_a_pipe_that_nobody_reads_keeps_no_request_and_it_is_told_how_many_lines_are_lost(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "HELD_MOST", 100_000)
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        served = kit.serve(answering(), access_log=str(fifo))
        log = served.server._watchers.log
        assert log is not None
        client, sent = served.client(), 0
        while not log._dropped:
            client.send(50 * request()).responses(50)
            sent += 50
        assert log._held <= 100_000
        read, told = b"", [""]

        def missing() -> int:
            nonlocal read
            read += reader.read() or b""
            told[0] += "\n".join(served.said())
            found = re.findall(r"written again; (\d+) lines are missing", told[0])
            return sum(map(int, found)) if not log._waiting else 0

        lost = eventually(missing)
        told[0] += "\n".join(eventually(served.said)) if "nobody reads it" not in told[0] else ""
        client.leave()
        served.stop()
        read += reader.read() or b""
    assert read.count(b"\n") + lost == sent
    assert "nobody reads it" in told[0]


def test_a_pipe_that_stays_unread_keeps_no_server_from_its_end(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "LAST_PATIENCE", 0.01)
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        served = kit.serve(answering(), access_log=str(fifo))
        client = served.client()
        for _ in range(30):
            client.send(50 * request()).responses(50)
        client.leave()
        served.stop()
        (told,) = served.said()
        lost = int(re.findall(r"without its last (\d+) lines", told)[0])
        read: list[bytes] = []

        def is_over() -> bool:  # its thread ends when somebody reads
            piece = reader.read()
            read.append(piece or b"")
            return piece == b""

        eventually(is_over)
        assert 0 < lost <= 1500
        assert b"".join(read).count(b"\n") >= 1500 - lost
