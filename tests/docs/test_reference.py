"""What the reference says is so in the code: environ's keys, statuses, figures, the width of help pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command import call, commands
from serving import Served
from table import table
from wire import request

from dualwsgi.backends.threads import crew, followers, routes, watchdog
from dualwsgi.config import Config, knobs
from dualwsgi.gateway import requestbody
from dualwsgi.gateway.phase import Phase, patience
from dualwsgi.http11.response import REASONS
from dualwsgi.serve import server
from dualwsgi.serve.observe import logformat

DOCS = Path(__file__).parent.parent.parent / "docs"
PACKAGE = DOCS.parent / "dualwsgi"
Serve = Callable[..., Served]


def test_every_key_of_environ_is_in_its_table_and_the_other_way_round(serve: Serve) -> None:
    found: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        found.extend(environ)
        start_response("204 No Content", [])
        return []

    serve(app).ask(request("POST", "/", "Content-Type: text/plain", body=b"x"))
    page, _, _ = (DOCS / "reference/environ.md").read_text().partition("## Some of the time")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    told = {key for row in rows for key in re.findall(r"`([^`]+)`", row)}
    present = {"HTTP_*" if key.startswith("HTTP_") else key for key in found}
    assert told == present


def test_keys_of_environ_that_are_there_some_of_the_time_are_told() -> None:
    page = (DOCS / "reference/environ.md").read_text()
    for file in (*(PACKAGE / "gateway").rglob("*.py"), *(PACKAGE / "serve").rglob("*.py")):
        for key in re.findall(r'environ\["([\w.]+)"\] = ', file.read_text()):
            told = any(f"`{name}" in page for name in (key, key.partition("_")[0] + "_*"))
            assert told, f"{file.name} sets {key}, and the page does not tell it"


def test_every_answer_of_the_server_has_its_row_and_no_other_has() -> None:
    page = (DOCS / "reference/answers.md").read_text()
    rows = dict(re.findall(r"^\| (\d{3}) ([\w ]+?) \|", page, re.MULTILINE))
    assert rows == {str(code): reason for code, reason in REASONS.items()}
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", page))
    assert named <= set(knobs()), "a setting that is none"


def test_every_field_of_the_access_log_is_told_and_no_other() -> None:
    _, _, rest = (DOCS / "reference/logs.md").read_text().partition("### Fields")
    cells = re.findall(r"^\| (`.*?) \|", rest.partition("## The error log")[0], re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert told == set(logformat.NAMES)


def test_every_phase_of_a_connection_is_told_with_its_deadline() -> None:
    page = (DOCS / "explanation/life-of-a-request.md").read_text()
    rows = dict(re.findall(r"^\| ([A-Z]+) \| .*? \| .*?`(\w+)`", page, re.MULTILINE))
    assert rows.keys() == {phase.name for phase in Phase} - {"CLOSED"}
    for number, name in enumerate(sorted(set(rows.values())), 1):
        for phase, seconds in patience(Config(**{name: float(number)})).items():
            if phase.name in rows and phase is not Phase.RUNNING and rows[phase.name] == name:
                assert seconds == number, f"{phase.name} is not bounded by {name}"


def test_every_test_that_shows_what_green_does_is_there() -> None:
    page = (DOCS / "green-tests.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = [path.read_text() for path in (DOCS.parent / "tests/green").glob("test_*.py")]
    there = {name for text in tests for name in re.findall(r"^def (test_\w+)", text, re.M)}
    assert len(named) > 50
    assert named <= there, named - there


def test_the_exit_codes_of_all_commands_are_told() -> None:
    page = (DOCS / "reference/signals.md").read_text()
    for file in (PACKAGE.parent / "cli").rglob("*.py"):
        for code in re.findall(r"^EXIT_\w+ = (\d+)", file.read_text(), re.MULTILINE):
            assert f"| {code} | " in page, f"{file.name} ends with {code}"


@table(
    ("page", "says", "holds"),
    [
        ("explanation/lanes.md", "at most 0.2 ms off the processor", routes.QUICK_WAIT == 0.0002),
        ("explanation/lanes.md", "until four calls in a row were quick", routes.TRIALS == 4),
        ("explanation/lanes.md", "found waiting needs 64", routes.TRIALS_AGAIN == 64),
        ("explanation/lanes.md", "keeps the leader for 5 to 10 ms", watchdog.TICK == 0.005),
        ("explanation/lanes.md", "for ten seconds after", crew.RESERVE_TIME == 10),
        ("explanation/lanes.md", "its connection for 5 ms", followers.STAY == 0.005),
        ("explanation/lanes.md", "go after 20 s", crew.IDLE_TIME == 20),
        ("explanation/life-of-a-request.md", "at most 64 KB", requestbody.BODY_HELD == 65536),
        ("explanation/life-of-a-request.md", "up to 256 KB", requestbody.DRAIN_LIMIT == 262144),
        ("explanation/stopping.md", "been silent for half a second", server.DRAIN_WINDOW == 0.5),
        ("explanation/stopping.md", "`graceful_timeout`, 30 s", Config().graceful_timeout == 30),
        ("start/choosing.md", "`--threads` (default 32)", Config().threads == 32),
        ("start/choosing.md", "`--concurrency` (default 1,000)", Config().concurrency == 1000),
        ("guides/from-gunicorn.md", "the default is 75 s", Config().keep_alive == 75),
    ],
)
def test_a_figure_is_the_one_in_the_code(page: str, says: str, holds: bool) -> None:
    text = " ".join((DOCS / page).read_text().split())
    assert says in text, "the page has changed: change the table, too"
    assert holds, f"{page} says {says!r}, and that is not so any more"


def test_help_reads_well_at_80_columns() -> None:
    for command in commands():
        done = call([*command.split(), "--help"], {"COLUMNS": "80", "TERM": "dumb"})
        assert done.exit_code == 0, command
        lines = done.stdout.splitlines()
        assert lines[0].startswith(f"Usage: dualwsgi {command}".rstrip())
        assert max(map(len, lines)) <= 80, command
        assert not [line for line in lines if "…" in line], f"{command}: something was cut off"
        assert not [line for line in lines if line != line.rstrip()], (
            f"{command}: blanks at the end of a line"
        )
        # What typer adds is put into the words of the other texts.
        added = re.search(r"\[(?:default|env var|required)|<=x<=|<(?:str|int|bool)>", done.stdout)
        assert not added, command
