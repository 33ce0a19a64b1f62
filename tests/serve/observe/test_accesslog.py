"""The file of the access log: when lines are in it, that they are whole, and what moving it away does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from serving import Kit, answering
from wire import eventually, request

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


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_file_that_was_moved_away_is_begun_anew(
    tmp_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "LOOK_EVERY", 0.0)
    path, moved = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(str(path))
    log(None, PEER, "400 Bad Request", 1, 0.1)
    log.flush()
    path.rename(moved)
    if told:
        log.reopen()
    log(None, PEER, "400 Bad Request", 2, 0.1)
    log.flush()
    assert [line.split()[-3] for line in lines(moved)] == ["1"]
    assert [line.split()[-3] for line in lines(path)] == ["2"]
    path.unlink()
    log(None, PEER, "400 Bad Request", 3, 0.1)
    log.close()
    assert [line.split()[-3] for line in lines(path)] == ["3"]


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
