"""Requests that wait for a call: their order, their number, and how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dualwsgi.backends.queueing import STANDING, Patience
from dualwsgi.backends.threads.queues import Queues
from dualwsgi.backends.threads.routes import Route
from dualwsgi.backends.threads.worker import Job


def queues(size: int = 10, timeout: float = 30.0, target: float = 0.0) -> Queues:
    return Queues(size, Patience(timeout, target))


def job(since: float = 0.0, *, quick: bool = False, has_begun: bool = False) -> Job:
    conn: Any = SimpleNamespace(since=since, has_begun=has_begun)
    route = Route()
    route.quick = quick
    return conn, route


def test_quick_ones_come_first_and_each_kind_in_its_order() -> None:
    waiting, jobs = queues(), [job(), job(quick=True), job(), job(quick=True)]
    for one in jobs:
        assert waiting.add(one, 0.0)
    assert waiting.conns() == [jobs[number][0] for number in (1, 3, 0, 2)]
    assert [waiting.take(True, True) for _ in range(5)] == [
        *(jobs[n] for n in (1, 3, 0, 2)),
        None,
    ]
    assert waiting.is_empty()


def test_one_is_taken_only_if_there_is_a_place_for_its_kind() -> None:
    waiting, slow, fast = queues(), job(), job(quick=True)
    waiting.add(slow, 0.0)
    waiting.add(fast, 0.0)
    assert waiting.take(False, False) is None
    assert waiting.take(False, True) is slow
    assert waiting.take(False, True) is None
    assert waiting.take(True, False) is fast


def test_both_kinds_share_the_room_and_one_that_cannot_be_refused_needs_none() -> None:
    waiting, begun = queues(size=2), job()[0]
    assert waiting.add(job(), 0.0)
    assert waiting.add(job(quick=True), 0.0)
    assert not waiting.add(job(), 0.0)
    assert not waiting.add(job(quick=True), 0.0)
    waiting.push(begun)
    assert waiting.conns()[-1] is begun


def test_one_that_is_put_back_is_the_next_again() -> None:
    waiting, first, second = queues(), job(), job()
    waiting.add(first, 0.0)
    waiting.add(second, 0.0)
    assert waiting.take(True, True) is first
    waiting.put_back(first)
    assert waiting.take(True, True) is first


def test_those_that_have_waited_too_long_are_told_one_by_one() -> None:
    waiting, old, quick, young = queues(timeout=5.0), job(0.0), job(1.0, quick=True), job(8.0)
    for one in (old, quick, young):
        waiting.add(one, one[0].since)
    assert [waiting.take_stale(10.0) for _ in range(3)] == [quick, old, None]
    assert waiting.conns() == [young[0]]


def test_a_queue_that_stands_is_held_to_its_target_but_for_responses_under_way() -> None:
    waiting = queues(timeout=5.0, target=0.01)
    waiting.add(job(0.0), 0.0)
    later = STANDING + 1.0
    assert waiting.is_stale(job(later - 0.1)[0], later)
    assert not waiting.is_stale(job(later - 0.1, has_begun=True)[0], later)
    assert not waiting.is_stale(job(0.0)[0], STANDING / 2), "a burst is not held to it"
