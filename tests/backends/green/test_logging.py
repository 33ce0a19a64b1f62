"""Who waits for a log handler on green: whoever says something, but for the hub."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from serving import Kit, Served, echo
from wire import PATIENCE, eventually, request

from dualwsgi import green

Serve = Callable[..., Served]

BAD = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture(params=["green"])
def backend(request: pytest.FixtureRequest) -> str:
    """Where the standard library is cooperative, as here, a handler waits by switching to the hub."""
    return str(request.param)


class Slow(logging.Handler):
    """A handler that is busy until a test says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def createLock(self) -> None:  # the standard library's name
        self.lock = green.RLock()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage())


@pytest.fixture
def handler(kit: Kit) -> Iterator[Slow]:
    handler = Slow()
    logger = logging.getLogger("dualwsgi")
    logger.removeFilter(kit.log)  # it keeps everything from the handlers
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_busy_log_keeps_only_those_of_whom_it_shall_be_told(serve: Serve, handler: Slow) -> None:
    served = serve(echo)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with handler.lock:  # type: ignore[union-attr]
            held.set()
            assert free.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(PATIENCE)
    bad = served.client()
    try:
        bad.send(BAD)
        eventually(lambda: served.server.look().calls)  # it waits, in a greenlet
        assert served.ask(request("GET", "/on")).body == b"GET /on "
        assert handler.records == []
    finally:
        free.set()
        thread.join()
    assert bad.response().status == 400
    assert handler.records == ["127.0.0.1: 400, no Host field"]


def test_the_hub_itself_waits_for_no_handler(serve: Serve, handler: Slow) -> None:
    served = serve(echo)
    hub = served.server._backend._hub  # type: ignore[union-attr]
    with handler.lock:  # type: ignore[union-attr]
        hub.call_threadsafe(logging.getLogger("dualwsgi").error, "from the hub")
        assert served.ask(request("GET", "/on")).body == b"GET /on "
        assert handler.records == []
    assert eventually(lambda: handler.records) == ["from the hub"]
