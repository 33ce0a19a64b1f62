"""Queues: order, bounds, rendezvous, and that nothing is lost."""

from __future__ import annotations

import random
import threading

import pytest

from dualwsgi import green
from dualwsgi.green import Empty, Full, Hub, LifoQueue, PriorityQueue, Queue, SimpleQueue, Timeout


def turn(times: int = 2) -> None:
    for _ in range(times):
        green.sleep(0)


@pytest.mark.parametrize(
    ("kind", "order"), [(Queue, [2, 1, 3]), (LifoQueue, [3, 1, 2]), (PriorityQueue, [1, 2, 3])]
)
def test_items_come_in_the_order_of_the_kind(hub: Hub, kind: type[Queue[int]], order: list[int]) -> None:
    queue = kind()
    for item in (2, 1, 3):
        queue.put(item)
    assert queue.qsize() == 3 and not queue.empty()
    assert [queue.get() for _ in range(3)] == order
    assert queue.empty()


def test_get_waits_or_gives_up(hub: Hub) -> None:
    for queue in (Queue[int](), SimpleQueue[int]()):
        with pytest.raises(Empty):
            queue.get(timeout=0.001)
        with pytest.raises(Empty):
            queue.get_nowait()
        with pytest.raises(ValueError):
            queue.get(timeout=-1)
        getter = green.spawn(queue.get, timeout=1)
        turn()
        queue.put_nowait(5)
        assert getter.get() == 5


def test_put_waits_for_room_or_gives_up(hub: Hub) -> None:
    queue = Queue[int](1)
    queue.put(1)
    assert queue.full()
    with pytest.raises(Full):
        queue.put(2, timeout=0.001)
    with pytest.raises(Full):
        queue.put_nowait(2)
    with pytest.raises(ValueError):
        queue.put(2, timeout=-1)
    putters = [green.spawn(queue.put, n) for n in (2, 3)]
    turn()
    assert queue.putting == 2
    assert [queue.get() for _ in range(3)] == [1, 2, 3]
    green.join_all(putters)


def test_getters_are_served_in_order(hub: Hub) -> None:
    queue = Queue[int]()
    getters = [green.spawn(queue.get) for _ in range(3)]
    turn()
    assert queue.getting == 3
    for n in range(3):
        queue.put(n)
    assert [getter.get() for getter in getters] == [0, 1, 2]


def test_a_rendezvous_puts_only_into_waiting_hands(hub: Hub) -> None:
    queue = Queue[int](0)
    with pytest.raises(Full):
        queue.put_nowait(1)
    with pytest.raises(Full):
        queue.put(1, timeout=0.001)
    with pytest.raises(Empty):
        queue.get_nowait()
    with pytest.raises(Empty):
        queue.get(timeout=0.001)
    with pytest.raises(Full):
        queue.put_nowait(1)  # the getter that left has taken its hands away
    log: list[str] = []

    def put(n: int) -> None:
        queue.put(n)
        log.append(f"put {n}")

    putters = [green.spawn(put, n) for n in (1, 2)]
    turn()
    assert log == [] and queue.putting == 2
    assert queue.get() == 1
    assert queue.get_nowait() == 2
    green.join_all(putters)
    assert log == ["put 1", "put 2"]
    getter = green.spawn(queue.get)
    turn()
    queue.put_nowait(3)
    assert getter.get() == 3
    assert queue.qsize() == 0 and queue.full()


def test_join_waits_for_task_done(hub: Hub) -> None:
    queue = Queue[int]()
    assert queue.join()
    for n in range(3):
        queue.put(n)
    assert queue.unfinished_tasks == 3 and not queue.join(0.001)

    def work() -> None:
        for _ in range(3):
            queue.get()
            green.sleep(0)
            queue.task_done()

    worker = green.spawn(work)
    assert queue.join(10)
    worker.get()
    with pytest.raises(ValueError):
        queue.task_done()


def test_the_bound_can_change(hub: Hub) -> None:
    queue = Queue[int](1)
    queue.put(0)
    putters = [green.spawn(queue.put, n) for n in (1, 2, 3)]
    turn()
    queue.resize(3)
    turn()
    assert queue.qsize() == 3 and queue.putting == 1
    queue.resize(1)
    assert queue.get() == 0
    turn()
    assert queue.qsize() == 2  # still above the bound: nobody may put
    assert queue.get() == 1
    turn()
    assert queue.qsize() == 1
    queue.resize(None)
    green.join_all(putters)
    assert [queue.get(), queue.get()] == [2, 3]
    queue.put(9)
    queue.resize(1)
    assert queue.full()
    with pytest.raises(ValueError):
        queue.resize(0)


@pytest.mark.parametrize("maxsize", [None, 0, 1, 3])
def test_nothing_is_lost_when_getters_and_putters_are_killed_or_time_out(
    hub: Hub, maxsize: int | None
) -> None:
    rng = random.Random(maxsize)
    queue = Queue[int](maxsize)
    put: list[int] = []
    got: list[int] = []

    def putter(start: int) -> None:
        for n in range(start, start + 30):
            with Timeout(rng.random() * 0.002, False):
                queue.put(n)
                put.append(n)
                green.sleep(rng.random() * 0.0003)

    def getter() -> None:
        while True:
            with Timeout(rng.random() * 0.001, False):
                got.append(queue.get())
                green.sleep(rng.random() * 0.0003)

    putters = [green.spawn(putter, n * 100) for n in range(5)]
    getters = [green.spawn(getter) for _ in range(5)]
    while not all(thread.finished for thread in putters):
        victim = rng.randrange(5)
        getters[victim].kill()
        getters[victim] = green.spawn(getter)
        green.sleep(0.0005)
    for thread in getters:
        thread.kill()
    while not queue.empty():
        got.append(queue.get())
    assert sorted(got) == sorted(put)


def test_threads_and_greenlets_share_a_queue(hub: Hub) -> None:
    queue = Queue[int](2)
    total = 0

    def feed() -> None:
        for n in range(300):
            queue.put(n)

    threads = [threading.Thread(target=feed) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(600):
        total += queue.get(timeout=10)
    assert total == 2 * sum(range(300))
    for thread in threads:
        thread.join()


def test_a_queue_is_an_endless_iterator(hub: Hub) -> None:
    queue = Queue[int]()
    queue.put(1)
    queue.put(2)
    items = iter(queue)
    assert [next(items), next(items)] == [1, 2]
    assert "0 of None" in repr(queue)
