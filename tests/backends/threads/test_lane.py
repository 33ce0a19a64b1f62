"""Both sides of every race that the essay on top of lane.py names, step by step."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from wire import PATIENCE, eventually

from dualwsgi.backends.threads.lane import Lane, _is_runnable
from dualwsgi.seam import Verdict

from ..world import Client, Gate, World, ask_at_once, quick

Make = Callable[..., World]


class Unwatched(Lane):
    """A lane whose watchdog sees nothing twice: the test passes the lead on itself, when it wants."""

    def _glance(self) -> Any:
        return object(), 0.0


def leaders(lane: Lane) -> int:
    return len(lane._workers) - len(lane._idle) - lane._busy - lane._staying


# The lead


def test_a_call_that_keeps_the_leader_loses_it_and_goes_on_as_a_follower(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold", "fast")
    held, other = here.client().ask("hold 1"), here.client()
    gate.expect()
    lane._pass_lead()
    assert lane._busy == 1
    assert other.ask("fast 2").answer() == 2
    gate.open()
    assert held.answer() == 1
    assert held.ask("fast 3").answer() == 3
    here.settle(lane)


def test_a_call_that_returns_in_time_keeps_the_lead(world: Make) -> None:
    here = world()
    lane = here.lane(Unwatched)
    quick(lane, "fast")
    client = here.client()
    for number in range(10):
        assert client.ask(f"fast {number}").answer() == number
        eventually(lambda: not lane._token)
        lane._pass_lead()
        assert (lane._busy, leaders(lane)) == (0, 1)


def test_a_leader_that_returns_while_the_lead_is_passed_waits_until_that_is_done(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold")
    client = here.client().ask("hold 3")  # whose call sends by itself
    gate.expect()
    # As the watchdog does it, one step at a time.
    with lane._lock:
        conn: Any = lane._token.pop()
        gate.open()
        assert client.answer() == 3, "the call is over, and the leader has found its token gone"
        assert lane._parked[conn.fd] is conn
        eventually(lambda: conn._used_by is None)
        del lane._parked[conn.fd]
        lane._take_place(lane._leader, conn)
        worker, is_new = lane._pick(None)
    assert lane._engage(worker, is_new)
    here.settle(lane)
    assert client.ask("hold 2").answer() == 2
    here.settle(lane)


def test_the_next_leader_goes_on_with_the_batch_of_the_last(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold", "fast")
    clients = [here.client() for _ in range(10)]
    for number, client in enumerate(clients):
        assert client.ask(f"fast {number}").answer() == number
    ask_at_once(lane, clients, ["hold 100", *(f"fast {100 + number}" for number in range(1, 10))])
    gate.expect()
    lane._pass_lead()
    for number, client in enumerate(clients[1:], 1):
        assert client.answer() == 100 + number
    gate.open()
    assert clients[0].answer() == 100
    here.settle(lane)


def test_the_next_leader_hands_over_what_was_read_for_the_route_that_kept_the_last(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold", "fast")
    clients = [here.client() for _ in range(4)]
    for number, client in enumerate(clients):
        assert client.ask(f"fast {number}").answer() == number
    ask_at_once(lane, clients, ["hold 100", "hold 101", "hold 102", "fast 103"])
    gate.expect()
    eventually(lambda: not _is_runnable(lane._leader_id))  # else that may be chance
    lane._pass_lead()
    eventually(lambda: lane._busy == 3)
    assert clients[3].answer() == 103, "the lead is lost once"
    gate.open()
    assert [client.answer() for client in clients[:3]] == [100, 101, 102]
    here.settle(lane)


def test_a_watchdog_that_saw_nothing_go_on_is_there_for_the_call_that_comes_then(world: Make) -> None:
    """All that is read takes so long that it goes to sleep."""
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane()
    quick(lane, "hold", "fast")
    clients = [here.client() for _ in range(3)]
    for number, client in enumerate(clients):
        assert client.ask(f"fast {number}").answer() == number
    asleep = []

    def read_slowly() -> None:
        if not asleep:
            asleep.append(eventually(lambda: lane._watchdog.sleeps))

    here.reading = read_slowly
    ask_at_once(lane, clients[:2], ["hold 100", "fast 101"])
    gate.expect()
    assert asleep == [True]
    assert clients[1].answer() == 101
    assert clients[2].ask("fast 102").answer() == 102
    gate.open()
    assert clients[0].answer() == 100
    here.settle(lane)


def test_each_descriptor_comes_once_in_a_batch(world: Make) -> None:
    lane = world().lane()
    lane._again.extend([(1000, 0), (2000, 0), (2000, select.EPOLLRDHUP)])
    ready = select.EPOLLIN | select.EPOLLOUT
    assert lane._with_again([(1000, ready)]) == [(1000, ready), (2000, ready | select.EPOLLRDHUP)]


def test_the_lead_can_be_lost_again_and_again(world: Make) -> None:
    gates = [Gate() for _ in range(4)]
    here = world(**{f"hold{number}": gate.wait for number, gate in enumerate(gates)})
    lane = here.lane(Unwatched, limit=4)
    quick(lane, *here.acts, "fast")
    clients = [here.client().ask(f"hold{number} {number}") for number in range(0, 1)]
    gates[0].expect()
    lane._pass_lead()
    for number in range(1, 4):
        clients.append(here.client().ask(f"hold{number} {number}"))
        gates[number].expect()
        lane._pass_lead()
    assert lane._busy == 4
    late = here.client().ask("fast 9")
    eventually(lambda: lane._quick_queue)
    for gate, client in zip(gates, clients, strict=True):
        gate.open()
        client.answer()
    assert late.answer() == 9
    here.settle(lane)


# The limit


def stay_with(lane: Lane, client: Client) -> None:
    """Asks on until a follower stays with the client's connection."""
    for number in range(1_000_000, 1_000_100):
        assert client.ask(f"slow {number}").answer() == number
        eventually(lambda: lane._staying or lane._busy == 0)
        if lane._staying:
            return
    raise AssertionError("nobody stays")


