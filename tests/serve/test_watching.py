"""When a worker is asked, replaced or killed: both sides of each limit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from math import inf

import pytest
from table import table

from dualwsgi.config import Config
from dualwsgi.serve.channel import Channel, pair
from dualwsgi.serve.process import Process
from dualwsgi.serve.watching import ABORT_MARGIN, ask_interval, watch, why_replace

CONFIG = Config(timeout=30)


class Watched(Process):
    """A worker that notes which signals it was sent, and what it was told."""

    def __init__(self, channel: Channel, other: Channel) -> None:
        super().__init__("worker", 1, 0, "threads", 1, channel, pid=1, born=100.0, ready=100.0)
        self.other = other
        self.sent: list[signal.Signals] = []

    def signal(self, number: signal.Signals) -> None:
        self.sent.append(number)

    def told(self) -> list[str]:
        return [word for word, _, _ in self.other.lines()]

    def rss(self) -> int:
        return 5 << 20


@pytest.fixture
def worker() -> Iterator[Watched]:
    mine, theirs = pair()
    other = Channel(theirs)
    yield Watched(mine, other)
    mine.close()
    other.close()


def test_it_is_asked_when_it_is_time_and_once(worker: Watched) -> None:
    worker.next_ask = 110.0
    assert watch(worker, CONFIG, 109.9) == 110.0
    assert worker.told() == []
    assert watch(worker, CONFIG, 110.0) == 140.0
    assert watch(worker, CONFIG, 111.0) == 140.0
    assert worker.told() == ["ping"]


def test_silence_up_to_the_timeout_is_borne_and_then_it_is_ended(worker: Watched) -> None:
    worker.asked = 110.0
    assert watch(worker, CONFIG, 140.0) == 140.0
    assert worker.sent == []
    assert watch(worker, CONFIG, 140.1) == 140.1 + ABORT_MARGIN
    assert worker.sent == [signal.SIGABRT]
    assert "its loop has stood still for 30 s" in worker.killed_for
    assert watch(worker, CONFIG, 141.0) == 140.1 + ABORT_MARGIN
    assert worker.sent == [signal.SIGABRT]
    watch(worker, CONFIG, 140.1 + ABORT_MARGIN)
    assert worker.sent == [signal.SIGABRT, signal.SIGKILL]


def test_without_a_timeout_nobody_is_asked(worker: Watched) -> None:
    assert watch(worker, Config(timeout=0), 1e9) == inf
    assert worker.told() == []


def test_a_slow_start_is_told_once_and_borne(worker: Watched, caplog: pytest.LogCaptureFixture) -> None:
    worker.ready = 0.0
    assert watch(worker, CONFIG, 120.0) == 130.0
    assert watch(worker, CONFIG, 131.0) == inf
    assert watch(worker, CONFIG, 132.0) == inf
    assert [record.getMessage() for record in caplog.records] == [
        "worker 0 (pid 1, threads) has been starting for 31 s"
    ]
    assert worker.sent == []


def test_one_that_outstays_its_grace_time_is_killed(worker: Watched) -> None:
    worker.asked, worker.kill_at = 110.0, 120.0
    assert watch(worker, CONFIG, 119.9) == 120.0
    assert watch(worker, CONFIG, 120.0) == 121.0
    assert worker.sent == [signal.SIGKILL]
    assert worker.killed_for == "was killed: it had not left within the grace time"


def test_age_and_memory_have_their_limits(worker: Watched) -> None:
    worker.lifetime = 60.0
    assert why_replace(worker, CONFIG, 159.9) == ""
    assert why_replace(worker, CONFIG, 160.0) == "it has lived 60 s"
    assert why_replace(worker, Config(max_worker_rss=5 << 20), 101.0) == ""
    assert why_replace(worker, Config(max_worker_rss=(5 << 20) - 1), 101.0) == "it holds 5 MiB of memory"
    worker.ready = 0.0
    assert why_replace(worker, Config(max_worker_rss=1), 1e9) == ""


@table(("timeout", "seconds"), [(30, 10), (300, 10), (3, 1), (0.3, 0.1)])
def test_a_worker_is_asked_thrice_a_timeout_or_every_ten_seconds(timeout: float, seconds: float) -> None:
    assert ask_interval(timeout) == pytest.approx(seconds)
