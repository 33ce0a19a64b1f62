"""Responses that are held: which ones, how long, and that nobody who waits keeps them."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from wire import PATIENCE, eventually

from dualwsgi import green
from dualwsgi.backends.green import backend
from dualwsgi.backends.threads import lane
from dualwsgi.seam import Verdict

from .world import Client, Gate, Make, World, ask_at_once, quick

EVER = 600.0


class Batch:
    """A lane or a hub that sees the clients' next commands as one batch, in their order."""

    def __init__(self, backend: str, here: World, *verbs: str) -> None:
        self.clients = [here.client() for _ in range(3)]
        if backend == "threads":
            self.served: Any = here.lane()
            quick(self.served, *verbs)
        else:
            self.served = here.hub()
        for number, client in enumerate(self.clients):
            assert client.ask(f"{verbs[0]} {number}").answer() == number

    def ask(self, *commands: str) -> list[Client]:
        ask_at_once(self.served, self.clients[: len(commands)], commands)
        return self.clients


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def set_hold(seconds: float) -> None:
        monkeypatch.setattr(lane, "HOLD", seconds)
        monkeypatch.setattr(backend, "HOLD", seconds)

    return set_hold


@pytest.mark.parametrize(("seconds", "seen"), [(EVER, []), (0.0, [101])], ids=["until then", "no longer"])
def test_a_response_is_held_while_others_of_its_batch_are_made(
    world: Make, backend: str, hold: Callable[[float], None], seconds: float, seen: list[int]
) -> None:
    hold(seconds)
    found: list[int] = []
    here = world(look=lambda: found.extend(number for number in here.sent if number > 100))
    batch = Batch(backend, here, "fast", "look")
    clients = batch.ask("fast 101", "look 103")
    assert [clients[0].answer(), clients[1].answer()] == [101, 103]
    assert found == seen
    assert here.sent[-2:] == [101, 103]


def test_one_that_waits_holds_up_no_response_that_was_made_before(
    world: Make, backend: str, hold: Callable[[float], None]
) -> None:
    hold(EVER)
    gate = Gate()

    def wait() -> None:
        if backend == "threads":
            gate.wait()
            return
        gate.reach()
        with green.Timeout(PATIENCE):
            while not gate.is_open:
                green.sleep(0.001)

    here = world(wait=wait)
    batch = Batch(backend, here, "fast", "wait")
    clients = batch.ask("fast 101", "wait 103", "fast 104")
    assert clients[0].answer() == 101
    assert clients[2].answer() == 104
    gate.expect()
    assert 103 not in here.sent
    gate.open()
    assert clients[1].answer() == 103


def test_one_that_is_closed_meanwhile_is_closed_once(
    world: Make, backend: str, hold: Callable[[float], None]
) -> None:
    """The client of a held response leaves before it is sent."""
    hold(EVER)
    clients: list[Client] = []

    def leave() -> None:
        clients[0].close()

    here = world(outlast=leave)
    batch = Batch(backend, here, "fast", "outlast")
    clients += batch.clients
    batch.ask("fast 101", "outlast 103")
    assert clients[1].answer() == 103
    eventually(lambda: here.conns[0].closed)
    assert clients[2].ask("fast 104").answer() == 104


def test_it_goes_out_in_time_whatever_is_made_after_it(
    world: Make, backend: str, hold: Callable[[float], None]
) -> None:
    """Also if that is nothing to hold."""
    hold(0.001)
    found: list[int] = []

    def compute() -> None:
        end = monotonic() + 0.003
        while monotonic() < end:
            pass

    here = world(long=compute, look=lambda: found.extend(number for number in here.sent if number > 100))
    batch = Batch(backend, here, "fast", "long", "look")
    clients = batch.ask("fast 101", "long 102", "look 104")  # the second sends by itself
    assert [client.answer() for client in clients] == [101, 102, 104]
    assert 101 in found


def test_a_fault_over_one_of_a_batch_costs_the_others_nothing(
    world: Make, backend: str, hold: Callable[[float], None]
) -> None:
    hold(EVER)
    here = world(broken=lambda: Verdict.CLOSE)
    batch = Batch(backend, here, "fast", "broken")
    clients = batch.ask("fast 101", "broken 104", "fast 107")
    assert clients[0].answer() == 101
    assert clients[1].has_ended()
    assert clients[2].answer() == 107
