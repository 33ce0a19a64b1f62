"""Where eventlet's server logs: a logger, or anything with write(), or nowhere."""

from __future__ import annotations

from typing import Any


class FileLog:
    """Writes each message as a line to an object with write(); the debug ones only if `debug`."""

    def __init__(self, log: Any, debug: bool) -> None:
        self.log = log
        self._debug = debug

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self.write(msg, *args)

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self.write(msg, *args)

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if self._debug:
            self.write(msg, *args)

    def write(self, msg: str, *args: Any) -> None:
        text = msg + "\n"
        if args:
            text = text % args
        self.log.write(text)


class NullLog:
    """Says nothing."""

    def error(self, *args: Any, **kwargs: Any) -> None: ...

    info = debug = write = error


def log_of(log: Any, debug: bool) -> Any:
    """A logger is used as it is."""
    if callable(getattr(log, "info", None)) and callable(getattr(log, "debug", None)):
        return log
    return FileLog(log, debug)
