"""The options of `run`: one for each field of Config, by flag and by variable, refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from dualwsgi.config import Config, Switch, headings, knobs


def test_the_help_page_shows_every_knob(invoke: Any) -> None:
    result = invoke("run", "--help")
    assert result.exit_code == 0
    flags = [f"--{name.replace('_', '-')}" for name in knobs()]
    flags += [f"--no-{name.replace('_', '-')}" for name, knob in knobs().items() if isinstance(knob, Switch)]
    assert not set(flags) - set(result.output.split())


def test_the_help_page_has_the_headings_of_the_settings(invoke: Any) -> None:
    output = invoke("run", "--help").output
    places = [output.index(f"\n{heading}\n") for heading in dict.fromkeys(headings().values())]
    assert places == sorted(places)
    assert list(headings()) == list(knobs())


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ("--bind :80 -b [::1]:80", "bind", (":80", "[::1]:80")),
        ("--backend green", "backend", "green"),
        ("--no-patch", "patch", False),
        ("--threads 4", "threads", 4),
        ("--concurrency=9", "concurrency", 9),
        ("--limit-request-body 10M", "limit_request_body", 10 * 1024**2),
        ("--keep-alive 0", "keep_alive", 0.0),
        ("--header-timeout 500ms", "header_timeout", 0.5),
        ("--access-log", "access_log", "-"),
        ("--access-logfile access.log", "access_log", "access.log"),
        ("--access-logfile -", "access_log", "-"),
        ("--access-logfile on", "access_log", "on"),
        ("--access-logfile=", "access_log", None),
        ("--access-log --access-logfile access.log", "access_log", "access.log"),
        ("--access-logfile access.log --no-access-log", "access_log", None),
        ("--log-level warning", "log_level", "warning"),
        ("--debug", "debug", True),
        ("--server-header=", "server_header", ""),
    ],
)
def test_a_flag_sets_its_field(server: Any, invoke: Any, arguments: str, field: str, value: object) -> None:
    result = invoke("run", "dualwsgi.example", *arguments.split(" "))
    assert result.exit_code == 0, result.output
    assert server.made[0].config == Config(**{field: value})


def test_a_variable_sets_its_field_and_a_flag_wins_over_it(server: Any, invoke: Any) -> None:
    environ = {"DUALWSGI_THREADS": "7", "DUALWSGI_BIND": ":1,:2", "DUALWSGI_ACCESS_LOG": "-"}
    invoke("run", "dualwsgi.example", **environ)
    invoke("run", "dualwsgi.example", "--threads", "8", "-b", ":3", "--no-access-log", **environ)
    assert [made.config for made in server.made] == [
        Config(threads=7, bind=(":1", ":2"), access_log="-"),
        Config(threads=8, bind=(":3",)),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--threads 0", "--threads: 0 is out of range; give a whole number from 1 to 10000"),
        ("--threads lots", "--threads: 'lots' is not a whole number"),
        ("--bind 8000", "--bind: '8000' is a port alone; give :8000"),
        ("--backend asyncio", "--backend: 'asyncio' is not known; give threads or green"),
        ("--keep-alive soon", "--keep-alive: 'soon' is not a number of seconds"),
        ("--thread 3", "--thread: there is no such option; did you mean --threads?"),
    ],
)
def test_a_bad_flag_is_refused_by_name_with_code_2(
    server: Any, invoke: Any, arguments: str, says: str
) -> None:
    result = invoke("run", "dualwsgi.example", *arguments.split(" "))
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not server.made


def test_a_bad_variable_is_refused_by_name_with_code_2(server: Any, invoke: Any) -> None:
    result = invoke("run", "dualwsgi.example", DUALWSGI_THREADS="lots")
    assert result.exit_code == 2
    assert result.stderr.startswith("dualwsgi: DUALWSGI_THREADS: 'lots' is not a whole number; give ")
