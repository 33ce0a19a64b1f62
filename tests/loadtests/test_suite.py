"""The locust suite: the application behind both backends, its tables, and locust itself on top."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ports import locust_ports
from table import table
from wire import request

from dualwsgi.compare.locust import locust_is_here
from loadtests import app, suite
from loadtests.work import KINDS, MIXTURES, SHAPES, Stage, mixture, stage_at

ROOT = Path(__file__).parents[2]
needs_locust = pytest.mark.skipif(not locust_is_here(), reason="locust is not installed")

# The tables


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_step_is_answered_by_the_application_with_what_it_expects(serve: Any, kind: Any) -> None:
    server = serve(app.app)
    cookie = ""
    for step in kind.steps:
        fields = [("Host", "x")] + ([("Cookie", cookie)] if cookie else [])
        if step.method == "POST":
            fields += [("Content-Type", step.kind), ("Content-Length", str(len(step.body)))]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        answer = server.ask(
            f"{step.method} {step.path} HTTP/1.1\r\n{head}\r\n".encode() + step.body, step.method
        )
        assert answer.status == 200
        assert step.expect in answer.body
        cookie = (answer.get("Set-Cookie") or cookie).partition(";")[0]


def test_what_is_no_route_is_told(serve: Any) -> None:
    answer = serve(app.app).ask(request(target="/nowhere"))
    assert answer.status == 404
    assert b"upstream" in answer.body


def test_a_basket_without_a_session_is_refused(serve: Any) -> None:
    assert serve(app.app).ask(request(target="/basket")).status == 403


def test_mixtures_are_of_kinds_that_there_are() -> None:
    for weights in MIXTURES.values():
        assert weights.keys() <= KINDS.keys()
        assert all(weight > 0 for weight in weights.values())
    assert mixture("api") is MIXTURES["api"]
    assert mixture("json, CPU") == {"Json": 1, "Cpu": 1}


@table("name", ["", "nothing", "Json,nothing", ","])
def test_an_unknown_mixture_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(ValueError, match="there are api, shop"):
        mixture(name)


@table("shape", SHAPES.values(), ids=SHAPES)
def test_shapes_go_forward_and_end(shape: tuple[Stage, ...]) -> None:
    assert [stage.until for stage in shape] == sorted({stage.until for stage in shape})
    for stage, before in zip(shape, [Stage(0, 0, 0), *shape], strict=False):
        assert stage_at(shape, before.until) == (stage.users, stage.rate)
    assert stage_at(shape, shape[-1].until) is None


# Locust for real


@needs_locust
@pytest.mark.soak  # locust takes seconds to start
@pytest.mark.parametrize("extra", [[], ["--processes", "2"]], ids=["headless", "distributed"])
@pytest.mark.parametrize("backend", ["threads"])  # how locust runs is no matter of the backend
def test_locust_loads_a_server_without_a_failure(serve: Any, extra: list[str], tmp_path: Path) -> None:
    server = serve(app.app)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--headless"),
            *("-H", server.address, "-u", "9", "-r", "100", "-t", "5", "--json", "--loglevel", "ERROR"),
            *extra,
        ],
        env={**os.environ, **locust_ports(), "MIX": "Json,Browse,Churn,SlowSender,SlowReader,Upload,Stream"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = _rows(done.stdout)
    assert {"/json", "/json (slow)", "/login", "/upload"} <= {row["name"] for row in rows}
    assert sum(row["num_failures"] for row in rows) == 0


def _rows(output: str) -> list[dict[str, Any]]:
    """The rows of each process's report; those of workers come first and may be empty."""
    rows: list[dict[str, Any]] = []
    while output := output.strip():
        found, end = json.JSONDecoder().raw_decode(output)
        rows += found
        output = output[end:]
    return rows


@needs_locust
@pytest.mark.soak
@pytest.mark.parametrize(("variable", "told"), [("MIX", "there are api"), ("SHAPE", "there are ramp")])
def test_a_mistyped_mixture_or_shape_is_told(variable: str, told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--list"],
        env={**os.environ, variable: "nothing"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["nothing"], "is no mixture"), (["--users", "0"], "1 or more"), (["--rounds", "1"], "at least 2")],
)
def test_the_suite_refuses_what_it_cannot_measure(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        suite.main(arguments)
    assert told in capsys.readouterr().err


@needs_locust
@pytest.mark.soak
def test_the_suite_measures_both_backends_and_writes_its_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "loadtests.suite", "json", "api", "--users", "4", "--rounds", "2"),
            *("--seconds", "0.3", "--warm-up", "0", "--markdown", str(tmp_path / "x.md")),
            *("--reports", str(tmp_path / "reports")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "x.md").read_text()
    assert "| tiny JSON | 4 |" in text
    assert "| mixture: api | 4 |" in text
    assert "Failed requests: none." in text
    said = json.loads((tmp_path / "reports" / "Json.json").read_text())
    assert len(said["windows"]) == 4
