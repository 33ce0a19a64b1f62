"""Places for calls: never one too many, none left empty, whether or not another thread can be had."""

from __future__ import annotations

from time import monotonic

import pytest
from wire import eventually

from ..world import Gate, Make, quick
from .unwatched import Unwatched, no_more_threads

# The limit


def test_a_follower_that_finds_the_last_place_taken_leaves_its_request_to_the_leader(world: Make) -> None:
    first, second = Gate(), Gate()
    here = world(slow=first.wait, hold=second.wait)
    lane = here.lane(Unwatched, limit=1)
    quick(lane, "hold")
    clients = [here.client().ask("slow 1"), here.client(), here.client(), here.client()]
    first.expect()
    for count, number in enumerate((2, 5), 1):
        clients[count].ask(f"stream {number}")
        eventually(lambda count=count: len(lane.look().queued) == count)  # type: ignore[misc]
    lane._next_chores = monotonic() + 1000  # or the leader might wait for the lock over them
    # The moment in which a follower has left its place and not yet taken the next.
    with lane._crew._lock:
        lane._crew.inline_ok = True
        clients[3].ask("hold 3")
        second.expect()
        first.open()
    assert clients[0].answer() == 1
    eventually(lambda: lane._crew._idle)
    assert here.counts["run"][2] == 0, "the leader's own call is the only one"
    second.open()
    assert [client.answer() for client in reversed(clients[1:])] == [3, 5, 2]
    assert here.sent == [1, 3, 2, 5], "what was left came first"
    here.settle(lane)


def test_a_quick_request_that_finds_no_place_is_handed_over(world: Make) -> None:
    gate = Gate()
    here = world(slow=gate.wait)
    lane = here.lane(Unwatched, limit=1)
    quick(lane, "fast")
    slow, fast = here.client().ask("slow 1"), here.client()
    gate.expect()
    fast.ask("fast 2")
    eventually(lambda: lane.look().queued)
    assert not lane._crew.lead.token
    gate.open()
    assert [slow.answer(), fast.answer()] == [1, 2]
    here.settle(lane)


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


# The reserve


@pytest.mark.parametrize(
    ("seconds", "waits"), [(600.0, True), (0.0, False)], ids=["while it lasts", "after it"]
)
def test_once_a_quick_request_had_to_wait_a_place_is_kept_for_such(
    world: Make, monkeypatch: pytest.MonkeyPatch, seconds: float, waits: bool
) -> None:
    monkeypatch.setattr("dualwsgi.backends.threads.crew.RESERVE_TIME", seconds)
    first, second, third = Gate(), Gate(), Gate()
    here = world(first=first.wait, second=second.wait, third=third.wait)
    lane = here.lane(Unwatched, limit=2)
    quick(lane, "fast")
    clients = [here.client().ask("first 1"), here.client().ask("second 2")]
    first.expect()
    second.expect()
    clients.append(here.client().ask("fast 3"))
    eventually(lambda: lane.look().queued)
    first.open()
    assert [clients[0].answer(), clients[2].answer()] == [1, 3]
    eventually(lambda: lane._crew.busy == 1)
    clients.append(here.client().ask("third 4"))
    eventually(lambda: lane.look().queued if waits else third.is_reached)
    if waits:
        assert here.client().ask("fast 5").answer() == 5, "the leader has a place for its own call"
        assert not third.is_reached
    second.open()
    third.open()
    assert [clients[1].answer(), clients[3].answer()] == [2, 4]
    here.settle(lane)


# No more threads


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
    eventually(lambda: lane.look().queued)
    gate.open()
    assert [held.answer(), late.answer()] == [1, 2]
    here.settle(lane)
