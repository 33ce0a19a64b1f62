"""The peers benchmark: its pure parts, and one second of it for real. No time is ever asserted."""

from __future__ import annotations

import json
import math
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from xml.etree import ElementTree

import pytest
from table import table

from dualwsgi.compare.process import cpu_seconds, descendants
from loadtests.peers import apps, postgres, reference, wire, wrk
from loadtests.peers.drives import Sample
from loadtests.peers.merge import CannotMerge, merge
from loadtests.peers.plots import as_svg
from loadtests.peers.report import (
    Result,
    aligned,
    as_json,
    as_markdown,
    as_page,
    not_first,
    notes,
    rows,
    verdicts,
)
from loadtests.peers.rounds import Record
from loadtests.peers.scenarios import SCENARIOS
from loadtests.peers.servers import SERVERS, Environments, make_certificate
from loadtests.peers.stats import Spread, paired_ratios, percentile, spread

WRK_OUTPUT = """\
Running 2s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   421.73us   89.03us   2.46ms   91.26%
    Req/Sec   142.33k     3.02k  146.57k    70.00%
  Latency Distribution
     50%  417.00us
     75%  431.00us
     90%  468.00us
     99%    1.25ms
  283171 requests in 2.00s, 31.06MB read
Requests/sec: 141585.50
Transfer/sec:     15.53MB
"""

# wrk's output


def test_a_clean_report_gives_requests_latencies_in_seconds_and_no_errors() -> None:
    result = wrk.parse(WRK_OUTPUT)
    assert (result.requests, result.seconds, result.errors) == (283171, 2.0, ())
    assert result.rate == 283171 / 2.0
    assert result.p50 == pytest.approx(0.000417)
    assert result.p99 == pytest.approx(0.00125)
    assert result.worst == pytest.approx(0.00246)


def test_what_wrk_complains_of_is_kept_in_its_words() -> None:
    broken = WRK_OUTPUT.replace(
        "Requests/sec",
        "  Socket errors: connect 1, read 22, write 3, timeout 4\n"
        "  Non-2xx or 3xx responses: 17\n"
        "Requests/sec",
    )
    result = wrk.parse(broken)
    assert result.errors == (
        "17 non-2xx answers",
        "socket errors: connect 1, read 22, write 3, timeout 4",
    )
    assert (result.read_errors, result.socket_errors) == (22, 30)


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:1 Connection refused"])
def test_output_that_is_no_report_is_an_error(output: str) -> None:
    with pytest.raises(wrk.WrkFailed):
        wrk.parse(output)


def test_unique_heads_are_unique_across_runs_too() -> None:
    load = wrk.Load(script="unique_short.lua")
    first, second = (wrk.command(load, 8000, 2) for _ in range(2))
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]


@table("name", [name for name, one in SCENARIOS.items() if hasattr(one.drive, "load")])
def test_the_scripts_that_scenarios_name_are_there(name: str) -> None:
    script = SCENARIOS[name].drive.load.script  # type: ignore[attr-defined]
    assert script is None or (wrk.SCRIPTS / script).is_file()


# Statistics


@table(
    ("values", "expected"),
    [
        ([3.0, 1.0, 2.0], Spread(2.0, 1.0, 3.0)),
        ([1.0, 2.0], Spread(1.5, 1.0, 2.0)),
        ([math.nan, 5.0], Spread(5.0, 5.0, 5.0)),
        ([math.nan], None),
        ([], None),
    ],
)
def test_spread_is_median_lowest_and_highest_of_what_there_is(
    values: list[float], expected: Spread | None
) -> None:
    assert spread(values) == expected


def test_ratios_are_taken_within_rounds_and_skip_rounds_without_a_figure() -> None:
    assert paired_ratios([10.0, 30.0, math.nan, 8.0], [20.0, 30.0, 1.0, 0.0]) == [0.5, 1.0]
    assert paired_ratios([1.0, 2.0], [4.0]) == [0.25]


@table(("share", "expected"), [(50, 5.0), (99, 10.0), (100, 10.0), (0, 1.0)])
def test_percentiles_are_by_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(10, 0, -1)], share) == expected


# The report


def _record(server: str, *cpu: float) -> Record:
    record = Record(server)
    for value in cpu:
        record.add(Sample({"cpu": value, "rate": 1 / value, "core": 1.0, "p50": 0.001, "p99": math.nan}))
    return record


@pytest.fixture
def result() -> Result:
    failed = Record("waitress", failed="ServerFailed: it said [bold]no[/bold]")
    records = [
        _record("dualwsgi", 10e-6, 12e-6, 9e-6),
        _record("bjoern", 10e-6, 10e-6, 10e-6),
        _record("gunicorn-gthread", 90e-6, 100e-6, 110e-6),
        failed,
    ]
    return Result(SCENARIOS["hello"], records, "dualwsgi")


