"""The hub: callbacks, timers, descriptors, wake-ups from outside."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import greenlet
import pytest

from dualwsgi import green
from dualwsgi.green import EDGE, HUP, ONESHOT, RDHUP, READ, WRITE, Hub, Waiter
from dualwsgi.green.hub import report_error


def turn(times: int = 2) -> None:
    for _ in range(times):
        green.sleep(0)


def test_call_soon_calls_in_order_in_the_hub(hub: Hub) -> None:
    seen: list[object] = []
    hub.call_soon(seen.append, 1)
    hub.call_soon(lambda: seen.append(green.getcurrent() is hub.greenlet))
    assert seen == []
    turn()
    assert seen == [1, True]


def test_call_soon_from_a_callback_does_not_starve_timers_and_descriptors(hub: Hub) -> None:
    fired: list[int] = []
    again = True

    def forever() -> None:
        if again:
            hub.call_soon(forever)

    forever()
    hub.call_later(0.001, fired.append, 1)
    green.sleep(0.01)
    again = False
    assert fired == [1]


def test_timers_fire_in_the_order_of_their_times_and_can_be_cancelled(hub: Hub) -> None:
    seen: list[int] = []
    hub.call_later(0.1, seen.append, 3)
    hub.call_later(0.001, seen.append, 1)
    timer = hub.call_later(0.05, seen.append, 2)
    assert timer.pending and hub.timers >= 3
    timer.cancel()
    timer.cancel()
    assert not timer.pending
    while 3 not in seen:
        green.sleep(0.01)
    assert seen == [1, 3]


def test_many_cancelled_timers_leave_the_heap(hub: Hub) -> None:
    before = hub.timers
    for timer in [hub.call_later(100, print) for _ in range(5000)]:
        timer.cancel()
    assert hub.timers == before
    assert len(hub._timers) < 1100


def test_the_hub_does_not_wake_for_a_cancelled_timer(hub: Hub) -> None:
    last, middle, first = (hub.call_later(seconds, print) for seconds in (300, 200, 100))
    middle.cancel()
    first.cancel()
    assert hub._timers[0][2] is last, "both have left, the one behind the first, too"
    last.cancel()
    assert not hub.timers


def test_a_timer_of_negative_seconds_is_due_at_once(hub: Hub) -> None:
    seen: list[int] = []
    hub.call_later(-5, seen.append, 1)
    turn()
    assert seen == [1]


def test_a_callback_that_raises_is_reported_and_the_others_run(hub: Hub) -> None:
    reported: list[BaseException] = []
    hub.on_error = lambda where, error: reported.append(error)
    seen: list[int] = []
    error = ValueError("x")

    def fail(*args: object) -> None:
        raise error

    a, b = socket.socketpair()
    with a, b:
        hub.register(a.fileno(), READ | ONESHOT, fail)
        b.send(b"x")
        hub.call_soon(fail)
        hub.call_soon(seen.append, 1)
        hub.call_later(0, fail)
        hub.call_later(0, seen.append, 2)
        green.sleep(0.005)
        hub.unregister(a.fileno())
    assert reported == [error] * 3
    assert sorted(seen) == [1, 2]


def test_the_report_of_a_timer_that_failed_names_what_it_called(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "on_error", report_error)
    hub.call_later(0, divmod, 1, 0)
    green.sleep(0.001)
    assert "Exception in <Timer of <built-in function divmod>>" in capsys.readouterr().err


def test_a_callback_that_waits_is_told_what_to_do(hub: Hub) -> None:
    reported: list[BaseException] = []
    hub.on_error = lambda where, error: reported.append(error)
    hub.call_soon(green.sleep, 0.01)
    turn()
    assert isinstance(reported[0], RuntimeError) and "hub.lend" in str(reported[0])


def test_lend_runs_at_once_and_reuses_the_greenlet(hub: Hub) -> None:
    seen: list[object] = []

    def work(name: str) -> None:
        seen.append((name, green.getcurrent()))
        green.sleep(0.001)
        seen.append(name)

    def drive() -> None:
        hub.lend(work, "a")
        seen.append("lent")

    hub.call_soon(drive)
    while len(seen) < 3:
        green.sleep(0.001)
    assert [one if isinstance(one, str) else one[0] for one in seen] == ["a", "lent", "a"]
    hub.call_soon(drive)
    while len(seen) < 6:
        green.sleep(0.001)
    assert seen[0][1] is seen[3][1]  # type: ignore[index]


def test_a_lent_function_that_raises_gives_its_greenlet_back(hub: Hub) -> None:
    reported: list[BaseException] = []
    hub.on_error = lambda where, error: reported.append(error)
    used: list[object] = []

    def fail() -> None:
        used.append(green.getcurrent())
        raise ValueError

    for _ in range(2):
        hub.call_soon(hub.lend, fail)
        turn()
    assert len(reported) == 2 and used[0] is used[1]


# Descriptors with callbacks


def test_level_triggered_callbacks_come_until_the_data_is_read(hub: Hub) -> None:
    a, b = socket.socketpair()
    with a, b:
        events: list[int] = []
        hub.register(a.fileno(), READ, lambda fd, event: events.append(event))
        b.send(b"x")
        turn(5)
        assert len(events) > 1 and events[0] == READ
        a.recv(10)
        turn()
        count = len(events)
        turn(3)
        assert len(events) == count
        hub.unregister(a.fileno())


def test_edge_triggered_callbacks_come_once_and_modify_reports_again(hub: Hub) -> None:
    a, b = socket.socketpair()
    with a, b:
        events: list[int] = []
        hub.register(a.fileno(), READ | RDHUP | EDGE, lambda fd, event: events.append(event))
        b.send(b"x")
        turn(5)
        assert events == [READ]
        hub.modify(a.fileno(), READ | WRITE | RDHUP | EDGE)
        turn(5)
        assert events == [READ, READ | WRITE]
        b.close()
        turn(5)
        assert events[-1] & (RDHUP | HUP)
        hub.unregister(a.fileno())


def test_an_event_of_a_closed_descriptor_never_reaches_its_successor(hub: Hub) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    got: list[str] = []
    newcomer: list[socket.socket] = []

    def first_come(fd: int, events: int) -> None:
        # Close the other one, whose event is in the same batch, and take its number.
        mine = next(pair for pair in pairs if pair[0].fileno() == fd)
        other = next(pair for pair in pairs if pair is not mine)
        number = other[0].fileno()
        hub.unregister(fd)
        hub.unregister(number)
        other[0].close()
        new, peer = socket.socketpair()
        newcomer.extend((new, peer))
        assert new.fileno() == number
        hub.register(number, READ, lambda fd, events: got.append("stale"))
        got.append("first")

    for pair in pairs:
        hub.register(pair[0].fileno(), READ, first_come)
        pair[1].send(b"x")
    turn(5)
    assert got == ["first"]
    hub.unregister(newcomer[0].fileno())
    for sock in [*newcomer, *pairs[0], *pairs[1]]:
        sock.close()


def test_a_descriptor_has_one_owner(hub: Hub) -> None:
    a, b = socket.socketpair()
    with a, b:
        hub.register(a.fileno(), READ, lambda fd, events: None)
        with pytest.raises(FileExistsError):
            hub.register(a.fileno(), READ, lambda fd, events: None)
        with pytest.raises(RuntimeError, match="belongs to a callback"):
            hub.wait_fd(a.fileno(), READ, 0.01)
        seen: list[int] = []
        hub.set_callback(a.fileno(), lambda fd, events: seen.append(a.recv(9)[0]))
        b.send(b"\7")
        turn()
        assert seen == [7]
        hub.unregister(a.fileno())
        with pytest.raises(KeyError):
            hub.unregister(a.fileno())
        with pytest.raises(KeyError):
            hub.set_callback(a.fileno(), print)
    with open(__file__) as file, pytest.raises(PermissionError):
        hub.register(file.fileno(), READ, lambda fd, events: None)


# Descriptors with greenlets


def test_wait_fd_waits_for_any_descriptor_and_leaves_nothing_behind(hub: Hub) -> None:
    r, w = os.pipe()
    before = set(hub.descriptors)
    assert hub.wait_fd(w, WRITE, 1)
    assert not hub.wait_fd(r, READ, 0.005)
    waiter = green.spawn(hub.wait_fd, r, READ, 5)
    turn()
    assert hub.waiting(READ) == [r]
    os.write(w, b"x")
    assert waiter.get() is True
    assert set(hub.descriptors) == before
    os.close(r)
    os.close(w)
    with open(__file__) as file:
        assert hub.wait_fd(file.fileno(), READ, 5)
    assert set(hub.descriptors) == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        hub.wait_fd(r, READ, 5)
    assert set(hub.descriptors) == before


def test_a_reader_and_a_writer_wait_for_one_descriptor(hub: Hub) -> None:
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        while True:
            try:
                a.send(b"x" * 65536)
            except BlockingIOError:
                break
        reader = green.spawn(hub.wait_fd, a.fileno(), READ, 5)
        writer = green.spawn(hub.wait_fd, a.fileno(), WRITE, 5)
        second = green.spawn(hub.wait_fd, a.fileno(), READ, 5)
        turn()
        b.send(b"x")
        assert reader.get() and second.get()
        assert not writer.finished
        b.setblocking(False)
        with pytest.raises(BlockingIOError):
            while b.recv(1 << 20):
                pass
        assert writer.get()


def test_closing_wakes_who_waits_and_the_number_can_be_used_again(hub: Hub) -> None:
    a, b = socket.socketpair()
    waiter = green.spawn(hub.wait_fd, a.fileno(), READ, 5)
    turn()
    number = a.fileno()
    from dualwsgi.green import hub as module

    module.forget_fd(number)
    a.close()
    with pytest.raises(OSError, match="closed while"):
        waiter.get()
    c, d = socket.socketpair()
    with b, c, d:
        assert c.fileno() == number
        again = green.spawn(hub.wait_fd, number, READ, 5)
        turn()
        assert not again.finished
        d.send(b"x")
        assert again.get()


def test_a_descriptor_closed_without_a_word_does_not_spoil_its_successor(hub: Hub) -> None:
    a, b = socket.socketpair()
    waiter = green.spawn(hub.wait_fd, a.fileno(), READ, 0.02)
    turn()
    number = a.fileno()
    a.close()  # a plain close: the kernel forgets it, the hub does not know
    c, d = socket.socketpair()
    with b, c, d:
        assert c.fileno() == number
        other = green.spawn(hub.wait_fd, number, READ, 5)
        turn()
        d.send(b"x")
        assert other.get()
        waiter.join()


# Waiters


def test_a_wake_up_is_kept_until_the_wait_and_a_late_one_hits_nobody(hub: Hub) -> None:
    waiter = Waiter(hub)
    waiter.wake()
    waiter.wake()
    assert waiter.wait() is True
    late = Waiter(hub)
    assert late.wait(0.001) is False
    late.wake()
    assert Waiter(hub).wait(0.003) is False  # the wake-up of `late` comes meanwhile
    failed = Waiter(hub)
    failed.fail(ValueError("x"))
    assert failed.wait() and isinstance(failed.error, ValueError)


def test_a_switch_by_somebody_else_ends_no_wait(hub: Hub) -> None:
    me = green.getcurrent()
    hub.call_later(0.001, me.switch)
    raw = greenlet.greenlet(lambda: None)  # ends, and so switches to its parent: this greenlet
    hub.call_later(0.002, raw.switch)
    began = time.monotonic()
    green.sleep(0.02)
    assert time.monotonic() - began >= 0.02


def test_resume_switches_from_a_callback(hub: Hub) -> None:
    order: list[str] = []
    waiter = Waiter(hub)

    def callback() -> None:
        order.append("before")
        waiter.resume()
        order.append("after")

    def wait() -> None:
        waiter.wait()
        order.append("woken")

    thread = green.spawn(wait)
    turn()
    hub.call_soon(callback)
    thread.join()
    turn()
    assert order == ["before", "woken", "after"]


# From outside


def test_other_threads_wake_a_sleeping_hub(hub: Hub) -> None:
    done = Waiter(hub)
    thread = threading.Thread(target=lambda: (time.sleep(0.02), done.wake()))
    thread.start()
    assert done.wait(5)
    thread.join()


def test_thousands_of_calls_from_several_threads_are_all_made(hub: Hub) -> None:
    count = 0
    done = Waiter(hub)

    def bump() -> None:
        nonlocal count
        count += 1
        if count == 8000:
            done.wake()

    def work() -> None:
        for _ in range(2000):
            hub.call_threadsafe(bump)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert done.wait(20)
    for thread in threads:
        thread.join()


def test_a_handler_of_a_signal_wakes_the_hub(hub: Hub) -> None:
    done = Waiter(hub)
    old = signal.signal(signal.SIGUSR2, lambda number, frame: done.wake())
    try:
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR2))
        timer.start()
        assert done.wait(5)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR2, old)


def test_each_thread_has_a_hub_of_its_own_whose_descriptors_go_with_it(hub: Hub) -> None:
    assert green.get_hub() is hub is green.current_hub()
    seen: list[object] = []
    before = set(os.listdir("/proc/self/fd"))

    def work() -> None:
        seen.append(green.current_hub())
        seen.append(green.get_hub())
        seen.append(green.spawn(green.sleep, 0.001).get())
        seen.append(len(set(os.listdir("/proc/self/fd")) - before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] is None and seen[1] is not hub and seen[2] is None
    assert isinstance(seen[3], int) and seen[3] >= 2
    deadline = time.monotonic() + 5
    while set(os.listdir("/proc/self/fd")) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(os.listdir("/proc/self/fd")) - before


def test_short_sleeps_are_not_rounded_up_to_milliseconds(hub: Hub) -> None:
    deadline = time.monotonic() + 10
    best = 1.0
    while best >= 0.0009:  # once is enough: what rounds up does it every time
        assert time.monotonic() < deadline, f"{best * 1000:.2f} ms at the best"
        began = time.monotonic()
        green.sleep(0.0003)
        best = min(best, time.monotonic() - began)
        assert best >= 0.0003


def test_a_busy_hub_wakes_nobody_by_system_calls(hub: Hub) -> None:
    rung = 0
    ring = hub._waker.ring

    def count() -> None:
        nonlocal rung
        rung += 1
        ring()

    hub._waker.ring = count  # type: ignore[method-assign]
    try:
        queue = green.Queue[int](1)
        getter = green.spawn(lambda: [queue.get() for _ in range(100)])
        for n in range(100):
            queue.put(n)
        assert getter.get() == list(range(100))
    finally:
        hub._waker.ring = ring  # type: ignore[method-assign]
    assert rung == 0
