"""Application code that runs where no request of its own does: whoever waits there, others are served."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Gate, Kit, Served, echo
from wire import PATIENCE, eventually, request

from dualwsgi.serve.observe import accesslog

Serve = Callable[..., Served]
Said = Callable[[], list[str]]

SHORT = 0.2
BAD = b"GET / HTTP/1.1\r\n\r\n"


def sending(path: Path, gate: Gate) -> Callable[..., Any]:
    """/file sends a file whose close() waits at the gate, anything else is echoed."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] != "/file":
            return echo(environ, start_response)
        start_response("200 OK", [])
        file = open(path, "rb")
        wrapper = environ["wsgi.file_wrapper"](file)

        def close() -> None:
            gate.wait()
            file.close()

        wrapper.close = close
        return wrapper

    return app


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(50_000_000)
    return path


def test_a_cut_response_whose_close_waits_holds_up_nobody(serve: Serve, large: Path, gate: Gate) -> None:
    served = serve(sending(large, gate), write_timeout=SHORT)
    stalled = served.client().send(request("GET", "/file"))
    gate.expect()
    try:
        for _ in range(3):
            assert served.ask(request("GET", "/on")).body == b"GET /on "
    finally:
        gate.open()
    eventually(lambda: not gate.waiting)
    stalled.close()


@pytest.mark.parametrize("backend", ["threads"], indirect=True)  # on green a native pipe holds the hub
def test_an_access_log_that_nobody_reads_holds_up_nobody(
    serve: Serve, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "LAST_PATIENCE", 0.1)
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    served = serve(echo, access_log=str(pipe), body_timeout=0.05)
    full = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(full, b"x" * 4096)
    os.close(full)
    try:
        client = served.client()
        for _ in range(20):  # at one sweep or another there is something to write
            assert client.send(request("GET", "/on")).response().body == b"GET /on "
            assert client.silent(0.01)
        log = served.server._watchers.log
        assert served.stop()
        eventually(lambda: log._fd < 0 or _drain(reader))  # type: ignore[union-attr]
    finally:
        os.close(reader)
    assert said() == ["the access log ends without its last 20 lines, which could not be written"]


def _drain(reader: int) -> None:
    try:
        os.read(reader, 65536)
    except BlockingIOError:
        pass


class Waiting(logging.Handler):
    """A handler that waits at a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate
        self.records: list[str] = []

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)  # and holds no lock meanwhile
        return True

    def emit(self, record: logging.LogRecord) -> None:
        self._gate.wait()
        self.records.append(record.getMessage())


@pytest.fixture
def handler(kit: Kit, gate: Gate) -> Iterator[Waiting]:
    handler = Waiting(gate)
    logger = logging.getLogger("dualwsgi")
    logger.removeFilter(kit.log)  # it keeps everything from the handlers
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_log_that_waits_keeps_nobody_who_has_nothing_to_say(
    serve: Serve, handler: Waiting, gate: Gate
) -> None:
    served = serve(echo)
    bad = served.client().send(BAD)
    gate.expect()
    try:
        for _ in range(3):
            assert served.ask(request("GET", "/on")).body == b"GET /on "
        assert handler.records == []
    finally:
        gate.open()
    assert bad.response().status == 400
    eventually(lambda: handler.records == ["127.0.0.1: 400, no Host field"], PATIENCE)