def test_the_table_ranks_by_the_first_column_and_ends_with_the_paired_ratio(result: Result) -> None:
    heading, *lines = rows(result)
    assert heading[0] == "server"
    assert heading[-1] == "dualwsgi / it"
    assert [line[0] for line in lines] == ["dualwsgi", "bjoern", "gunicorn-gthread", "waitress"]
    assert lines[0][1] == "10.0 [9.0-12.0]"
    assert [line[-1] for line in lines] == ["-", "1.000 [0.900-1.200]", "0.111 [0.082-0.120]", "-"]
    assert len({len(line) for line in rows(result)}) == 1


def test_goals_are_judged_by_the_median_of_paired_ratios(result: Result) -> None:
    assert [verdict.met for verdict in verdicts(result)] == [True, False]
    without = Result(result.scenario, result.records[1:], "bjoern")
    assert [verdict.met for verdict in verdicts(without)] == [None, None]


def test_json_keeps_each_round_and_has_no_nan(result: Result) -> None:
    said = json.loads(json.dumps(as_json([result], {}), allow_nan=False))
    servers = said["scenarios"]["hello"]["servers"]
    assert [one["cpu"] for one in servers["bjoern"]["rounds"]] == [10e-6] * 3
    assert servers["bjoern"]["dualwsgi_ratio"]["median"] == pytest.approx(1.0)
    assert servers["waitress"]["failed"]


ABOUT = {
    "date": "2000-01-01",
    "machine": "2 cores of some CPU, 4 GB of RAM, Linux 6.1",
    "python": "CPython 3.11.7",
    "pinning": "nothing pinned",
    "versions": {"bjoern": "3.2.2"},
    "commands": ["python -m loadtests.peers hello"],
}


def test_markdown_has_a_table_the_command_and_who_failed(result: Result) -> None:
    text = as_markdown([result], ABOUT)
    assert "| bjoern | 10.0 | 100,000 |" in text
    assert "$ python -m loadtests.peers hello" in text
    assert "bjoern 3.2.2" in text
    assert "waitress FAILED" in text


def test_a_note_is_told_once_with_the_servers_that_it_is_true_of(result: Result) -> None:
    first, second, *_ = result.records
    first.notes += ["only 7 of 9 were kept", "only 8 of 9 were kept"]
    second.notes += ["only 5 of 9 were kept", "keeps no connection alive"]
    for record in result.records[:3]:
        record.notes.append("disturbed")
    assert notes(result)[:3] == [
        "dualwsgi (in 2 rounds), bjoern: only 7 of 9 were kept",
        "every server: disturbed",
        "bjoern: keeps no connection alive",
    ]


def test_where_a_peer_is_first_is_told_by_figure_and_with_the_reason(result: Result) -> None:
    assert not_first(result) is None, "1.00 and 1.02 are the same"
    slower = [_record("dualwsgi", 12e-6, 12e-6), _record("dualwsgi-green", 11e-6, 11e-6), *result.records[1:]]
    line = not_first(Result(SCENARIOS["hello"], slower, "dualwsgi"))
    assert line is not None
    assert line.startswith(
        "`hello`: bjoern 10.0, dualwsgi-green 11.0 CPU/request us (1.10 times); "
        "bjoern 100,000, dualwsgi-green 90,909 requests/s (1.10 times). Why: "
    )
    alone = Result(SCENARIOS["hello"], [_record("dualwsgi", 12e-6, 12e-6)], "dualwsgi")
    assert not_first(alone) is None


def test_a_scenario_with_others_in_it_has_a_reason_why_they_may_be_first() -> None:
    compared = [one for one in SCENARIOS.values() if any(not SERVERS[name].ours for name in one.servers)]
    assert not [one.name for one in compared if not one.why and one.columns[0].tells]


def test_the_page_has_a_glance_pictures_figures_commands_and_what_is_not_first(result: Result) -> None:
    page = as_page([result], ABOUT, {"hello": "benchmarks/hello.svg"})
    assert "| [hello](#hello) | CPU/request us | 10.0 | - | 10.0 bjoern | 100.0 |" in page
    assert "](benchmarks/hello.svg)" in page
    assert "## Where dualwsgi is not first\n\nNowhere in this run." in page
    assert "| bjoern | 10.0 |" in page
    assert "{ #hello }" in page


def _document(*results: Result, **about: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(as_json(results, ABOUT | about)))
    return document


