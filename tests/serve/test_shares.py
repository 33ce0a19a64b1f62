"""Who accepts how much, where several processes accept at the same listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import Served, answering
from wire import eventually, request

import dualwsgi
from dualwsgi.serve.shares import SLACK, SLOTS, Share, Shares

MOST = 64


@pytest.fixture
def shares() -> Iterator[Shares]:
    shares = Shares()
    yield shares
    shares.close()


def member(shares: Shares) -> Share:
    return Share(shares.fileno(), shares.take())


def test_who_is_alone_takes_all(shares: Shares) -> None:
    assert member(shares).room(1000, MOST) == MOST


def test_who_is_ahead_leaves_a_moment_to_the_least_busy_and_only_a_moment(shares: Shares) -> None:
    ahead, behind = member(shares), member(shares)
    assert ahead.room(0, MOST) == SLACK  # the other has not asked yet, and is known all the same
    assert [ahead.room(SLACK, MOST) for _ in range(4)] == [0, 1, 0, 1]
    assert behind.room(0, MOST) == 2 * SLACK
    behind.room(100, MOST)
    assert ahead.room(SLACK, MOST) == MOST


def test_with_many_connections_an_eighth_makes_no_difference(shares: Shares) -> None:
    ahead, behind = member(shares), member(shares)
    behind.room(800, MOST)
    assert ahead.room(900, MOST) == 800 + SLACK + 900 // 8 - 900
    assert ahead.room(1000, MOST) == 0


def test_who_has_left_or_died_is_not_waited_for(shares: Shares) -> None:
    stays, leaves = member(shares), member(shares)
    leaves.room(0, MOST)
    assert stays.room(5, MOST) == 0
    leaves.leave()
    assert stays.room(5, MOST) == MOST
    dead = shares.take()
    Share(shares.fileno(), dead).room(0, MOST)
    shares.free(dead)
    assert stays.room(5, MOST) == MOST


def test_slots_come_back_and_run_out(shares: Shares) -> None:
    taken = [shares.take() for _ in range(SLOTS - 1)]
    assert sorted(taken) == list(range(1, SLOTS))
    assert shares.take() == 0
    shares.free(7)
    assert shares.take() == 7


class Scripted:
    """A share that says what a test wants."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.open = False

    def room(self, load: int, most: int) -> int:
        self.asked.append(load)
        return most if self.open else 0


def test_a_server_asks_for_its_share_and_takes_the_rest_when_it_stops(
    backend: str, kit: Any, serve: Callable[..., Served]
) -> None:
    share = Scripted()
    server = dualwsgi.Server(answering(), share=share, backend=backend, bind="127.0.0.1:0")
    server.start()
    served = Served(server, kit)
    client = served.client().send(request())
    eventually(lambda: len(share.asked) > 2)
    assert client.silent(0.02)
    share.open = True
    assert client.response().status == 200
    share.open = False
    late = served.client().send(request())
    eventually(lambda: 1 in share.asked)
    assert server.stop()
    assert late.response()["Connection"] == "close"
