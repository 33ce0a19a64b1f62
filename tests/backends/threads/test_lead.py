"""How the lead is lost and kept: both sides of every race that lead.py names, step by step."""

from __future__ import annotations

from typing import Any

import pytest
from wire import eventually

from dualwsgi.backends.threads.lead import elsewhere

from ..world import Gate, Make, quick
from .unwatched import Unwatched, leaders, no_more_threads


def test_a_call_that_keeps_the_leader_loses_it_and_goes_on_as_a_follower(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold", "fast")
    held, other = here.client().ask("hold 1"), here.client()
    gate.expect()
    lane._crew.pass_lead()
    assert lane._crew.busy == 1
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
        eventually(lambda: not lane._crew.lead.token)
        lane._crew.pass_lead()
        assert (lane._crew.busy, leaders(lane)) == (0, 1)


def test_a_leader_that_returns_while_the_lead_is_passed_waits_until_that_is_done(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched)
    quick(lane, "hold")
    client = here.client().ask("hold 3")  # whose call sends by itself
    gate.expect()
    # As the watchdog does it, one step at a time.
    with lane._crew._lock:
        conn: Any = lane._crew.lead.token.pop()
        gate.open()
        assert client.answer() == 3, "the call is over, and the leader has found its token gone"
        assert lane._parking.parked[conn.fd] is conn
        eventually(lambda: conn._used_by is None)
        lane._crew.lead.is_lost = True
        del lane._parking.parked[conn.fd]
        lane._crew._take_place(lane._crew.lead.worker, conn)
        worker, is_new = lane._crew._pick(None)
    assert lane._crew._engage(worker, is_new)
    here.settle(lane)
    assert client.ask("hold 2").answer() == 2
    here.settle(lane)


def test_the_lead_can_be_lost_again_and_again(world: Make) -> None:
    gates = [Gate() for _ in range(4)]
    here = world(**{f"hold{number}": gate.wait for number, gate in enumerate(gates)})
    lane = here.lane(Unwatched, limit=4)
    quick(lane, *here.acts, "fast")
    clients = [here.client().ask(f"hold{number} {number}") for number in range(0, 1)]
    gates[0].expect()
    lane._crew.pass_lead()
    for number in range(1, 4):
        clients.append(here.client().ask(f"hold{number} {number}"))
        gates[number].expect()
        lane._crew.pass_lead()
    assert lane._crew.busy == 4
    late = here.client().ask("fast 9")
    eventually(lambda: lane.look().queued)
    for gate, client in zip(gates, clients, strict=True):
        gate.open()
        client.answer()
    assert late.answer() == 9
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
    lane._crew.pass_lead()
    good = here.client().ask("hold 2")
    second.expect()
    first.open()
    assert bad.has_ended()
    eventually(lambda: lane._crew.busy == 0)
    assert leaders(lane) == 1
    second.open()
    assert good.answer() == 2
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
        lane._crew.pass_lead()
    assert (lane._crew.busy, len(lane._crew._workers)) == (0, 1)
    gate.open()
    assert [held.answer(), other.answer()] == [1, 2]
    here.settle(lane)


def test_who_leads_logs_elsewhere_but_in_a_call_which_may_wait(world: Make) -> None:
    seen: list[bool] = []
    here = world(look=lambda: seen.append(elsewhere() is None))
    lane = here.lane(Unwatched)
    quick(lane, "look")
    lane.poke(lambda: seen.append(elsewhere() is None))
    eventually(lambda: seen)
    assert here.client().ask("look 1").answer() == 1
    assert seen == [False, True]
    assert elsewhere() is None, "who does not lead may wait"
    here.settle(lane)


def test_who_has_lost_the_lead_logs_where_it_is(world: Make) -> None:
    gate, seen = Gate(), []

    def hold() -> None:
        gate.wait()
        seen.append(elsewhere() is None)

    here = world(hold=hold)
    lane = here.lane(Unwatched)
    quick(lane, "hold")
    held = here.client().ask("hold 1")
    gate.expect()
    lane._crew.pass_lead()
    gate.open()
    assert held.answer() == 1
    assert seen == [True]
    here.settle(lane)
