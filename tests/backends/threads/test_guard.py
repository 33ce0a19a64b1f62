"""Raising an exception in another thread: where it is meant, and not where a lock would be left behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wire import eventually

from dualwsgi import RequestTimeout
from dualwsgi.backends.threads.guard import CallGuard, Stretch

from ..world import Gate


class Call:
    """A thread that does something in a stretch of its own, and says what it met there and after."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.guard = CallGuard()
        self.met: list[BaseException] = []
        self.met_after: list[BaseException] = []
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.guard.enter()
            try:
                self._act()
            finally:
                self.guard.leave()
        except RequestTimeout as error:
            self.met.append(error)
        try:
            for _ in range(1000):
                pass
        except RequestTimeout as error:
            self.met_after.append(error)

    def stretch(self) -> Stretch:
        return eventually(lambda: self.guard.stretch)

    def join(self) -> None:
        self._thread.join()
        assert not self.met_after


class Slow(logging.Handler):
    """Takes until the gate is open to write a line."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    def emit(self, record: logging.LogRecord) -> None:
        self.gate.wait()


@pytest.fixture
def slow() -> Iterator[Slow]:
    handler = Slow(Gate())
    logger = logging.getLogger("guarded")
    logger.propagate = False
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_thread_that_logs_is_interrupted_once_it_has_done_so(slow: Slow) -> None:
    over = threading.Event()

    def log_and_go_on() -> None:
        logging.getLogger("guarded").error("a line")
        while not over.wait(0.0005):
            pass

    call = Call(log_and_go_on)
    slow.gate.expect()
    assert not call.guard.interrupt(call.stretch())
    assert not call.met
    slow.gate.open()
    assert eventually(lambda: call.guard.interrupt(call.stretch()))
    try:
        assert eventually(lambda: call.met)
    finally:
        over.set()
        call.join()
    assert slow.lock is not None
    assert slow.lock.acquire(timeout=5)  # type: ignore[call-arg]  # seconds; else all threads would wait for ever
    slow.lock.release()


def test_an_interruption_on_its_way_is_withdrawn_when_the_stretch_ends() -> None:
    gate = Gate()
    call = Call(gate.wait)
    gate.expect()
    assert call.guard.interrupt(call.stretch())
    gate.open()
    call.join()
    assert len(call.met) <= 1  # in the stretch, where it was just in time, or nowhere


def test_nobody_is_interrupted_by_an_old_stretch() -> None:
    call = Call(lambda: None)
    old = call.stretch()
    call.join()
    assert call.guard.interrupt(old)
    assert call.guard.interrupt(None)
    assert not call.met
