"""Counters: what is noted is counted once, whoever folds; histograms are near, and add up."""

from __future__ import annotations

import random
import threading
from time import monotonic

import pytest
from table import table

from dualwsgi.counters import (
    FACTS,
    FOLD_AT,
    FOLD_EVERY,
    NO_REQUEST,
    OTHER,
    RECENT,
    ROUTES,
    SLOW_LIFE,
    SLOWEST,
    Counters,
    Histogram,
    bounds_of,
    bucket_of,
    middle_of,
    total,
)
from dualwsgi.http11.head import RequestLine, parse_request_line

PEER = {"REMOTE_ADDR": "192.0.2.1"}


def line(target: str) -> RequestLine:
    return parse_request_line(f"GET {target} HTTP/1.1")


def note(
    counters: Counters, which: RequestLine | None, status: int, seconds: float, ended: float = 0.0
) -> None:
    ended = ended or monotonic()
    counters.done += (which, PEER, (status, 5, 100), ended - seconds, ended)
    if ended >= counters.due:
        counters.look(ended)


# Histograms

LENGTHS = [0.0, 1e-9, 1e-6, 29e-6, 30.6e-6, 1e-3, 0.5, 1.99, 2.0, 2.01, 3600.0]


@table("seconds", LENGTHS)
def test_a_bucket_holds_its_lengths_and_is_narrow(seconds: float) -> None:
    low, high = bounds_of(bucket_of(seconds))
    assert low <= seconds < high
    if seconds:
        assert high - low <= seconds / 15
        assert abs(middle_of(bucket_of(seconds)) - seconds) <= 0.034 * seconds


@table("low", [1e-7, 3.1e-5, 0.1, 1.9])
def test_many_at_once_count_as_one_by_one(low: float) -> None:
    lengths = [low * random.Random(7).uniform(1, 3) for _ in range(500)] + [low]
    at_once, each = Histogram(), Histogram()
    buckets = at_once.note_all(lengths)
    for seconds in lengths:
        each.note(seconds)
    assert at_once.counts == each.counts
    assert max(buckets) == max(each.counts)
    assert at_once.seconds == pytest.approx(each.seconds)


def test_percentiles_are_near_the_true_ones_and_histograms_add_up() -> None:
    chance = random.Random(11)
    lengths = sorted(chance.lognormvariate(-6, 1) for _ in range(2000))
    one, two = Histogram(), Histogram()
    one.note_all(lengths[::2])
    two.note_all(lengths[1::2])
    one.add(two)
    assert one.count == 2000
    for share in (50, 95, 99):
        assert one.percentile(share) == pytest.approx(lengths[20 * share - 1], rel=0.07)
    assert Histogram().percentile(50) == 0.0
    assert one.up_to(1e9) == 2000
    assert one.up_to(0.0) == 0


# Folding


def test_every_request_is_counted_once_by_class_route_and_time() -> None:
    counters = Counters()
    for number in range(10):
        note(counters, line(f"/item/{number}"), 200, 0.001)
    note(counters, line("/broken"), 500, 0.25)
    note(counters, None, 400, 0.0)
    counters.fold()
    assert counters.requests == 12
    assert total([counters]).bytes_sent == 1200
    assert counters.classes == [0, 0, 10, 0, 1, 1]
    assert {name: route.times.count for name, route in counters.routes.items()} == {
        "GET /item/*": 10,
        "GET /broken": 1,
        NO_REQUEST: 1,
    }
    assert counters.routes["GET /broken"].errors == 1
    assert counters.times.count == 12
    counters.fold()
    assert counters.requests == 12


