"""A follower that stays with its connection: it calls nothing too much, and passes nobody by."""

from __future__ import annotations

from typing import Any

import pytest
from wire import PATIENCE, eventually

from dualwsgi.backends.threads.lane import Lane

from ..world import Client, Gate, Make, quick
from .unwatched import Unwatched


def stay_with(lane: Lane, client: Client) -> None:
    """Asks on until a follower stays with the client's connection."""
    for number in range(1_000_000, 1_000_100):
        assert client.ask(f"slow {number}").answer() == number
        eventually(lambda: lane._crew._staying or lane._crew.busy == 0)
        if lane._crew._staying:
            return
    raise AssertionError("nobody stays")


def test_a_staying_follower_calls_nothing_beside_the_leader_beyond_the_limit(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one thread for calls, two at once would break an application that bears only one."""
    monkeypatch.setattr("dualwsgi.backends.threads.followers.STAY", PATIENCE)
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(Unwatched, limit=1)
    quick(lane, "hold")
    stays, calls = here.client(), here.client()
    stay_with(lane, stays)
    calls.ask("hold 1")
    gate.expect()
    stays.ask("slow 2")
    eventually(lambda: here.counts["asked"][2] and not lane._crew._staying)
    assert here.most == 1
    gate.open()
    assert calls.answer() == 1
    assert stays.answer() == 2
    assert here.most == 1
    here.settle(lane)


def test_what_waits_keeps_its_order_while_a_follower_stays(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualwsgi.backends.threads.followers.STAY", PATIENCE)
    here = world()
    lane = here.lane(Unwatched, limit=1)
    stays = here.client()
    stay_with(lane, stays)
    clients = []
    for number in range(10):
        clients.append(here.client().ask(f"slow {number}"))
        eventually(lambda count=number + 1: len(lane.look().queued) == count)  # type: ignore[misc]
    before = lane.look().queued
    tended = Gate()

    def tend(turn: Any) -> None:
        lane._tend_queues(turn)
        tended.wait()

    lane._order(tend)
    tended.expect()
    assert lane.look().queued == before
    tended.open()
    stays.ask("slow 100")
    assert [client.answer() for client in (*clients, stays)] == [*range(10), 100]
    here.settle(lane)
