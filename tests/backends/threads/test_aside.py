"""What a leader has done by another thread: in order, all of it, and here where there is no other place."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from wire import PATIENCE, eventually

from dualwsgi.backends.threads import aside as module
from dualwsgi.backends.threads.aside import Aside

from ..world import Gate


@pytest.fixture
def aside() -> Iterator[Aside]:
    aside = Aside("dualwsgi-test")
    yield aside
    aside.close(PATIENCE)


def test_things_are_done_in_order_by_one_thread(aside: Aside) -> None:
    done: list[tuple[int, str]] = []
    for number in range(100):
        aside.do(lambda number=number: done.append((number, threading.current_thread().name)))
    aside.close(PATIENCE)
    assert done == [(number, "dualwsgi-test") for number in range(100)]


def test_what_is_to_be_done_once_waits_once(aside: Aside) -> None:
    gate, done = Gate(), []
    aside.do(gate.wait)
    gate.expect()

    def act() -> None:
        done.append(1)

    for _ in range(3):
        aside.do(act, once=True)
    gate.open()
    aside.close(PATIENCE)
    assert done == [1]


def test_one_that_fails_keeps_none_from_being_done(aside: Aside, caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    aside.do(lambda: 1 // 0)
    aside.do(lambda: done.append(1))
    aside.close(PATIENCE)
    assert done == [1]
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


def test_a_log_that_does_not_keep_up_loses_lines_and_says_how_many(
    aside: Aside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LINES", 3)
    gate, told = Gate(), []
    aside.do(gate.wait)
    gate.expect()
    for number in range(10):
        aside.tell(told.append, number)
    gate.open()
    eventually(lambda: "7 lines of this log are missing" in caplog.text)
    assert told == [0, 1, 2]


def test_without_a_thread_it_is_done_at_once(aside: Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        aside.do(lambda: done.append(1))
        assert done == [1]
    aside.do(lambda: done.append(2))
    eventually(lambda: done == [1, 2])


def test_after_the_end_it_is_done_at_once(aside: Aside) -> None:
    done: list[int] = []
    aside.close(PATIENCE)
    aside.do(lambda: done.append(1))
    assert done == [1]


def test_the_end_waits_no_longer_than_it_may(aside: Aside) -> None:
    gate, done = Gate(), []
    aside.do(gate.wait)
    gate.expect()
    aside.do(lambda: done.append(1))
    aside.close(0.01)
    assert done == []
    gate.open()
    eventually(lambda: done == [1])


def test_a_thread_with_nothing_to_do_goes_and_another_comes(
    aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_TIME", 0.01)
    names: set[int] = set()
    aside.do(lambda: names.add(threading.get_ident()))
    eventually(lambda: not aside._has_thread)
    aside.do(lambda: names.add(-1))
    eventually(lambda: -1 in names)
