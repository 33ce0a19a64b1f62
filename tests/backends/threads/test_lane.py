"""A leader's passes, faults of the program, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from wire import PATIENCE, eventually

from dualwsgi.seam import Verdict

from ..world import Gate, Make, ask_at_once, quick
from .unwatched import Unwatched

# Passes


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
    lane._crew.pass_lead()
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
    eventually(lambda: not lane._crew.lead.is_runnable())  # else that may be chance
    lane._crew.pass_lead()
    eventually(lambda: lane._crew.busy == 3)
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


class Glanced(dict[int, Any]):
    """A lane's parked connections, which hold up who asks whether there are any."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: Gate | None = None

    def __len__(self) -> int:
        count = super().__len__()
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.wait()
        return count


def test_a_leader_does_not_fall_asleep_over_a_connection_that_is_put_back_just_then(world: Make) -> None:
    """Nothing may come on it any more but its deadline."""
    call, look = Gate(), Gate()
    here = world(stream=call.wait)
    lane = here.lane(Unwatched, shortest=0.02)
    client = here.client()
    client.ask("stream 1")
    call.expect()
    parked = Glanced()

    def swap() -> None:
        lane._parking.parked = parked
        parked.gate = look

    lane.poke(swap)
    look.expect()  # there are none
    call.open()
    eventually(lambda: lane._crew._idle)
    here.conns[0].late = True
    look.open()
    eventually(lambda: here.conns[0].closed)  # who read the answer would wake it
    assert client.answer() == 1
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
    eventually(lambda: lane._crew.busy == 1)
    clients[1].ask("hold 2")
    eventually(lambda: lane._crew.lead.token)
    lane.close()
    assert sorted(ended) == ["hold", "stream"]
    assert all(conn.closed for conn in here.conns)
    assert not lane._crew._workers
    assert lane._crew.busy == 0


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
    assert not lane._parking._epoll.closed
    gate.open()
    eventually(lambda: lane._parking._epoll.closed)
    assert here.conns[0].closed
    assert not lane._crew._workers
