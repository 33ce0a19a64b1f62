"""The server's own log: as a file configures it, or as the level says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualwsgi.errors import ConfigError
from dualwsgi.serve.errorlog import set_up_log


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("dualwsgi")
    root = logging.getLogger()
    before = logger.handlers[:], logger.level, logger.propagate, root.handlers[:], root.level
    yield logger
    for handler in logger.handlers:
        if handler not in before[0]:
            handler.close()
    logger.handlers[:], logger.level, logger.propagate, root.handlers[:], root.level = before
    logger.manager._clear_cache()  # type: ignore[attr-defined]


def settings(path: Path) -> dict[str, object]:
    return {
        "formatters": {"short": {"format": "%(levelname)s|%(message)s"}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "short"},
        },
        "loggers": {"dualwsgi": {"handlers": ["file"], "level": "WARNING", "propagate": False}},
    }


@pytest.mark.parametrize("kind", ["json", "toml", "ini"])
def test_a_file_configures_logging(tmp_path: Path, logger: logging.Logger, kind: str) -> None:
    out, path = tmp_path / "out", tmp_path / f"log.{kind}"
    if kind == "json":
        path.write_text(json.dumps(settings(out)))
    elif kind == "toml":
        path.write_text(
            "[formatters.short]\nformat = '%(levelname)s|%(message)s'\n"
            f"[handlers.file]\nclass = 'logging.FileHandler'\nfilename = '{out}'\nformatter = 'short'\n"
            "[loggers.dualwsgi]\nhandlers = ['file']\nlevel = 'WARNING'\npropagate = false\n"
        )
    else:
        path.write_text(
            "[loggers]\nkeys=root,d\n[handlers]\nkeys=f\n[formatters]\nkeys=s\n"
            "[logger_root]\nhandlers=\n"
            "[logger_d]\nqualname=dualwsgi\nhandlers=f\nlevel=WARNING\npropagate=0\n"
            f"[handler_f]\nclass=FileHandler\nargs=('{out}',)\nformatter=s\n"
            "[formatter_s]\nformat=%(levelname)s|%(message)s\n"
        )
    set_up_log("debug", config_file=str(path))
    logger.info("not this")
    logger.warning("but %s", "this")
    assert out.read_text() == "WARNING|but this\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.toml", "="),
        ("a.ini", "nonsense"),
        ("a.json", '{"handlers": 3}'),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        set_up_log("info", config_file=str(path))
    assert str(caught.value).startswith("log_config: ")
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="log_config: "):
        set_up_log("info", config_file=str(tmp_path / "none.json"))
