"""Events: none is lost, and none taken for another connection's, whoever has what it is for."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from wire import eventually

from dualwsgi.backends.threads.parking import READY, Parking
from dualwsgi.seam import Verdict

from ..world import Gate, Make
from .unwatched import Unwatched

# Lost edges


def test_what_comes_in_during_a_call_is_read_after_it(world: Make) -> None:
    gate = Gate()
    here = world(hold=gate.wait)
    lane = here.lane(limit=2)
    client = here.client().ask("hold 1")
    gate.expect()
    client.ask("fast 2")
    eventually(lambda: lane._parking._missed)
    gate.open()
    assert [client.answer(), client.answer()] == [1, 2]
    here.settle(lane)
    assert not lane._parking._missed


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
    lane._parking._missed = missed = Watched()
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


@pytest.fixture
def parking() -> Iterator[Parking]:
    parking = Parking()
    yield parking
    parking.close()


@pytest.mark.parametrize("is_back", [False, True], ids=["before it is back", "just after"])
def test_an_event_of_a_connection_that_the_leader_did_not_find_comes_once_it_is_back(
    parking: Parking, is_back: bool
) -> None:
    conn: Any = SimpleNamespace(fd=1000)
    steps = [lambda: parking.miss(conn.fd, select.EPOLLRDHUP), lambda: parking.put_back(conn, again=False)]
    for step in reversed(steps) if is_back else steps:
        step()
    assert (conn.fd, READY | select.EPOLLRDHUP) in parking.poll(0)
    assert not parking.poll(0)


def test_each_descriptor_comes_once_in_a_batch(parking: Parking) -> None:
    ours, theirs = os.pipe()
    with open(ours, "rb"), open(theirs, "wb"):
        parking.again.extend([(ours, 0), (2000, 0), (2000, select.EPOLLRDHUP)])
        parking.add(ours)
        os.write(theirs, b"x")
        assert sorted(parking.poll(0)) == sorted([(ours, READY), (2000, READY | select.EPOLLRDHUP)])


def test_one_that_goes_on_without_an_event_comes_once(parking: Parking) -> None:
    conn: Any = SimpleNamespace(fd=1000)
    parking.miss(conn.fd, select.EPOLLIN)
    parking.put_back(conn, again=True)
    assert [fd for fd, _ in parking.poll(0)].count(conn.fd) == 1
    assert not parking.poll(0)


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
        lane._order(lambda turn: lane._parking.again.append((number, 0)))
    assert second.ask("fast 2").answer() == 2
    lane._order(lambda turn: lane._parking.again.extend([(number, 0)] * 3))
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
    eventually(lambda: number in lane._parking._missed)
    gate.open()
    assert first.has_ended()
    eventually(lambda: here.conns[0].closed)
    others = [here.client() for _ in range(5)]
    eventually(lambda: len(here.conns) == 6)
    assert number in [conn.fd for conn in here.conns[1:]], "the lowest free number is used again"
    assert number not in lane._parking._missed
    for count, other in enumerate(others):
        assert other.ask(f"fast {10 + count}").answer() == 10 + count
    here.settle(lane)
