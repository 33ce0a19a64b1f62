"""`dualwsgi compare` up to the first server: what it takes, refuses and says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dualwsgi.compare import locust, wrk


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--users", "four"], "--users: 'four' is no list of numbers; give one"),
        (["--users", ""], "no list of numbers"),
        (["--users", "0"], "out of range; give numbers from 1 to 10,000"),
        (["--users", "10001"], "out of range"),
        (["--rounds", "1"], "--rounds: "),
        (["--seconds", "0.05"], "--seconds: "),
        (["--url", "http://127.0.0.1/"], "is not a path; give /path"),
        (["--header", "NoColon"], "'NoColon' is no header field; give 'Name: value'"),
        (["--header", "X: a\r\nY: b"], "is no header field"),
        (["--side", "threads"], "give --side twice"),
        (["--side", "fast", "--side", "slow"], "'fast' starts with no backend; give 'threads ...'"),
        (["--body", "absent"], "No such file or directory: 'absent'"),
        (["--locustfile", "absent.py"], "there is no file 'absent.py'; give the path"),
        (["--locustfile", "x.py", "--url", "/"], "leave out --url, --header, --body and --wrk"),
        (["--wrk", "--processes", "2"], "leave it out with --wrk"),
        (["--wrk", "--seconds", "1.5"], "wrk knows whole seconds only; give 2"),
        (["--json", "absent/x.json"], "its directory does not exist; make it"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_started(
    invoke: Any, arguments: list[str], says: str
) -> None:
    result = invoke("compare", "dualwsgi.example", *arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_missing_locust_names_the_extra_and_wrk(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locust, "locust_is_here", lambda: False)
    result = invoke("compare", "dualwsgi.example")
    assert result.exit_code == 2
    assert "pip install 'dualwsgi[load]'" in result.stderr
    assert "--wrk" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_wrk_says_how_to_get_it(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrk, "wrk_is_here", lambda: False)
    result = invoke("compare", "dualwsgi.example", "--wrk")
    assert (result.exit_code, result.stderr) == (2, f"dualwsgi: {wrk.WRK_MISSING}\n")


@pytest.mark.soak  # locust takes seconds to start
@pytest.mark.skipif(not locust.locust_is_here(), reason="locust is not installed")
def test_a_locust_file_that_fails_is_told_with_its_own_error(invoke: Any, tmp_path: Path) -> None:
    Path("broken.py").write_text("import nowhere_to_be_found\n")
    result = invoke("compare", "dualwsgi.example", "--locustfile", "broken.py")
    assert result.exit_code == 2
    assert result.stderr == "dualwsgi: locust: ModuleNotFoundError: No module named 'nowhere_to_be_found'\n"
