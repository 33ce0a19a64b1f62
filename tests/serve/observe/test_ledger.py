"""The ledger of a fleet: what is told of it never goes back, whoever leaves, dies or does not answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Served, answering

from dualwsgi.serve.observe.fleet import leave_behind, take_fleet
from dualwsgi.serve.observe.ledger import LEFT_KEPT, Ledger, sweep
from dualwsgi.serve.observe.snapshot import add_past, identity_of, take

ME = identity_of(os.getpid())
DEAD = f"{os.getpid()}-1"
"""A process of this number that has begun at another time."""

pytestmark = pytest.mark.skipif(ME.endswith("-"), reason="this system does not tell when a process began")


def said(name: str, requests: int) -> dict[str, Any]:
    times = {"seconds": requests / 8, "count": requests, "buckets": {"16000": requests}}
    return {
        "workers": [{"identity": name}],
        "totals": {"requests": requests, "classes": {"2xx": requests}},
        "latency": times,
        "queue_wait": times,
        "phases": {"head": times},
        "routes": {},
    }


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, "1-1")


def told(ledger: Ledger, *living: dict[str, Any]) -> int:
    """Requests that a reader tells who has just heard these."""
    counting, past, _ = ledger.settle(living)
    whole = {"totals": {"requests": 0}}
    for counts in [*counting, *past]:
        whole = add_past(whole, {"totals": {"requests": counts["totals"]["requests"]}})
    return whole["totals"]["requests"]


def test_who_leaves_counts_once_though_a_reader_has_heard_it_a_moment_before(ledger: Ledger) -> None:
    leaving, other = said(ME, 5), said("2-2", 1)
    assert told(ledger, leaving, other) == 6
    ledger.leave(said(ME, 7))
    ledger.leave(said(ME, 7))
    assert told(ledger, leaving, other) == 8
    assert told(ledger, other) == 8
    assert told(ledger, leaving) == 8


def test_who_was_killed_counts_with_what_it_was_last_seen_with(ledger: Ledger) -> None:
    assert told(ledger, said(DEAD, 5)) == 5
    assert told(ledger, said(ME, 1)) == 6
    assert told(ledger, said(ME, 2)) == 7
    assert ledger.departed()["left"] == [DEAD]
    assert ledger.departed()["died"] == ledger.settle([])[2] == 1
    counts = ledger.departed()["counts"]
    assert counts["latency"] == {"seconds": 5 / 8, "count": 5, "buckets": {"16000": 5}}


def test_who_does_not_answer_just_now_counts_with_what_it_was_last_seen_with(ledger: Ledger) -> None:
    assert told(ledger, said(ME, 5)) == 5
    assert told(ledger) == 5
    assert told(ledger, said(ME, 6)) == 6
    assert ledger.departed() == {"counts": None, "left": [], "died": 0}


def test_who_ends_without_a_word_has_died_though_nobody_had_looked(ledger: Ledger) -> None:
    ledger.enter(said(DEAD, 0))
    ledger.enter(said(ME, 0))
    ledger.leave(said(ME, 3))
    assert ledger.departed()["died"] == 1
    assert told(ledger) == 3


def test_a_reader_that_was_overtaken_takes_nothing_back(ledger: Ledger) -> None:
    assert told(ledger, said(ME, 6)) == 6
    assert told(ledger, said(ME, 5)) == 6


def test_of_one_who_leaves_nobody_hears_less_because_another_does_not_answer_just_now(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    server = serve(answering(), control_socket=str(tmp_path / "control.sock")).server
    server.supervisor, server.lineage = os.getppid(), "1-1"
    ledger = Ledger(tmp_path, "1-1")
    silent = take(server) | said(identity_of(os.getppid()), 5)
    assert told(ledger, silent) == 5
    leave_behind(server, tmp_path)
    assert take_fleet(server)["totals"]["requests"] == 5


@pytest.mark.parametrize(("octets", "kept"), [(b"}]", True), (b"", False), (b"nonsense", False)])
def test_a_file_that_somebody_could_not_finish_is_read_as_far_as_it_goes(
    ledger: Ledger, tmp_path: Path, octets: bytes, kept: bool
) -> None:
    ledger.leave(said(ME, 5))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + octets if kept else octets)
    assert told(ledger) == 5 * kept
    ledger.leave(said("2-2", 1))
    assert told(ledger) == 5 * kept + 1


def test_few_of_those_that_have_left_are_remembered_by_name(ledger: Ledger) -> None:
    for number in range(LEFT_KEPT + 10):
        ledger.leave(said(f"{number}-1", 1))
    assert told(ledger) == LEFT_KEPT + 10
    assert len(ledger.departed()["left"]) == LEFT_KEPT


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_stays_while_one_of_its_supervisors_lives(
    ledger: Ledger, tmp_path: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    ledger.keep(os.getpid())
    ledger.keep(supervisor.pid)
    ledger.leave(said(DEAD, 5))
    sweep(tmp_path)
    assert told(ledger) == 5
    other = tmp_path / "other"
    other.mkdir()
    alone = Ledger(other, "1-1")
    alone.keep(supervisor.pid)
    sweep(other)
    assert list(other.iterdir())
    supervisor.kill()
    supervisor.wait()
    sweep(other)
    assert not list(other.iterdir())
