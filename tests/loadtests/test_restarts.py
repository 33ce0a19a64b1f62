"""The restarts under load, with wrk: for minutes, every way and both backends."""

from __future__ import annotations

import re

import pytest

from loadtests.peers.wrk import Load, available
from loadtests.restarts import killing
from loadtests.restarts.__main__ import run
from loadtests.restarts.cases import CASES
from loadtests.restarts.scaling import measure

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(180),
    pytest.mark.skipif(available() is None, reason="needs wrk"),
]


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
@pytest.mark.parametrize("case", [case for case in CASES if case != "kill"])
def test_nothing_is_lost(case: str, backend: str, keep_alive: bool) -> None:
    outcome = run(case, backend, keep_alive, seconds=6)
    assert outcome.result.errors == ()
    assert outcome.result.requests > 0


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
def test_a_killed_worker_takes_with_it_what_it_had_in_hand_and_no_more(
    backend: str, keep_alive: bool
) -> None:
    outcome = run("kill", backend, keep_alive, seconds=6)
    killed = int(re.findall(r"\d+", outcome.done)[0])
    assert killed > 0
    assert outcome.result.socket_errors <= killed * Load().connections
    assert not any("non-2xx" in error for error in outcome.result.errors)


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_what_fails_when_workers_are_killed_was_on_their_own_connections(
    backend: str, keep_alive: bool, tls: bool
) -> None:
    outcome = killing.run(backend, keep_alive, 3, tls=tls)
    assert outcome.requests > 0
    assert not outcome.lost
    assert not outcome.wrong


@pytest.mark.skipif(killing.limits_of_memory() is None, reason="takes root, and a cgroup for memory")
def test_the_same_when_the_system_ends_a_worker_for_want_of_memory(backend: str) -> None:
    outcome = killing.run(backend, keep_alive=True, seconds=3, memory=True)
    assert outcome.deaths
    assert not outcome.lost
    assert not outcome.wrong


def test_a_second_worker_serves_nearly_as_much_again(backend: str) -> None:
    one, two = measure(backend, 1, 4, 16), measure(backend, 2, 4, 16)
    # Not by the clock, which other work on the machine would tell of as well.
    assert two.yield_ > 0.85 * one.yield_
    assert two.evenness > 0.7
