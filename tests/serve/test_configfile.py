"""A file of settings: each key is its knob's, and every mistake is told with file, line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualwsgi.config import Config, knobs
from dualwsgi.errors import ConfigError
from dualwsgi.serve.configfile import find_file, open_file


def written(place: Path, text: str, name: str = "dualwsgi.toml") -> str:
    path = place / name
    path.write_text(text)
    return str(path)


def test_values_are_read_as_flags_would_be_or_as_they_are_in_python(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        app = "shop:app"
        app-dir = "src"
        bind = [":8000", "unix:/run/a.sock"]
        threads = 4
        keep-alive = "2m"
        body_timeout = 7
        limit-request-body = "10M"
        access-log = true
        debug = false
        """,
    )
    file = open_file(path)
    assert file.target == {"app": "shop:app", "app_dir": str(tmp_path / "src")}
    assert file.settings() == {
        "bind": (":8000", "unix:/run/a.sock"),
        "threads": 4,
        "keep_alive": 120.0,
        "body_timeout": 7.0,
        "limit_request_body": 10 * 1024**2,
        "access_log": "-",
        "debug": False,
    }


def test_every_default_can_be_written_and_is_read_back(tmp_path: Path) -> None:
    from dualwsgi_cli.written import toml_line

    config = Config()
    lines = [toml_line(name, getattr(config, name)) for name in knobs()]
    file = open_file(written(tmp_path, "\n".join(lines)))
    assert Config(**file.settings()) == config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nthread = 3\n", "line 2: thread: there is no such setting; did you mean threads?"),
        ("zzz = 3", "line 1: zzz: there is no such setting; `dualwsgi config` prints every one"),
        ("threads = 0", "line 1: threads: 0 is out of range; give a whole number from 1 to 10000"),
        ("# threads\nthreads = 'many'", "line 2: threads: 'many' is not a whole number"),
        ("threads = true", "line 1: threads: True is not a whole number"),
        ("keep-alive = '75 d'", "line 1: keep-alive: '75 d' is not a number of seconds"),
        ("bind = 8000", "line 1: bind: 8000 is not an address"),
        ("bind = [8000]", "line 1: bind: [8000] names no address"),
        ("backend = 'asyncio'", "line 1: backend: 'asyncio' is not known; give threads or green"),
        ("debug = 1", "line 1: debug: 1 is neither True nor False"),
        ("threads = ", "is no TOML: Invalid value"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_cure(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        open_file(path).settings()
    assert str(caught.value).startswith(path)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["app = 3", "app = ''", "app-dir = []"])
def test_what_is_to_be_served_is_a_text(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="line 1: app"):
        _ = open_file(written(tmp_path, text)).target


def test_of_a_pyproject_only_the_tool_table_counts(tmp_path: Path) -> None:
    text = "threads = 1\n[tool.other]\nthreads = 'x'\n[tool.dualwsgi]\nthreads = 0\n"
    path = written(tmp_path, text, "pyproject.toml")
    with pytest.raises(ConfigError, match="line 5: threads: 0 is out of range"):
        open_file(path).settings()


def test_a_file_that_is_not_there_or_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; give --config FILE"):
        open_file(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        open_file(str(tmp_path))
    (tmp_path / "bad.toml").write_bytes(b"\xff = 1")
    with pytest.raises(ConfigError, match="is no TOML"):
        open_file(str(tmp_path / "bad.toml"))


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_file({}) is None
    written(tmp_path, "[tool.black]\n", "pyproject.toml")
    assert find_file({}) is None
    written(tmp_path, "[tool.dualwsgi]\n", "pyproject.toml")
    assert find_file({}) == "pyproject.toml"
    written(tmp_path, "")
    assert find_file({}) == "dualwsgi.toml"
    assert find_file({"DUALWSGI_CONFIG": "b.toml"}) == "b.toml"
    assert find_file({"DUALWSGI_CONFIG": "b.toml"}, "a.toml") == "a.toml"
    assert find_file({"DUALWSGI_CONFIG": ""}) is None
    assert find_file({}, "") is None
