"""What is sent, how latencies are counted, and what wrk says."""

from __future__ import annotations

import math
import random
import re

import pytest
from table import table

from dualwsgi.compare.locust import _shares
from dualwsgi.compare.traffic import GRID, Ask, GeneratorFailed, Traffic, bucket, merged, parse_ask
from dualwsgi.compare.wrk import parse, script


@table(
    ("text", "body", "expected"),
    [
        ("/", b"", Ask("/")),
        ("/a?b=c", b"x", Ask("/a?b=c", "POST", {}, b"x")),
        ("GET /a", b"x", Ask("/a")),
        ("PUT /a", b"x", Ask("/a", "PUT", {}, b"x")),
        ("  DELETE   /a ", b"", Ask("/a", "DELETE")),
    ],
)
def test_a_request_is_read(text: str, body: bytes, expected: Ask) -> None:
    assert parse_ask(text, {}, body) == expected


@table("text", ["", "a", "http://x/", "GET", "get /", "GET / HTTP/1.1", "/\x01", "/é", "G.T /"])
def test_what_is_no_request_is_refused_with_a_cure(text: str) -> None:
    with pytest.raises(ValueError, match="give "):
        parse_ask(text, {})


def test_percentiles_from_the_counts_of_several_processes_are_exact_to_one_percent() -> None:
    chance = random.Random(7)
    values = [chance.lognormvariate(-5, 1) for _ in range(20_000)]
    counts: list[dict[int, int]] = [{}, {}, {}]
    for number, value in enumerate(values):
        one = counts[number % 3]
        one[bucket(value)] = one.get(bucket(value), 0) + 1
    found = merged(counts, max(values))
    ranked = sorted(values)
    assert list(found) == list(GRID)
    for share in GRID:
        exact = ranked[math.ceil(share / 100 * len(ranked)) - 1]
        assert found[share] == pytest.approx(exact, rel=0.011)
    assert found[100.0] == max(values)


def test_nothing_counted_gives_no_percentile_and_no_latency_is_too_short() -> None:
    assert merged([{}], 0.0) == {}
    assert merged([{bucket(0.0): 1}], 0.0)[50.0] == 0.0


def test_rate_counts_what_went_well_and_busy_what_it_would_have_worked() -> None:
    traffic = Traffic(2.0, 100, {"500": 20}, {}, cpu=1.0, processes=2, waited=2.0)
    assert (traffic.rate, traffic.failed, traffic.busy) == (40.0, 20, 0.75)
    assert math.isnan(Traffic(0.0, 0, {}, {}, 0.0).rate)


@table(("users", "processes", "expected"), [(5, 2, [3, 2]), (1, 4, [1]), (4, 4, [1, 1, 1, 1]), (64, 1, [64])])
def test_processes_share_the_users(users: int, processes: int, expected: list[int]) -> None:
    assert _shares(users, processes) == expected


# wrk


def test_a_script_holds_each_request_and_no_text_ends_its_strings() -> None:
    text = script([Ask("/a", headers={'X-"A': 'b"]]\\'}), Ask("/b", "POST", {}, b'\x00\xff"\n')])
    calls = re.findall(r"wrk\.format\((.*)\)", text)
    assert len(calls) == 2
    for call in calls:
        assert re.fullmatch(r'(?:"(?:\\\d{3})*"|nil|[,{}\[\]= ])*', call)
    assert r'"\080\079\083\084"' in calls[1]
    assert r'"\000\255\034\010"' in calls[1]


WRK_SAID = """\
Running 1s test @ http://127.0.0.1:8000/
  1000 requests in 1.00s, 1.00MB read
dualwsgi total 1000 1000000
dualwsgi connect errors 0
dualwsgi read errors 7
dualwsgi time-outs 0
dualwsgi answers of 400 and above 3
dualwsgi latency 50 1500
dualwsgi latency 100 9000
"""


def test_what_wrk_says_is_read() -> None:
    found = parse(WRK_SAID, 0.4)
    # A read error is no request of wrk's; an answer of 500 is.
    assert (found.seconds, found.requests, found.cpu) == (1.0, 1007, 0.4)
    assert found.errors == {"read errors": 7, "answers of 400 and above": 3}
    assert found.latency == {50.0: 0.0015, 100.0: 0.009}


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:1"])
def test_what_is_no_report_of_wrk_is_an_error(output: str) -> None:
    with pytest.raises(GeneratorFailed, match="wrk: "):
        parse(output, 0.0)
