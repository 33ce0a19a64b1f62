"""`dualwsgi run` up to the server: what it loads, says and refuses."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dualwsgi._version import __version__
from dualwsgi.errors import ConfigError
from dualwsgi_cli.launch import DETAIL_LINES


def test_the_version_is_told(invoke: Any) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"dualwsgi {__version__}\n")


def test_without_arguments_the_help_page_is_shown(invoke: Any) -> None:
    assert "Usage: dualwsgi" in invoke().output


def test_without_a_target_run_says_what_is_missing(invoke: Any) -> None:
    result = invoke("run")
    assert result.exit_code == 2
    assert "no application is named" in result.stderr
    assert "MODULE:CALLABLE" in result.stderr


def test_the_start_line_tells_address_backend_calls_pid_and_version(server: Any, invoke: Any) -> None:
    result = invoke("run", "dualwsgi.example:app", "-b", "127.0.0.1:81", "-b", "127.0.0.1:82", "--threads=4")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == (
        f"dualwsgi {__version__} serves dualwsgi.example:app at http://127.0.0.1:81 and http://127.0.0.1:82 "
        f"on threads, up to 4 calls at once (pid {os.getpid()}, Ctrl-C stops it)\n"
    )
    assert server.made[0].calls == ["serve_forever"]


def test_on_green_the_start_line_tells_the_concurrency(server: Any, invoke: Any) -> None:
    result = invoke("run", "dualwsgi.example", "--backend", "green", "--concurrency", "50")
    assert "on green, up to 50 calls at once" in result.stderr


def test_a_quiet_log_level_leaves_out_the_start_line(server: Any, invoke: Any) -> None:
    assert invoke("run", "dualwsgi.example", "--log-level", "warning").output == ""


def test_the_application_comes_from_the_current_directory_or_app_dir(
    server: Any, invoke: Any, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    for place, name in ((tmp_path, "cli_here"), (tmp_path / "sub", "cli_there")):
        (place / f"{name}.py").write_text(f"def app(environ, start_response): return {name!r}\n")
    assert invoke("run", "cli_here").exit_code == 0
    assert invoke("run", "cli_there:app", "--app-dir", "sub").exit_code == 0
    assert invoke("run", DUALWSGI_APP="cli_there", DUALWSGI_APP_DIR="sub").exit_code == 0
    assert [made.app({}, None) for made in server.made] == ["cli_here", "cli_there", "cli_there"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("cli_nowhere:app", "there is no module 'cli_nowhere'"),
        ("dualwsgi.example:ap", "no attribute 'ap'; did you mean dualwsgi.example:app?"),
        ("dualwsgi.example:PAGE", "cannot be called, it is a str"),
    ],
)
def test_a_target_that_cannot_be_served_is_refused_in_one_line(
    server: Any, invoke: Any, target: str, says: str
) -> None:
    result = invoke("run", target)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"dualwsgi: {target.partition(':')[0]}")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not server.made


def test_an_application_that_fails_to_import_shows_its_own_traceback_and_not_ours(
    server: Any, invoke: Any, tmp_path: Path
) -> None:
    (tmp_path / "cli_broken.py").write_text("import cli_absent\n")
    result = invoke("run", "cli_broken")
    assert result.exit_code == 2
    assert "cli_broken.py" in result.stderr
    assert "dualwsgi_cli" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith(
        "dualwsgi: cli_broken: a module that it imports is missing: ModuleNotFoundError"
    )


def test_who_misses_eventlet_is_told_of_ours(
    server: Any, invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "eventlet", None)  # as where it is not installed
    (tmp_path / "cli_openstack.py").write_text("import eventlet.wsgi\n")
    result = invoke("run", "cli_openstack")
    assert result.exit_code == 2
    assert result.stderr.endswith("; --as-eventlet has it find dualwsgi's\n")


def test_a_long_traceback_is_cut_to_one_screen(server: Any, invoke: Any, tmp_path: Path) -> None:
    functions = (f"def f{n}():\n    f{n + 1}()\n" for n in range(40))
    (tmp_path / "cli_deep.py").write_text(
        "".join(functions) + "def f40():\n    raise OSError('deep')\nf0()\n"
    )
    lines = invoke("run", "cli_deep").stderr.splitlines()
    assert len(lines) == DETAIL_LINES + 2
    assert lines[0].endswith("lines above ...")
    assert lines[-2] == "OSError: deep"


def test_an_address_that_cannot_be_had_is_refused_in_one_line(
    server: Any, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "failure", ConfigError("bind: 127.0.0.1:8000 is in use; give another"))
    result = invoke("run", "dualwsgi.example")
    assert result.exit_code == 2
    assert result.stderr == "dualwsgi: bind: 127.0.0.1:8000 is in use; give another\n"


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (OSError(errno.EMFILE, "x"), "Too many open files; raise the limit of open files (`ulimit -n`"),
        (OSError(errno.ENOMEM, "x"), "Cannot allocate memory; free some memory"),
        (MemoryError(), "Cannot allocate memory; free some memory"),
        (RuntimeError("can't start new thread"), "can't start new thread; raise the limit of processes"),
    ],
)
def test_what_the_machine_has_no_more_of_is_told_in_one_line(
    server: Any, invoke: Any, monkeypatch: pytest.MonkeyPatch, failure: Exception, says: str
) -> None:
    monkeypatch.setattr(server, "failure", failure)
    result = invoke("run", "dualwsgi.example")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"dualwsgi: cannot start: {says}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("failure", [RuntimeError("a fault"), OSError(errno.EIO, "a fault"), OSError("x")])
def test_a_fault_of_the_program_is_not_taken_for_that(
    server: Any, invoke: Any, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr(server, "failure", failure)
    assert invoke("run", "dualwsgi.example").exception is failure


def test_the_log_speaks_up_after_the_application_silenced_it(
    server: Any, invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("dualwsgi"), "disabled", True)  # as dictConfig leaves it
    invoke("run", "dualwsgi.example", "--log-level", "error")
    logger = logging.getLogger("dualwsgi")
    assert logger.isEnabledFor(logging.ERROR)
    assert not logger.isEnabledFor(logging.WARNING)
    assert logger.hasHandlers()
