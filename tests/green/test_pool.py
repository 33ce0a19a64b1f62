"""Pools of greenlets and of real threads."""

from __future__ import annotations

import threading
import time

import pytest

from dualwsgi import green
from dualwsgi.green import Hub, Pool, ThreadPool


def turn(times: int = 2) -> None:
    for _ in range(times):
        green.sleep(0)


def test_a_pool_runs_no_more_than_its_size(hub: Hub) -> None:
    pool = Pool(2)
    running = most = 0

    def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        green.sleep(0.001)
        running -= 1
        return n

    assert pool.free == 2
    threads = [pool.spawn(work, n) for n in range(6)]
    assert pool.running <= 2 and pool.running + pool.free == 2  # some may have ended by now
    assert pool.join(10)
    assert [thread.get() for thread in threads] == list(range(6)) and most == 2
    assert pool.running == 0 and pool.free == 2
    with pytest.raises(ValueError):
        Pool(-1)


def test_spawn_is_served_in_order(hub: Hub) -> None:
    pool = Pool(1)
    order: list[int] = []

    def work(n: int) -> None:
        order.append(n)
        green.sleep(0)

    waiting = [green.spawn(pool.spawn, work, n) for n in range(4)]
    turn()
    assert pool.waiting >= 2
    green.join_all(waiting)
    pool.join()
    assert order == [0, 1, 2, 3]


def test_map_keeps_the_order_and_is_lazy(hub: Hub) -> None:
    pool = Pool(3)
    assert pool.map(lambda a, b: a + b, [1, 2, 3], [10, 20, 30, 40]) == [11, 22, 33]
    begun: list[int] = []

    def work(n: int) -> int:
        begun.append(n)
        green.sleep(0.001 * (5 - n % 5))
        return n

    results = pool.imap(work, range(100))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(begun) < 10
    pool.kill()

    def fail(n: int) -> None:
        raise KeyError(n)

    with pytest.raises(KeyError):
        pool.map(fail, [1])


def test_a_pool_can_be_resized_below_use(hub: Hub) -> None:
    pool = Pool(3)
    stop = green.Event()
    for _ in range(3):
        pool.spawn(stop.wait)
    pool.resize(1)
    assert pool.free == -2
    stop.set()
    pool.join()
    assert pool.free == 1
    pool.resize(2)
    assert pool.free == 2


def test_waiting_for_the_pool_from_inside_is_refused(hub: Hub) -> None:
    pool = Pool(1)
    with pytest.raises(AssertionError):
        pool.spawn(pool.join).get()


# Real threads


def test_what_blocks_runs_in_real_threads_while_others_go_on(hub: Hub) -> None:
    pool = ThreadPool(4)
    meet = threading.Barrier(4, timeout=30)
    turned = threading.Event()
    turns = 0

    def tick() -> None:
        nonlocal turns
        while True:
            green.sleep(0.001)
            turns += 1
            if turns == 10:
                turned.set()

    ticker = green.spawn(tick)
    first = green.spawn(pool.apply, turned.wait, 30)
    assert first.get()  # the hub has turned meanwhile
    calls = [green.spawn(pool.apply, meet.wait) for _ in range(8)]
    green.join_all(calls)
    assert sorted(call.get() for call in calls) == [0, 0, 1, 1, 2, 2, 3, 3]  # four at a time
    ticker.kill()
    assert pool.apply(threading.get_ident) != threading.get_ident()
    assert pool.apply(divmod, 7, 2) == (3, 1)
    with pytest.raises(ValueError, match="'x'"):
        pool.apply(int, "x")
    assert pool.threads <= 4


def test_idle_threads_leave(hub: Hub) -> None:
    pool = ThreadPool(2, idle=0.01)
    pool.apply(time.sleep, 0)
    deadline = time.monotonic() + 5
    while pool.threads and time.monotonic() < deadline:
        green.sleep(0.005)
    assert pool.threads == 0
    assert pool.apply(abs, -1) == 1


def test_a_killed_caller_stops_waiting(hub: Hub) -> None:
    pool = ThreadPool(1)
    begun, enough, done = threading.Event(), threading.Event(), threading.Event()
    first = green.spawn(pool.apply, lambda: (begun.set(), enough.wait(30), done.set()))
    queued = green.spawn(pool.apply, pytest.fail)
    while not begun.is_set():
        green.sleep(0.001)
    queued.kill()
    first.kill()
    assert first.finished
    assert not done.is_set()
    enough.set()
    assert pool.apply(done.is_set)  # the call went on to its end, and the one in the queue never ran


def test_threads_without_a_hub_use_it_too(hub: Hub) -> None:
    pool = ThreadPool(1)
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(pool.apply(abs, -3)))
    thread.start()
    thread.join()
    assert seen == [3]
