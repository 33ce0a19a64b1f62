"""Where the library's own log goes, in every process alike."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Any

from ..errors import ConfigError

__all__ = ["FLEET_FORM", "set_up_log", "tell"]

FLEET_FORM = "%(asctime)s %(levelname)s [%(process)d] %(message)s"
"""Where several processes write to one log."""


def tell(text: str) -> None:
    """A line on standard error, if there is one and somebody reads it.  Never raises: that the reader of
    the log has died is no reason to stop serving.
    """
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def set_up_log(
    level: str, form: str = "%(asctime)s %(levelname)s %(message)s", *, config_file: str = ""
) -> None:
    """Send the library's log to standard error, or to wherever `config_file` or the application sends it.

    To be called when the application is loaded: it may have set up logging, and `dictConfig` puts
    every logger that exists before it out of service unless told not to.  Raises ConfigError for a
    file that cannot be used.
    """
    if config_file:
        _configure(config_file)
    logger = logging.getLogger("dualwsgi")
    logger.disabled = False
    if not config_file or not logger.level:
        logger.setLevel(level.upper())
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(form))
        logger.addHandler(handler)


def _configure(path: str) -> None:
    import logging.config

    try:
        if not path.endswith((".json", ".toml")):
            logging.config.fileConfig(path, disable_existing_loggers=False)
            return
        with open(path, "rb") as file:
            data = file.read()
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False} | _parse(path, data))
    except OSError as error:
        raise ConfigError(
            # The ini reader says in words of its own that there is none.
            f"log_config: cannot read {path!r}: {error.strerror or os.strerror(errno.ENOENT)}; "
            "give a file that can be read"
        ) from None
    # What configuration may raise, an ini parser and the handlers themselves included, is open.
    except Exception as error:
        raise ConfigError(
            f"log_config: {path!r} cannot be used: {error}; give what logging.config takes"
        ) from error


def _parse(path: str, data: bytes) -> dict[str, Any]:
    found: Any
    if path.endswith(".json"):
        import json

        found = json.loads(data)
    else:
        import tomllib

        found = tomllib.loads(data.decode())
    if not isinstance(found, dict):
        raise ValueError("it holds no table")
    return found