def test_a_run_in_parts_becomes_one_with_the_later_figures_of_what_comes_twice(result: Result) -> None:
    close = Result(SCENARIOS["close"], [_record("dualwsgi", 5e-6, math.nan)], "dualwsgi")
    again = Result(SCENARIOS["hello"], [_record("dualwsgi", 7e-6)], "dualwsgi")
    parts = [
        _document(close, result),
        _document(again, date="2000-01-02", commands=["python -m loadtests.peers close"]),
    ]
    results, about = merge(parts)
    assert [one.scenario.name for one in results] == ["hello", "close"]
    assert about["date"] == "2000-01-01 to 2000-01-02"
    assert about["commands"] == ["python -m loadtests.peers hello", "python -m loadtests.peers close"]
    assert rows(results[0])[1][:2] == ["dualwsgi", "7.0"]
    assert rows(results[1]) == rows(close)
    whole, _ = merge(parts[:1])
    assert as_page(whole, ABOUT, {}) == as_page([result, close], ABOUT, {})


@pytest.mark.parametrize("other", [{"python": "CPython 3.13.1"}, {"versions": {"bjoern": "3.2.3"}}])
def test_runs_that_would_not_compare_are_not_merged(result: Result, other: dict[str, object]) -> None:
    with pytest.raises(CannotMerge, match=next(iter(other))):
        merge([_document(result), _document(result, **other)])


def test_a_picture_is_well_formed_and_has_a_bar_for_each_server_with_figures(result: Result) -> None:
    picture = as_svg(result)
    assert picture is not None
    drawn = ElementTree.fromstring(picture)
    bars = [element for element in drawn.iter() if element.tag.endswith("rect")]
    assert [bar.get("class") for bar in bars] == ["ours", "peer", "peer"]
    assert all(0 < float(bar.get("width", "0")) <= 760 for bar in bars)
    assert as_svg(Result(SCENARIOS["hello"], [Record("bjoern", failed="no")], "bjoern")) is None


def test_plain_text_is_aligned() -> None:
    assert aligned([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc   d"


# Servers and the reference programs


def test_every_server_of_a_scenario_is_known_and_its_command_line_is_complete(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "ours", tmp_path / "peers")
    for scenario in SCENARIOS.values():
        assert scenario.database or hasattr(apps, scenario.app)
        for name in scenario.servers:
            command = environments.command(
                SERVERS[name], app="m:a", port=8123, threads=7, log=tmp_path / "log"
            )
            assert "8123" in " ".join(command)
            assert not any("{" in word for word in command)
            if scenario.tls:
                pair = (tmp_path / "chain", tmp_path / "key")
                secure = environments.command(
                    SERVERS[name], app="m:a", port=8123, threads=7, log=tmp_path / "log", certificate=pair
                )
                assert all(str(file) in " ".join(secure) for file in pair) is (SERVERS[name].tls is not None)


def test_a_head_becomes_an_environ() -> None:
    environ = reference.parse_head(
        b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nAccept: a\r\naccept: b"
    )
    names = (
        "REQUEST_METHOD",
        "PATH_INFO",
        "QUERY_STRING",
        "SERVER_PROTOCOL",
        "CONTENT_LENGTH",
        "HTTP_ACCEPT",
    )
    assert [environ[name] for name in names] == ["POST", "/a b", "c=d", "HTTP/1.1", "3", "a,b"]


def test_this_process_is_its_own_tree_and_uses_cpu() -> None:
    assert os.getpid() in descendants([os.getpid()])
    assert cpu_seconds(os.getpid()) > 0


# For real


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.skipif(wrk.available() is None, reason="wrk is not installed")
def test_one_second_against_the_standard_library_answers_requests() -> None:
    with make_server("127.0.0.1", 0, apps.hello, handler_class=_Quiet) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            with wire.Client(server.server_port) as client:
                assert client.get() == (200, apps.GREETING)
            result = wrk.run(wrk.Load(connections=2), server.server_port, 1, None)
        finally:
            server.shutdown()
            serving.join()
    assert result.requests > 0
    assert not [error for error in result.errors if "non-2xx" in error]


@pytest.mark.soak
def test_a_postgresql_of_ones_own_serves_the_django_application_and_ends(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    pytest.importorskip("django")
    if postgres.program("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory() as scratch, postgres.running(Path(scratch), None) as url:
        # A process of its own: Django is configured once and for all.
        said = subprocess.run(
            [
                *(sys.executable, "-c"),
                "from wsgiref.util import setup_testing_defaults as d;"
                "from loadtests.peers.djangoapp import app;"
                "e = {}; d(e); print(b''.join(app(e, lambda s, h: print(s))).decode())",
            ],
            env={**os.environ, "DATABASE_URL": url},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("200 OK")
    assert "item 520: " in said.stdout
    assert "100 in stock" in said.stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_small_client_speaks_tls_with_a_certificate_made_for_the_run(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path))
    with make_server("127.0.0.1", 0, apps.hello, handler_class=_Quiet) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        with wire.Client(server.server_port, tls=True) as client:
            assert client.get() == (200, apps.GREETING)
        serving.join()
