"""Settings from a file: `dualwsgi.toml`, or the table [tool.dualwsgi] of a `pyproject.toml`.

    app = "shop.wsgi:application"
    bind = ["0.0.0.0:8000", "unix:/run/shop.sock"]
    threads = 16
    keep-alive = "75s"

A key is a field of Config (with "-" or "_"), or `app` and `app-dir`, which say what to serve.  What a
key may hold, its knob says: a text is read as a flag's would be, other values as they are in Python.

The entry point of the command line looks in here before it patches the standard library, so nothing
is imported at the top that green code may have to find patched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from ..errors import ConfigError

__all__ = ["DEFAULT_FILES", "ConfigFile", "find_file", "open_file"]

DEFAULT_FILES: Final = ("dualwsgi.toml", "pyproject.toml")
"""Looked for in the current directory, in this order, where no file is named."""

TARGET_KEYS: Final = ("app", "app_dir")
"""What a file may say besides the fields of Config."""


class ConfigFile:
    """A file's table of settings, as TOML has read it.  `table` is what stands in the file; `settings`
    and `target` judge it, and `place` says where a key stands."""

    def __init__(self, path: str, text: str, table: Mapping[str, Any], *, section: str = "") -> None:
        self.path = path
        self.table = {key.replace("-", "_"): value for key, value in table.items()}
        self._written = {key.replace("-", "_"): key for key in table}
        self._text = text
        self._section = section

    @property
    def target(self) -> dict[str, str]:
        """`app` and `app_dir`, as far as the file says them; app_dir is relative to the file.

        Raises ConfigError.
        """
        found = {}
        for name in TARGET_KEYS:
            value = self.table.get(name)
            if value is None:
                continue
            if not isinstance(value, str) or not value:
                self._refuse(name, f"{value!r} is not a text; give {_EXAMPLES[name]}")
            found[name] = value
        if "app_dir" in found:
            found["app_dir"] = os.path.join(os.path.dirname(self.path), found["app_dir"])
        return found

    def settings(self) -> dict[str, Any]:
        """The fields of Config that the file sets, checked.

        Raises ConfigError, which names file, line, key and cure.
        """
        from ..config import LogTarget, knobs

        known = knobs()
        found = {}
        for name, value in self.table.items():
            if name in TARGET_KEYS:
                continue
            knob = known.get(name)
            if knob is None:
                self._refuse(name, _unknown(name, [*known, *TARGET_KEYS]))
            if isinstance(knob, LogTarget) and isinstance(value, bool):
                found[name] = knob.parse("on" if value else "off", self.place(name))
            elif isinstance(value, str):
                found[name] = knob.parse(value, self.place(name))
            else:
                found[name] = knob.check(value, self.place(name))
        return found

    def place(self, name: str) -> str:
        """Where the key stands, as an error names it: "dualwsgi.toml, line 3: threads"."""
        key = re.escape(self._written[name])
        start = self._text.find(self._section) if self._section else 0
        match = re.compile(rf"^[ \t]*[\"']?{key}[\"']?[ \t]*[=.]", re.MULTILINE).search(self._text, start)
        line = f", line {self._text.count(chr(10), 0, match.start()) + 1}" if match else ""
        return f"{self.path}{line}: {self._written[name]}"

    def _refuse(self, name: str, problem: str) -> NoReturn:
        raise ConfigError(f"{self.place(name)}: {problem}")


_EXAMPLES: Final = {"app": 'MODULE:NAME such as "hello:app"', "app_dir": "a directory"}


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    cure = f"did you mean {near[0]}?" if near else "`dualwsgi config` prints every one"
    return f"there is no such setting; {cure}"


def find_file(environ: Mapping[str, str], named: str | None = None) -> str | None:
    """The path of the file to read: `named`, else DUALWSGI_CONFIG, else the first of DEFAULT_FILES that
    is in the current directory and speaks of dualwsgi.  An empty name means none at all."""
    for name in (named, environ.get("DUALWSGI_CONFIG")):
        if name is not None:
            return name or None
    for path in DEFAULT_FILES:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                if path != "pyproject.toml" or "[tool.dualwsgi" in file.read():
                    return path
        except OSError:
            pass
    return None


def open_file(path: str) -> ConfigFile:
    """Reads a file.  Raises ConfigError if it cannot be read or is no TOML."""
    import tomllib  # a millisecond that a run without a file does not need

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; give --config FILE") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give --config FILE") from None
    except ValueError as error:  # TOML's own error and UnicodeDecodeError are both
        raise ConfigError(f"{path}: is no TOML: {error}") from None
    if os.path.basename(path) != "pyproject.toml":
        return ConfigFile(path, text, data)
    table = data.get("tool", {}).get("dualwsgi", {})
    return ConfigFile(path, text, table, section="[tool.dualwsgi]")
