"""GreenThread: outcomes, links, killing, sleeping."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
import weakref

import pytest

from dualwsgi import green
from dualwsgi.green import GreenletExit, Hub


def test_spawn_runs_in_the_next_turn_in_order(hub: Hub) -> None:
    seen: list[int] = []
    threads = [green.spawn(seen.append, n) for n in range(3)]
    assert seen == []
    assert green.join_all(threads)
    assert seen == [0, 1, 2]


def test_get_returns_the_value_or_raises_the_error(hub: Hub) -> None:
    assert green.spawn(pow, 2, 5, mod=7).get() == 4
    error = ValueError("x")

    def fail() -> None:
        raise error

    thread = green.spawn(fail)
    with pytest.raises(ValueError) as caught:
        thread.get()
    assert caught.value is error is thread.exception
    assert thread.finished and thread.value is None and thread.dead
    with pytest.raises(ValueError):
        thread.get()


def test_join_and_get_take_a_timeout(hub: Hub) -> None:
    thread = green.spawn(green.sleep, 10)
    assert thread.join(0.005) is False
    with pytest.raises(TimeoutError):
        thread.get(0.005)
    assert not green.join_all([thread], 0.005)
    thread.kill()
    assert thread.join(0) is True


def test_an_error_nobody_asks_for_is_reported_once(hub: Hub) -> None:
    reported: list[tuple[object, BaseException]] = []
    hub.on_error = lambda where, error: reported.append((where, error))
    thread = green.spawn(int, "x")
    green.sleep(0.001)
    assert reported == [(thread, thread.exception)]
    asked = green.spawn(int, "x")
    assert asked.join()
    assert len(reported) == 1


def test_links_are_called_with_their_arguments_before_and_after_the_end(hub: Hub) -> None:
    seen: list[object] = []

    def note(thread: green.GreenThread, *args: object, **kwargs: object) -> None:
        seen.append((thread.value, args, kwargs))

    thread = green.spawn(abs, -1)
    thread.link(note, 1, key=2)
    thread.link(note, 9)
    assert thread.unlink(note, 9)
    assert not thread.unlink(note, 9)
    thread.join()
    green.sleep(0)
    assert seen == [(1, (1,), {"key": 2})]
    thread.link(note, 3)
    green.sleep(0)
    assert seen[1:] == [(1, (3,), {})]


def test_kill_raises_where_it_waits_and_waits_for_the_end(hub: Hub) -> None:
    seen: list[BaseException] = []

    def work() -> None:
        try:
            green.sleep(10)
        except BaseException as error:
            seen.append(error)
            green.sleep(0.001)
            raise

    thread = green.spawn(work)
    green.sleep(0)
    thread.kill()
    assert thread.finished and isinstance(seen[0], GreenletExit)
    thread.kill()
    other = green.spawn(work)
    green.sleep(0)
    other.kill(KeyError("x"))
    assert isinstance(other.exception, KeyError)


def test_a_killed_one_may_go_on(hub: Hub) -> None:
    def stubborn() -> str:
        try:
            green.sleep(10)
        except GreenletExit:
            green.sleep(0.001)
        return "done"

    thread = green.spawn(stubborn)
    green.sleep(0)
    thread.kill(block=False)
    assert not thread.finished
    assert thread.get() == "done"


def test_one_that_has_not_started_never_runs(hub: Hub) -> None:
    seen: list[int] = []
    for thread in (green.spawn(seen.append, 1), green.spawn_after(0.001, seen.append, 2)):
        thread.kill()
        with pytest.raises(GreenletExit):
            thread.get()
    cancelled = green.spawn_after(0.001, seen.append, 3)
    cancelled.cancel()
    running = green.spawn(green.sleep, 0.002)
    green.sleep(0)
    running.cancel()
    assert running.get() is None
    green.sleep(0.003)
    assert seen == []


def test_killing_oneself_raises_here(hub: Hub) -> None:
    def work() -> None:
        green.getcurrent().kill()

    thread = green.spawn(work)
    thread.join()
    assert isinstance(thread.exception, GreenletExit)
    raw = green.getcurrent()
    with pytest.raises(GreenletExit):
        green.kill(raw)


def test_another_thread_may_kill_and_join(hub: Hub) -> None:
    thread = green.spawn(green.sleep, 10)
    green.sleep(0)
    seen: list[object] = []

    def outside() -> None:
        thread.kill()
        seen.append(thread.join(5))

    other = threading.Thread(target=outside)
    other.start()
    thread.join()
    other.join()
    assert seen == [True] and isinstance(thread.exception, GreenletExit)


def test_sleep_without_a_hub_blocks_the_thread() -> None:
    seen: list[object] = []

    def work() -> None:
        began = time.monotonic()
        green.sleep(0.01)
        seen.append(time.monotonic() - began >= 0.01 and green.current_hub() is None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]


def test_sleep_refuses_what_is_negative(hub: Hub) -> None:
    with pytest.raises(ValueError):
        green.sleep(-1)


def test_what_a_thread_held_is_freed_when_it_ends(hub: Hub) -> None:
    class Thing:
        pass

    def work(thing: Thing) -> None:
        green.sleep(0)
        raise KeyError

    gc.collect()
    gc.disable()
    try:
        thing = Thing()
        ref = weakref.ref(thing)
        thread = green.spawn(work, thing)
        del thing
        thread.join()
        green.sleep(0)
        thread = None  # type: ignore[assignment]
        assert ref() is None, gc.get_referrers(ref())
    finally:
        gc.enable()


def test_each_begins_in_an_empty_context(hub: Hub) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    variable.set(1)
    assert green.spawn(variable.get).get() == 0
    assert green.spawn(contextvars.copy_context().run, variable.get).get() == 1
