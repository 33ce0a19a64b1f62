"""Locks, semaphores, events, conditions: exclusion, fairness, hand-over, other threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dualwsgi import green
from dualwsgi.green import (
    AsyncResult,
    BoundedSemaphore,
    Condition,
    Event,
    Hub,
    Lock,
    RLock,
    Semaphore,
    Timeout,
)


def turn(times: int = 2) -> None:
    for _ in range(times):
        green.sleep(0)


@pytest.mark.parametrize("kind", [Lock, RLock, Semaphore, BoundedSemaphore, Condition])
def test_only_one_is_inside_and_they_enter_in_order(hub: Hub, kind: Callable[[], Any]) -> None:
    lock = kind()
    inside: list[int] = []
    order: list[int] = []

    def enter(n: int) -> None:
        with lock:
            inside.append(n)
            assert inside == [n]
            order.append(n)
            turn(3)
            inside.remove(n)

    threads = [green.spawn(enter, n) for n in range(6)]
    green.join_all(threads)
    for thread in threads:
        thread.get()
    assert order == list(range(6))


@pytest.mark.parametrize("kind", [Lock, RLock, Semaphore])
def test_acquire_can_give_up(hub: Hub, kind: Callable[[], Any]) -> None:
    lock = kind()
    assert lock.acquire() and (kind is RLock or lock.locked())

    def other() -> list[object]:
        return [
            lock.acquire(False),
            lock.acquire(blocking=False),
            lock.acquire(True, 0),
            lock.acquire(timeout=0.002),
        ]

    assert green.spawn(other).get() == [False] * 4
    with pytest.raises(ValueError):
        lock.acquire(False, 1)
    lock.release()
    assert green.spawn(lock.acquire, timeout=1).get()


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_arguments_of_acquire_are_checked_as_in_the_standard_library(hub: Hub, kind: Any) -> None:
    lock, native = kind(), threading.Lock()
    for args in ((True, -2), (False, 1), (True, 1e11)):
        errors = []
        for one in (lock, native):
            with pytest.raises((ValueError, OverflowError)) as caught:
                one.acquire(*args)
            errors.append(caught.type)
        assert errors[0] is errors[1]
    with pytest.raises(RuntimeError):
        lock.release()


def test_a_lock_may_be_released_by_another(hub: Hub) -> None:
    lock = Lock()
    lock.acquire()
    green.spawn(lock.release)
    assert lock.acquire(timeout=1)
    lock.release()
    assert "unlocked" in repr(lock)


def test_an_rlock_is_its_holders_to_take_again_and_no_one_elses_to_free(hub: Hub) -> None:
    lock = RLock()
    with lock, lock:
        assert lock._is_owned() and lock._recursion_count() == 2
        thread = green.spawn(lock.release)
        with pytest.raises(RuntimeError):
            thread.get()
        assert not green.spawn(lock._is_owned).get()
    assert not lock.locked()


@pytest.mark.parametrize("kind", [Lock, RLock, Semaphore, BoundedSemaphore])
def test_who_is_killed_just_after_being_handed_it_passes_it_on(hub: Hub, kind: Callable[[], Any]) -> None:
    lock = kind()
    lock.acquire()
    killed, patient = green.spawn(lock.acquire), green.spawn(lock.acquire, timeout=1)
    turn()
    killed.kill(block=False)
    lock.release()
    assert patient.get() is True


def test_a_wait_that_times_out_in_the_same_turn_loses_nothing(hub: Hub) -> None:
    for _ in range(50):
        semaphore = Semaphore(0)

        def wait(semaphore: Semaphore = semaphore) -> bool:
            return semaphore.acquire(timeout=0.001)

        waiting = [green.spawn(wait) for _ in range(3)]
        hub.call_later(0.001, semaphore.release, 2)
        taken = sum(thread.get() for thread in waiting)
        turn()
        assert taken + semaphore.value == 2


def test_semaphores_count(hub: Hub) -> None:
    semaphore = Semaphore(2)
    assert semaphore.value == 2 and not semaphore.locked()
    with semaphore, semaphore:
        assert semaphore.locked() and not semaphore.acquire(False)
        waiter = green.spawn(semaphore.acquire)
        turn()
        assert semaphore.waiting == 1
    waiter.join()
    assert semaphore.value == 1
    semaphore.release(3)
    assert semaphore.value == 4
    for call in (lambda: Semaphore(-1), lambda: semaphore.release(0)):
        with pytest.raises(ValueError):
            call()
    bounded = BoundedSemaphore(1)
    with pytest.raises(ValueError):
        bounded.release()


def test_events_wake_all_and_stay_set(hub: Hub) -> None:
    event = Event()
    assert not event.is_set() and event.wait(0.001) is False
    waiting = [green.spawn(event.wait) for _ in range(3)]
    turn()
    event.set()
    assert [one.get() for one in waiting] == [True] * 3
    assert event.wait(0)
    event.clear()
    assert not event.wait(0)
    assert not event._waiters


def test_a_result_is_set_once_and_seen_by_all(hub: Hub) -> None:
    result = AsyncResult[int]()
    waiting = [green.spawn(result.get) for _ in range(2)]
    with pytest.raises(TimeoutError):
        result.get(0.001)
    assert not result.ready()
    result.set(5)
    assert [one.get() for one in waiting] == [5, 5] and result.get() == 5
    with pytest.raises(RuntimeError):
        result.set(6)
    failed = AsyncResult[int]()
    failed.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        failed.get()
    with pytest.raises(RuntimeError):
        failed.set_exception(KeyError("y"))


@pytest.mark.parametrize("lock", [None, "Lock", "RLock"])
def test_conditions_notify_in_order(hub: Hub, lock: str | None) -> None:
    condition = Condition(None if lock is None else getattr(green, lock)())
    woken: list[int] = []

    def wait(n: int) -> bool:
        with condition:
            found = condition.wait(10)
            woken.append(n)
            return found

    waiting = [green.spawn(wait, n) for n in range(4)]
    turn()
    with condition:
        condition.notify(2)
    turn(4)
    assert woken == [0, 1]
    with condition:
        condition.notify_all()
    assert all(one.get() for one in waiting)
    with condition:
        assert not condition.wait(0.001)
        assert not condition._waiters
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError):
            call()


def test_wait_for_takes_a_predicate_and_a_timeout(hub: Hub) -> None:
    condition = Condition()
    values: list[int] = []

    def fill() -> None:
        for n in range(3):
            with condition:
                values.append(n)
                condition.notify()
            green.sleep(0.001)

    filler = green.spawn(fill)
    with condition:
        assert condition.wait_for(lambda: len(values) == 3, 1)
        assert not condition.wait_for(lambda: False, 0.002)
    filler.join()


def test_a_recursively_held_lock_is_given_up_wholly_while_waiting(hub: Hub) -> None:
    lock = RLock()
    condition = Condition(lock)

    def notify() -> None:
        with condition:
            condition.notify()

    with condition, condition:
        thread = green.spawn(notify)
        assert condition.wait(10)
        assert lock._recursion_count() == 2
    thread.get()


def test_a_killed_waiter_passes_its_notification_on_and_leaves_with_the_lock_free(hub: Hub) -> None:
    condition = Condition()

    def wait() -> bool:
        with condition:
            return condition.wait(10)

    killed, patient = green.spawn(wait), green.spawn(wait)
    turn()
    killed.kill(block=False)
    with condition:
        condition.notify()
    assert patient.get()
    assert not condition._lock.locked()


def test_threads_without_a_hub_and_greenlets_share_them(hub: Hub) -> None:
    lock, semaphore, condition, event = RLock(), Semaphore(2), Condition(), Event()
    counter = inside = 0

    def work() -> None:
        nonlocal counter, inside
        event.wait()
        for _ in range(150):
            with semaphore:
                inside += 1
                assert inside <= 3
                with lock, lock:
                    counter += 1
                    if counter % 50 == 0:
                        green.sleep(0.0001)
                inside -= 1
        with condition:
            condition.notify_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    greens = [green.spawn(work) for _ in range(3)]
    for thread in threads:
        thread.start()
    turn()
    event.set()
    with condition:
        assert condition.wait_for(lambda: counter == 900, 20), counter
    green.join_all(greens)
    for thread in threads:
        while thread.is_alive():
            green.sleep(0.001)


def test_a_storm_of_timeouts_kills_and_releases_leaves_it_whole(hub: Hub) -> None:
    rng = random.Random(5)
    lock, semaphore = Lock(), Semaphore(3)
    holders = 0

    def work() -> None:
        nonlocal holders
        for _ in range(20):
            try:
                with Timeout(rng.random() * 0.002, False), semaphore, lock:
                    holders += 1
                    try:
                        assert holders == 1
                        green.sleep(rng.random() * 0.0005)
                    finally:
                        holders -= 1
            except green.GreenletExit:
                pass

    threads = [green.spawn(work) for _ in range(20)]
    for _ in range(60):
        victim = rng.choice(threads)
        victim.kill(block=False)
        green.sleep(0.0005)
    green.join_all(threads)
    assert not lock.locked() and semaphore.value == 3 and not semaphore.waiting
