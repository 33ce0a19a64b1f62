"""Settings from a file on the command line: their rank, `dualwsgi config`, `--check`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualwsgi.config import Config, knobs
from dualwsgi.serve.configfile import open_file
from dualwsgi_cli.entry import wants_patch

Invoke = Callable[..., Any]

APP = "def app(environ, start_response):\n    start_response('204 No Content', [])\n    return []\n"


def write(place: Path, text: str) -> None:
    (place / "hello.py").write_text(APP)
    (place / "dualwsgi.toml").write_text(text)


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(
    invoke: Invoke, tmp_path: Path, server: Any
) -> None:
    write(tmp_path, 'app = "hello"\nthreads = 1\nqueue-size = 1\nbacklog = 1\n')
    done = invoke("run", "--threads", "3", DUALWSGI_THREADS="2", DUALWSGI_QUEUE_SIZE="2")
    assert done.exit_code == 0, done.output
    config = server.made[0].config
    assert (config.threads, config.queue_size, config.backlog) == (3, 2, 1)


def test_check_loads_the_application_and_serves_nothing(invoke: Invoke, tmp_path: Path, server: Any) -> None:
    write(tmp_path, 'app = "hello:app"\n')
    done = invoke("run", "--check")
    assert done.exit_code == 0
    assert done.stderr == "dualwsgi: hello:app can be served; settings: dualwsgi.toml\n"
    assert server.made[0].calls == []
    (tmp_path / "hello.py").write_text("import no_such_module\n")


def test_check_reads_the_certificates(invoke: Invoke, tmp_path: Path, server: Any) -> None:
    write(tmp_path, 'app = "hello:app"\ncertfile = "/no/such.pem"\n')
    done = invoke("run", "--check")
    assert done.exit_code == 2
    assert "certfile: cannot read '/no/such.pem': No such file or directory; give" in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no application is named; give MODULE:CALLABLE"),
        ('app = "hello:nothing"', "it has no attribute 'nothing'"),
        ('app = "hello:app"\nthread = 1', "dualwsgi.toml, line 2: thread: there is no such setting"),
    ],
)
def test_what_is_wrong_in_a_file_ends_the_start_with_code_2(
    invoke: Invoke, tmp_path: Path, text: str, says: str
) -> None:
    write(tmp_path, text)
    done = invoke("run", "--check")
    assert done.exit_code == 2
    assert says in done.stderr


def test_no_file_is_read_if_it_is_named_so(invoke: Invoke, tmp_path: Path, server: Any) -> None:
    write(tmp_path, "nonsense")
    assert invoke("run", "hello:app", "--config", "").exit_code == 0


def test_config_prints_a_file_that_says_the_same(invoke: Invoke, tmp_path: Path) -> None:
    write(tmp_path, 'app = "hello"\nthreads = 1\n')
    done = invoke("config", "--backlog", "5", DUALWSGI_QUEUE_SIZE="9")
    assert done.exit_code == 0, done.output
    said = [name.replace("-", "_") for name in tomllib.loads(done.output)]
    assert said == ["app", *knobs()]
    (tmp_path / "printed.toml").write_text(done.output)
    assert Config(**open_file("printed.toml").settings()) == Config(threads=1, backlog=5, queue_size=9)
    lines = {line.split(" = ")[0]: line.rpartition("# ")[2] for line in done.output.splitlines()}
    assert lines["threads"] == "dualwsgi.toml"
    assert lines["backlog"] == "flag"
    assert lines["queue-size"] == "DUALWSGI_QUEUE_SIZE"
    assert lines["concurrency"] == "default"
    short = invoke("config", "--only-set").output
    assert [line.split(" = ")[0] for line in short.splitlines()] == ["app", "threads"]


@pytest.mark.parametrize(
    ("text", "arguments", "environ", "expected"),
    [
        ("backend = 'green'", "run hello", {}, True),
        ("backend = 'Green'\npatch = false", "run hello", {}, False),
        ("patch = 'off'", "run hello --backend green", {}, False),
        ("patch = false", "run hello --backend green --patch", {}, True),
        ("backend = 'green'", "run hello --backend threads", {}, False),
        ("backend = 'green'", "run hello", {"DUALWSGI_BACKEND": "threads"}, False),
        ("backend = 'green'", "run hello --config=other.toml", {}, False),
        ("backend = 'green'", "run hello", {"DUALWSGI_CONFIG": ""}, False),
        ("backend = nonsense", "run hello --backend green", {}, True),
    ],
)
def test_the_entry_point_looks_into_the_file_before_it_patches(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    arguments: str,
    environ: dict[str, str],
    expected: bool,
) -> None:
    write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert wants_patch(arguments.split(), environ) is expected
