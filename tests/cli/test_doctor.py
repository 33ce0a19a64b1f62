"""`dualwsgi doctor`: what it prints, and the exit code that CI looks at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

APP = """\
import eventlet
from eventlet import wsgi

def app(environ, start_response):
    with eventlet.Timeout(5):
        environ["eventlet.posthooks"].append((print, (), {}))
    start_response("200 OK", [])
    return [b"bytes"]
"""


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--strict",), 1),
        (("--for", "green", "--strict"), 0),
        (("--for", "native"), 1),
        (("--for", "green, threads ,native"), 1),
        (("--for", "gevent"), 2),
        (("--app-dir", "nowhere"), 2),
    ],
)
def test_the_exit_code_says_whether_something_has_to_be_changed(
    invoke: Callable[..., Result], tmp_path: Path, options: tuple[str, ...], code: int
) -> None:
    (tmp_path / "old_app.py").write_text(APP)
    assert invoke("doctor", "old_app:app", *options).exit_code == code


def test_findings_are_told_with_their_place_then_reasons_then_verdicts(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "old_app.py").write_text(APP)
    lines = invoke("doctor", "old_app:app").output.splitlines()
    assert lines[0] == "old_app.py:5: eventlet.Timeout(5) [timeout] threads differs"
    assert lines[2].startswith("[timeout] A thread is interrupted only where it waits")
    assert lines[4].startswith("1 module read; of eventlet: eventlet (1), eventlet.Timeout (1)")
    assert "run with --as-eventlet" in lines[5]
    assert lines[-3:] == [
        "green    works",
        "threads  works, but look at 1 place",
        "native   change 1 place (--for native tells)",
    ]


def test_json_holds_all_of_it(invoke: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "old_app.py").write_text(APP)
    told = json.loads(invoke("doctor", "old_app.py", "--json").output)
    assert told["verdicts"] == {"green": "works", "threads": "differs", "native": "fails"}
    assert [(each["code"], each["line"]) for each in told["findings"]] == [("timeout", 5), ("posthooks", 6)]
