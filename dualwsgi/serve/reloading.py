"""Watching files, for --reload: what has changed is told, and the supervisor makes new workers of it.

A reload by a change is the reload of HUP: workers with the new code take over when they serve, and code
that cannot be imported changes nothing.  The watching is watchfiles', in a thread of its own, which
reads no file and knows no worker.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

from ..errors import ConfigError

__all__ = ["FileWatch", "is_code"]

logger = logging.getLogger("dualwsgi")

LOOK_INTERVAL: Final = 500
"""Milliseconds after which the thread looks whether it is to end."""

REST: Final = 5.0
"""Seconds from a failure to the next try."""

SETTINGS: Final = ("dualwsgi.toml", "pyproject.toml")


def is_code(path: str) -> bool:
    """Whether a reload may make a difference once this file has changed."""
    name = os.path.basename(path)
    return name.endswith(".py") or name in SETTINGS


class FileWatch:
    """Calls `changed` with the paths that have changed, from a thread, until close().

    Below `directory` it is told of code and settings, and of whatever changes at or below the `extra` paths.
    Raises ConfigError.
    """

    def __init__(self, directory: str, extra: Iterable[str], changed: Callable[[list[str]], object]) -> None:
        try:
            # Not of the house: only who develops needs it.
            self._library: Any = import_module("watchfiles")
        except ImportError:
            raise ConfigError("reload: watchfiles is not there; pip install 'dualwsgi[reload]'") from None
        self._directory = os.path.abspath(directory)
        self._extra = [os.path.abspath(path) for path in extra]
        for path in self._extra:
            if not os.path.exists(path):
                raise ConfigError(f"reload_extra_files: there is no {path!r}; give what can be watched")
        self._changed = changed
        self._usual = self._library.DefaultFilter()  # leaves out .git, .venv, caches and editors' own files
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="dualwsgi-reload", daemon=True).start()

    def close(self) -> None:
        """Has the thread end soon."""
        self._over.set()

    def _watch(self) -> None:
        """The life of the thread, which nobody would miss but who waits for a reload."""
        while not self._over.is_set():
            try:
                self._tell_of_changes()
            except Exception as error:
                logger.error("watching files has failed, and is tried again in %g s: %r", REST, error)
                self._over.wait(REST)

    def _tell_of_changes(self) -> None:
        for changes in self._library.watch(
            self._directory,
            *self._extra,
            watch_filter=self._matters,
            stop_event=self._over,
            rust_timeout=LOOK_INTERVAL,
            raise_interrupt=False,
        ):
            if not self._over.is_set():
                self._changed(sorted({path for _, path in changes}))

    def _matters(self, change: Any, path: str) -> bool:
        if any(path == extra or path.startswith(extra + os.sep) for extra in self._extra):
            return True
        return is_code(path) and bool(self._usual(change, path))
