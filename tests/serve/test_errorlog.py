"""The server's own log: as a file configures it, or as the level says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualwsgi.config import Config
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
    set_up_log(Config(log_level="debug", log_config=str(path)))
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
        set_up_log(Config(log_config=str(path)))
    assert str(caught.value).startswith("log_config: ")
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="log_config: "):
        set_up_log(Config(log_config=str(tmp_path / "none.json")))


def test_the_log_goes_to_a_file_that_may_be_moved_away(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "error.log"
    for _ in range(2):  # a second server of the process writes nothing twice
        set_up_log(Config(error_logfile=str(path)))
    logger.warning("first")
    path.rename(tmp_path / "error.log.1")
    logger.warning("second")
    logger.debug("nothing of this")
    assert (tmp_path / "error.log.1").read_text().endswith("WARNING first\n")
    assert path.read_text().endswith("WARNING second\n")
    assert path.read_text().count("\n") == 1


def test_what_a_full_disk_has_no_room_for_goes_to_standard_error(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_log(Config(error_logfile="/dev/full"))
    logger.error("still told")
    assert capsys.readouterr().err.endswith("ERROR still told\n")


def test_a_directory_that_has_gone_is_no_reason_to_fail(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "logs" / "error.log"
    path.parent.mkdir()
    set_up_log(Config(error_logfile=str(path)))
    path.parent.rename(tmp_path / "elsewhere")
    logger.error("told all the same")
    assert capsys.readouterr().err.endswith("ERROR told all the same\n")
    path.parent.mkdir()
    logger.error("and there again")
    assert path.read_text().endswith("ERROR and there again\n")


def test_a_log_file_that_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"error_logfile: cannot write '.*': No such file or directory; give"
    ):
        set_up_log(Config(error_logfile=str(tmp_path / "none" / "error.log")))
    with pytest.raises(ConfigError, match="error_logfile: log_config says where the log goes"):
        Config(error_logfile="error.log", log_config="log.toml")
