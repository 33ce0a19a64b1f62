"""Where the library's own log goes, in every process alike."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from typing import Any

from ..config import Config
from ..errors import ConfigError
from .nonblocking import NonBlockingWriter, may_wait, open_for_log

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


def set_up_log(config: Config, form: str = "%(asctime)s %(levelname)s %(message)s") -> None:
    """Send the library's log to `error_logfile`, or to wherever `log_config` or the application sends it, or
    else to standard error.

    To be called when the application is loaded: it may have set up logging, and `dictConfig` puts
    every logger that exists before it out of service unless told not to.  Raises ConfigError for a
    file that cannot be used.
    """
    if config.log_config:
        _configure(config.log_config)
    logger = logging.getLogger("dualwsgi")
    logger.disabled = False
    if not config.log_config or not logger.level:
        logger.setLevel(config.log_level.upper())
    if config.error_logfile is not None:
        _write_to_file(logger, config.error_logfile, form)
    elif not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(form))
        logger.addHandler(handler)


def _write_to_file(logger: logging.Logger, path: str, form: str) -> None:
    from logging.handlers import WatchedFileHandler

    class ErrorLogFile(WatchedFileHandler):
        """Opens the file anew when another has taken its name, or none has it any more."""

        def _open(self) -> io.TextIOWrapper:
            # Without buffers: a line is whole among those of other processes, and none stays behind
            # that could not be written.
            octets: Any = io.FileIO(self.baseFilename, "ab", opener=open_for_log)
            if may_wait(octets.fileno()):
                octets = NonBlockingWriter(octets.fileno(), octets)  # /dev/stderr, say, and it is a pipe
            return io.TextIOWrapper(octets, "utf-8", "backslashreplace", write_through=True)

        def emit(self, record: logging.LogRecord) -> None:
            try:
                super().emit(record)
            except OSError:  # opening it anew
                self.handleError(record)

        def handleError(self, record: logging.LogRecord) -> None:
            tell(self.format(record))  # a full disk, say: it is told somewhere

    place = os.path.abspath(path)
    if any(getattr(handler, "baseFilename", "") == place for handler in logger.handlers):
        return  # a second server of one process
    try:
        handler = ErrorLogFile(place)
    except OSError as error:
        raise ConfigError(f"error_logfile: cannot write {path!r}: {error.strerror}; give another") from None
    handler.setFormatter(logging.Formatter(form))
    logger.addHandler(handler)
    logger.propagate = False


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
