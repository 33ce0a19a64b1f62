"""A hub under random waits, kills, closes and descriptors used again: whatever happens, the sums are right.

The same clients as those of a lane (see tests/backends/threads/test_stress.py), with calls that wait
cooperatively: in short sleeps, in the other's way of waiting, while they are closed.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable

import greenlet
import pytest
from wire import eventually

from dualwsgi import green
from dualwsgi.seam import Turn, Verdict

from ..visitors import close_in_the_middle, visited
from ..world import Conn, Make, World

SOAK = float(os.environ.get("DUALWSGI_SOAK_SECONDS", "60"))


def compute() -> None:
    sum(range(200))


def stall() -> None:
    green.sleep(random.random() * 0.004)


def step_back() -> None:
    green.sleep(0)


def moody() -> None:
    if random.random() < 0.1:
        green.sleep(0.002)


def close() -> Verdict:
    return Verdict.CLOSE


def fault() -> None:
    raise RuntimeError("a fault in run()")


def end() -> None:
    raise greenlet.GreenletExit


ACTS: dict[str, Callable[[], Verdict | None]] = {
    "fast": compute,
    "slow": stall,
    "zero": step_back,
    "moody": moody,
    "stream": stall,
    "close": close,
}
VERBS = ["fast"] * 8 + ["slow"] * 6 + ["zero"] * 4 + ["moody"] * 6 + ["stream"] * 2 + ["close", "leave"]


def stress(world: World, seconds: float, limit: int) -> None:
    hub = world.hub(concurrency=limit)
    answered = visited(world, VERBS, seconds)
    world.settle_hub(hub)
    world.check()
    assert world.most <= limit
    assert answered >= 100 * seconds, "it was stress"
    assert set(world.counts["run"]) <= set(world.counts["asked"])
    assert len(hub._pool) <= limit + 8  # those that had to wait while they closed a connection


@pytest.mark.parametrize("limit", [1, 2, 6])
def test_nothing_is_lost_done_twice_or_too_much_at_once(world: Make, limit: int) -> None:
    stress(world(**ACTS), 0.5, limit)


@pytest.mark.soak
@pytest.mark.timeout(SOAK + 120)
@pytest.mark.parametrize("limit", [1, 2, 3, 8, 32])
def test_nor_in_the_long_run(world: Make, limit: int) -> None:
    stress(world(**ACTS), SOAK / 5, limit)


def test_nor_when_the_methods_of_connections_wait_where_they_seldom_do(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """close() may call into the application, and advance() and expire() may write into a log."""
    for name in ("advance", "close"):
        native = getattr(Conn, name)

        def method(self: Conn, *args: Turn, native: Callable[..., Verdict] = native) -> Verdict:
            if random.random() < 0.2 and green.current_hub() is not None:
                green.sleep(0.001)
            return native(self, *args)

        monkeypatch.setattr(Conn, name, method)
    stress(world(**ACTS), 0.5, 3)


def test_a_batch_of_quick_calls_costs_two_switches(world: Make) -> None:
    """A worker goes on with what the hub has polled, as long as nothing waits."""
    switches: list[str] = []

    def note(event: str, greenlets: tuple[object, object]) -> None:
        switches.append(event)

    def hold() -> None:
        for client in clients:
            client.ask("fast 1")
        previous.append(greenlet.settrace(note))

    previous: list[object] = []
    here = world(fast=compute, hold=hold, last=lambda: greenlet.settrace(None))
    here.hub()
    clients = [here.client() for _ in range(40)]
    for number, client in enumerate(clients):
        assert client.ask(f"fast {100 + number}").answer() == 100 + number
    first, last = here.client(), here.client()
    assert first.ask("hold 2").answer() == 2
    here.counts["run"].clear()
    for client in clients:
        assert client.answer() == 1
    last.ask("last 3").answer()
    here.counts["run"].clear()
    assert len(switches) < 20


@pytest.mark.parametrize("act", [fault, end])
def test_a_call_that_fails_costs_one_connection(
    world: Make, act: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "logThreads", False)  # it would give the hub's thread a name, for ever

    def later() -> None:
        step_back()
        act()

    here = world(fail=act, later=later, fast=compute)
    hub = here.hub()
    other = here.client()
    for number, verb in enumerate(("fail", "later")):
        assert here.client().ask(f"{verb} {number}").has_ended()
        assert other.ask(f"fast {10 + number}").answer() == 10 + number
    here.settle_hub(hub)
    eventually(lambda: len(caplog.records) == (2 if act is fault else 0))


@pytest.mark.parametrize("limit", [1, 4])
def test_closing_in_the_middle_of_it_leaves_nothing(world: Make, limit: int) -> None:
    here = world(**ACTS)
    hub = here.hub(concurrency=limit)
    close_in_the_middle(here, VERBS, hub)
    assert not hub._running
    here.check()
