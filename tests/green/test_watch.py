"""The watcher of a held hub."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dualwsgi import green
from dualwsgi.green import Held, Hub


def hold(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def hold_elsewhere(seconds: float) -> None:
    time.sleep(seconds)  # a call that blocks is as bad


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        green.sleep(0.005)


def test_who_holds_the_hub_is_named_once_a_place_with_stack_and_work(hub: Hub) -> None:
    reports: list[tuple[Held, int]] = []
    watch = green.watch(
        lambda held: reports.append((held, threading.get_ident())),
        threshold=0.03,
        doing=lambda frame: f"GET /{frame.f_code.co_name}",
    )
    try:
        until(lambda: green.spawn(hold, 0.09).join() and watch.held >= 2)
        assert len(reports) == 1
        held, thread = reports[0]
        assert held.place.endswith("test_watch.py:hold") and held.doing == "GET /hold"
        assert held.seconds >= 0.03 and "in hold" in held.stack and "while time.monotonic" in held.stack
        assert thread != threading.get_ident()
        assert watch.longest >= 0.03
        until(lambda: green.spawn(hold_elsewhere, 0.09).join() and len(reports) == 2)
        assert reports[1][0].place.endswith(":hold_elsewhere")
    finally:
        watch.stop()


def test_an_idle_hub_and_short_work_are_not_reported_and_cost_no_wake_ups(hub: Hub) -> None:
    reports: list[Held] = []
    watch = green.watch(reports.append, threshold=5.0)  # a busy machine holds a hub, too
    try:
        for _ in range(20):
            hold(0.002)
            green.sleep(0.002)
        assert not reports
    finally:
        watch.stop()
    watch = green.watch(reports.append, threshold=0.05)
    try:
        # Asleep: after two looks the watcher waits to be roused.
        waiter = green.Waiter(hub)
        timer = threading.Timer(0.3, waiter.wake)
        timer.start()
        roused: list[float] = []
        rouse = watch._ring
        watch._ring = lambda: (roused.append(time.monotonic()), rouse())  # type: ignore[method-assign, assignment]
        waiter.wait(5)
        timer.join()
        green.sleep(0)
        assert len(roused) == 1
        # On a busy machine the watcher may sleep through a short one.
        until(lambda: green.spawn(hold, 0.15).join() and any(":hold" in held.place for held in reports))
    finally:
        watch.stop()


def test_a_reporter_that_raises_does_not_end_the_watch(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(held: Held) -> None:
        raise KeyError("reporter")

    watch = green.watch(fail, threshold=0.02)
    try:
        until(lambda: green.spawn(hold, 0.06).join() and watch.held >= 1)
        until(lambda: green.spawn(hold_elsewhere, 0.06).join() and watch.held >= 2)
    finally:
        watch.stop()
    assert "KeyError: 'reporter'" in capsys.readouterr().err


def test_the_threshold_must_be_positive(hub: Hub) -> None:
    with pytest.raises(ValueError):
        green.watch(print, threshold=0)


def test_it_goes_on_in_the_child_of_a_fork(isolated: Callable[..., str]) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import os, time
        reports = []
        watch = green.watch(reports.append, threshold=0.03)
        def hold():
            end = time.monotonic() + 0.1
            while time.monotonic() < end: pass
        pid = os.fork()
        with green.Timeout(20):
            while not reports:
                green.spawn(hold).join()
                time.sleep(0.005)
        assert reports[0].place.endswith(":hold")
        if not pid:
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        warnings="ignore",  # a fork beside the watcher's thread
    )