def test_the_short_way_for_one_route_says_what_the_long_way_says() -> None:
    short, long = Counters(), Counters()
    which = line("/hello")
    lengths = [random.Random(3).uniform(1e-5, 1e-2) for _ in range(300)]
    for seconds in lengths:
        note(short, which, 500, seconds, 5.0)
        note(long, which, 500, seconds, 5.0)
    short.fold()
    note(long, None, 400, 0.0, 5.0)
    long.fold()
    del long.routes[NO_REQUEST]
    assert short.routes["GET /hello"].times.counts == long.routes["GET /hello"].times.counts
    assert short.routes["GET /hello"].errors == long.routes["GET /hello"].errors == 300
    assert short.times.seconds == pytest.approx(long.times.seconds, rel=0.03)


def test_many_new_targets_at_once_are_all_counted_though_not_all_are_looked_at() -> None:
    counters = Counters()
    for number in range(1000):
        note(counters, line(f"/{'abcdefghij'[number % 10]}/x"), 200, 0.001)
    counters.fold()
    assert sum(route.times.count for route in counters.routes.values()) == 1000
    assert counters.requests == 1000


def test_routes_without_end_take_no_memory_without_end() -> None:
    counters = Counters()
    words = (f"{a}{b}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz")
    for word in words:
        note(counters, line(f"/{word}"), 200, 0.001)
        counters.fold()
    assert len(counters.routes) == ROUTES + 1
    assert counters.routes[OTHER].times.count == 26 * 26 - ROUTES
    both = total([counters, counters])
    assert both.requests == 2 * 26 * 26
    assert sum(route.times.count for route in both.routes.values()) == 2 * 26 * 26


def test_the_last_and_the_slowest_are_remembered_and_the_old_forgotten() -> None:
    counters = Counters()
    now = monotonic()
    note(counters, line("/slow"), 200, 9.0, now - SLOW_LIFE - 1)
    counters.fold()
    note(counters, line("/slowish"), 200, 5.0, now)
    for number in range(3 * RECENT):
        note(counters, line("/"), 200, 0.001 * number, now + number / 1e6)
    counters.fold()
    summed = total([counters])
    assert len(summed.recent) == RECENT
    assert summed.recent[-1].seconds == pytest.approx(0.001 * (3 * RECENT - 1))
    assert summed.recent[-1].peer == "192.0.2.1"
    assert [past.line.target for past in summed.slowest if past.line] == ["/slowish"]
    for number in range(SLOWEST + 4):
        note(counters, line(f"/s{number}"), 200, 1.0 + number, now)
        counters.fold()
    slowest = total([counters]).slowest
    assert len(slowest) == SLOWEST
    assert slowest[-1].seconds == SLOWEST + 4


def test_nothing_is_lost_while_an_owner_counts_and_others_read() -> None:
    counters = Counters()
    which, count, readers = line("/"), 20_000, 3
    over = threading.Event()
    seen: list[list[int]] = [[] for _ in range(readers)]

    def read(mine: list[int]) -> None:
        while not over.is_set():
            mine.append(total([counters]).requests)

    threads = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for _ in range(count):
        note(counters, which, 200, 0.001)
    over.set()
    for thread in threads:
        thread.join()
    assert total([counters]).requests == count
    assert total([counters]).times.count == count
    for mine in seen:
        assert mine == sorted(mine)


def test_whoever_finds_the_folding_taken_goes_on() -> None:
    counters = Counters()
    note(counters, line("/"), 200, 0.001)
    assert counters._take()
    counters.fold()
    assert len(counters.done) == FACTS
    assert counters.requests == 0


def test_an_owner_folds_when_there_is_enough_and_looks_for_it_only_now_and_then() -> None:
    counters = Counters()
    which, now = line("/"), 1000.0
    counters.look(now)
    for _ in range(FOLD_AT + 1):
        note(counters, which, 200, 0.001, now)
    assert counters.requests == 0
    note(counters, which, 200, 0.001, now + FOLD_EVERY)
    assert counters.requests == FOLD_AT + 2
    note(counters, which, 200, 0.001, now + 3 * FOLD_EVERY)
    assert counters.requests == FOLD_AT + 2, "a few are not worth it"
