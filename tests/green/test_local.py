"""Greenlet-local attributes."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from dualwsgi import green
from dualwsgi.green import Hub, local


class Thing:
    pass


class Counted(local):
    made = 0
    limit = 10

    def __init__(self, start: int, *, step: int = 1) -> None:
        type(self).made += 1
        self.value = start
        self.step = step

    @property
    def twice(self) -> int:
        return self.value * 2

    @twice.setter
    def twice(self, value: int) -> None:
        self.value = value // 2

    def bump(self) -> int:
        self.value += self.step
        return self.value


def test_each_greenlet_has_its_own(hub: Hub) -> None:
    mine: Any = local()
    mine.x = 1

    def other() -> tuple[bool, int]:
        before = hasattr(mine, "x")
        mine.x = 2
        green.sleep(0)
        return before, mine.x

    assert [one.get() for one in [green.spawn(other) for _ in range(3)]] == [(False, 2)] * 3
    assert mine.x == 1 and vars(mine) == {"x": 1} and "x" in dir(mine)
    del mine.x
    with pytest.raises(AttributeError):
        _ = mine.x
    with pytest.raises(AttributeError):
        del mine.x


def test_init_of_a_subclass_runs_once_in_each(hub: Hub) -> None:
    Counted.made = 0
    counted = Counted(5, step=2)
    assert counted.bump() == 7
    assert green.spawn(counted.bump).get() == 7
    assert green.spawn(lambda: counted.limit).get() == 10
    assert Counted.made == 3
    counted.twice = 20
    assert counted.value == 10 and counted.twice == 20
    with pytest.raises(AttributeError):
        counted.__dict__ = {}
    with pytest.raises(AttributeError):
        del counted.__dict__
    with pytest.raises(TypeError):
        local(1)


def test_an_init_that_fails_is_tried_again(hub: Hub) -> None:
    class Fails(local):
        tries = 0

        def __init__(self) -> None:
            type(self).tries += 1
            if type(self).tries == 2:
                raise KeyError

    fails = Fails()

    def use() -> int:
        with pytest.raises(KeyError):
            _ = fails.x  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            _ = fails.x  # type: ignore[attr-defined]
        return fails.tries

    assert green.spawn(use).get() == 3


def test_values_die_with_the_greenlet_and_with_the_local(hub: Hub) -> None:
    def hold(mine: Any) -> weakref.ref[Thing]:
        mine.thing = thing = Thing()
        mine.me = green.getcurrent()  # a cycle
        return weakref.ref(thing)

    mine: Any = local()
    thread = green.spawn(hold, mine)
    ref = thread.get()
    assert ref() is None, "freed at the end, even while somebody keeps the GreenThread"
    mine.thing = Thing()
    ref = weakref.ref(mine.thing)
    del mine
    gc.collect()
    assert ref() is None


def test_real_threads_have_their_own_too(hub: Hub) -> None:
    mine: Any = local()
    mine.x = 1
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(hasattr(mine, "x")))
    thread.start()
    thread.join()
    assert seen == [False]