def test_a_staying_follower_calls_nothing_beside_the_leader_beyond_the_limit(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one thread for calls, two at once would break an application that bears only one."""
    monkeypatch.setattr("dualwsgi.backends.threads.lane.STAY", PATIENCE)
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched, limit=1)
    quick(lane, "hold")
    stays, calls = here.client(), here.client()
    stay_with(lane, stays)
    calls.ask("hold 1")
    gate.expect()
    stays.ask("slow 2")
    eventually(lambda: here.counts["asked"][2] and not lane._staying)
    assert here.most == 1
    gate.open()
    assert calls.answer() == 1
    assert stays.answer() == 2
    assert here.most == 1
    here.settle(lane)


def test_a_follower_that_finds_the_last_place_taken_leaves_its_request_to_the_leader(world: Make) -> None:
    first, second = Gate(), Gate()
    here = world(slow=first.wait, hold=second.wait)
    lane = here.lane(Unwatched, limit=1)
    quick(lane, "hold")
    clients = [here.client().ask("slow 1"), here.client(), here.client()]
    first.expect()
    clients[1].ask("stream 2")
    eventually(lambda: lane._queue)
    lane._next_chores = monotonic() + 1000  # or the leader might wait for the lock over them
    # The moment in which a follower has left its place and not yet taken the next.
    with lane._lock:
        lane._inline_ok = True
        clients[2].ask("hold 3")
        second.expect()
        first.open()
    assert clients[0].answer() == 1
    eventually(lambda: lane._idle)
    assert here.counts["run"][2] == 0, "the leader's own call is the only one"
    second.open()
    assert [clients[2].answer(), clients[1].answer()] == [3, 2]
    here.settle(lane)


def test_a_quick_request_that_finds_no_place_is_handed_over(world: Make) -> None:
    gate = Gate()
    here = world(slow=gate.wait)
    lane = here.lane(Unwatched, limit=1)
    quick(lane, "fast")
    slow, fast = here.client().ask("slow 1"), here.client()
    gate.expect()
    fast.ask("fast 2")
    eventually(lambda: lane._quick_queue)
    assert not lane._token
    gate.open()
    assert [slow.answer(), fast.answer()] == [1, 2]
    here.settle(lane)


# Lost edges


def test_what_comes_in_during_a_call_is_read_after_it(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(limit=2)
    client = here.client().ask("hold 1")
    gate.expect()
    client.ask("fast 2")
    eventually(lambda: lane._missed)
    gate.open()
    assert [client.answer(), client.answer()] == [1, 2]
    here.settle(lane)
    assert not lane._missed


class Watched(dict[int, int]):
    """A lane's `_missed` that holds up who looks into it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: Gate | None = None

    def pop(self, fd: int, default: Any = None) -> Any:
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.wait()
        return super().pop(fd, default)


def test_what_comes_in_just_as_a_connection_is_given_back_is_read_by_the_leader(world: Make) -> None:
    call, look = Gate(), Gate()
    here = world(hold=call.wait)
    lane = here.lane(limit=2)
    lane._missed = missed = Watched()
    client = here.client().ask("hold 1")
    call.expect()
    missed.gate = look
    call.open()
    assert client.answer() == 1
    # A route that has not proved quick is stayed for, which holds the connection a moment longer.
    look.expect()
    assert client.ask("fast 2").answer() == 2, "it was parked before its follower looked"
    look.open()
    here.settle(lane)


def test_what_came_in_just_before_a_connection_is_given_back_is_read_again(world: Make) -> None:
    call = Gate()
    here = world(hold=call.wait)
    lane = here.lane(limit=2)
    client = here.client().ask("hold 1")
    call.expect()
    # The leader has taken the event and not yet looked whether the connection is back.
    looked, go_on = Gate(), Gate()
    conn = here.conns[0]

    def take_event(turn: Any) -> None:
        lane._missed[conn.fd] = select.EPOLLIN
        looked.wait()
        go_on.open()
        if conn.fd in lane._parked:
            lane._missed.pop(conn.fd, None)
            lane._again.append((conn.fd, 0))

    lane._order(take_event)
    looked.expect()
    call.open()
    assert client.answer() == 1
    eventually(lambda: conn.fd in lane._parked)
    looked.open()
    go_on.wait()
    assert client.ask("fast 2").answer() == 2
    here.settle(lane)
    assert not lane._missed


# Descriptors that are used again


def test_an_old_event_for_a_number_that_is_a_new_connection_makes_one_read_more(world: Make) -> None:
    here = world()
    lane = here.lane(Unwatched)
    first = here.client()
    eventually(lambda: here.conns)
    number = here.conns[0].fd
    pause = Gate()
    lane._order(lambda turn: pause.wait())
    pause.expect()
    first.ask("leave 1")
    second = here.client()
    pause.open()
    assert first.has_ended()
    eventually(lambda: len(here.conns) == 2)
    if here.conns[1].fd == number:
        lane._order(lambda turn: lane._again.append((number, 0)))
    assert second.ask("fast 2").answer() == 2
    lane._order(lambda turn: lane._again.extend([(number, 0)] * 3))
    assert second.ask("fast 3").answer() == 3
    here.settle(lane)


def test_an_event_that_was_missed_says_nothing_of_the_next_connection_with_its_number(world: Make) -> None:
    gate = Gate()

    def leave() -> Verdict:
        gate.wait()
        return Verdict.CLOSE

    here = world(hold=leave)
    lane = here.lane(limit=2)
    first = here.client().ask("hold 1")
    gate.expect()
    number = here.conns[0].fd
    first.ask("fast 2")
    eventually(lambda: number in lane._missed)
    gate.open()
    assert first.has_ended()
    eventually(lambda: here.conns[0].closed)
    others = [here.client() for _ in range(5)]
    eventually(lambda: len(here.conns) == 6)
    assert number in [conn.fd for conn in here.conns[1:]], "the lowest free number is used again"
    assert number not in lane._missed
    for count, other in enumerate(others):
        assert other.ask(f"fast {10 + count}").answer() == 10 + count
    here.settle(lane)


# Queues


def test_a_request_that_waits_too_long_is_refused_in_its_turn(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(limit=1, queue_timeout=0.05, shortest=0.05)
    held = here.client().ask("hold 1")
    gate.expect()
    waiting = [here.client().ask(f"slow {number}") for number in range(2, 12)]
    for number, client in enumerate(waiting, 2):
        assert client.answer() == number
    assert sum(here.counts["refused"].values()) == 10
    gate.open()
    assert held.answer() == 1
    here.settle(lane)


def test_what_waits_keeps_its_order_while_a_follower_stays(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualwsgi.backends.threads.lane.STAY", PATIENCE)
    here = world()
    lane = here.lane(Unwatched, limit=1)
    stays = here.client()
    stay_with(lane, stays)
    clients = []
    for number in range(10):
        clients.append(here.client().ask(f"slow {number}"))
        eventually(lambda count=number + 1: len(lane._queue) == count)  # type: ignore[misc]
    before = [job[0] for job in lane._queue]
    tended = Gate()

    def tend(turn: Any) -> None:
        lane._tend_queues(turn)
        tended.wait()

    lane._order(tend)
    tended.expect()
    assert [job[0] for job in lane._queue] == before
    tended.open()
    stays.ask("slow 100")
    assert [client.answer() for client in (*clients, stays)] == [*range(10), 100]
    here.settle(lane)


# No more threads


def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_without_another_thread_a_request_is_refused_and_the_next_one_served(
    world: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = world()
    lane = here.lane(Unwatched)
    client = here.client()
    with monkeypatch.context() as patched:
        no_more_threads(patched)
        assert client.ask("slow 1").answer() == 1
        assert here.counts["refused"][1] == 1
    eventually(lambda: "cannot start a thread" in caplog.text)  # told by a thread that may wait
    assert client.ask("slow 2").answer() == 2
    assert here.counts["run"][2] == 1
    here.settle(lane)


def test_without_another_thread_a_request_waits_for_those_that_there_are(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    held = here.client().ask("hold 1")
    gate.expect()
    no_more_threads(monkeypatch)
    late = here.client().ask("slow 2")
    eventually(lambda: lane._queue)
    gate.open()
    assert [held.answer(), late.answer()] == [1, 2]
    here.settle(lane)


def test_without_another_thread_the_lead_stays_where_it_is(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold", "fast")
    held, other = here.client().ask("hold 1"), here.client().ask("fast 2")
    gate.expect()
    with monkeypatch.context() as patched:
        no_more_threads(patched)
        lane._pass_lead()
    assert (lane._busy, len(lane._workers)) == (0, 1)
    gate.open()
    assert [held.answer(), other.answer()] == [1, 2]
    here.settle(lane)


# Faults of the program


@pytest.mark.parametrize("verb", ["boom", "fault", "slow_fault", "stream_fault"])
def test_a_fault_costs_one_connection(world: Make, caplog: pytest.LogCaptureFixture, verb: str) -> None:
    def fault() -> None:
        raise RuntimeError("a fault in run()")

    here = world(fault=fault, slow_fault=fault, stream_fault=fault)
    lane = here.lane(Unwatched)
    quick(lane, "fault")
    assert here.client().ask(f"{verb} 1").has_ended()
    assert here.client().ask("fast 2").answer() == 2
    eventually(lambda: "it is closed" in caplog.text)  # a thread of its own writes the log
    here.settle(lane)


def test_a_fault_in_a_call_that_has_lost_the_lead_leaves_the_new_leader_alone(
    world: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Gate(), Gate()

    def fault() -> None:
        first.wait()
        raise RuntimeError("a fault in run()")

    here = world(fault=fault, hold=second.wait)
    lane = here.lane(Unwatched)
    quick(lane, "fault", "hold")
    bad = here.client().ask("fault 1")
    first.expect()
    lane._pass_lead()
    good = here.client().ask("hold 2")
    second.expect()
    first.open()
    assert bad.has_ended()
    eventually(lambda: lane._busy == 0)
    assert leaders(lane) == 1
    second.open()
    assert good.answer() == 2
    here.settle(lane)


# The end


def test_closing_ends_followers_and_the_leader_where_they_wait(world: Make) -> None:
    """A call that waits for its client is interrupted, whoever runs it."""
    here = world()
    ended: list[str] = []

    def wait_for_client(verb: str) -> Callable[[], Verdict]:
        def wait() -> Verdict:
            conn = next(conn for conn in here.conns if conn._command == verb)
            conn.stream.wait_readable(PATIENCE)
            ended.append(verb)
            return Verdict.CLOSE

        return wait

    here.acts |= {"stream": wait_for_client("stream"), "hold": wait_for_client("hold")}
    lane = here.lane(Unwatched)
    quick(lane, "hold")
    clients = [here.client().ask("stream 1"), here.client()]
    eventually(lambda: lane._busy == 1)
    clients[1].ask("hold 2")
    eventually(lambda: lane._token)
    lane.close()
    assert sorted(ended) == ["hold", "stream"]
    assert all(conn.closed for conn in here.conns)
    assert not lane._workers
    assert lane._busy == 0


@pytest.mark.parametrize("verb", ["hold", "slow_hold"])
def test_what_is_left_behind_cleans_up_when_it_ends(
    world: Make, caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    gate = Gate()
    here = world(hold=gate.wait, slow_hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold")
    here.client().ask(f"{verb} 1")
    gate.expect()
    lane.close()
    assert "1 application calls did not end" in caplog.text
    here.check()
    assert not lane._epoll.closed
    gate.open()
    eventually(lambda: lane._epoll.closed)
    assert here.conns[0].closed
    assert not lane._workers
