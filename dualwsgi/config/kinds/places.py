"""Knobs that say where something is, and who may touch it: files, sockets, logs, modes, callables."""

from __future__ import annotations

import re
from typing import Any

from ..address import UNIX_PATH_MAX
from .knob import Knob, Shaped
from .words import Switch

__all__ = ["FileName", "Hook", "LogTarget", "Mask", "Permissions", "SocketPath"]


class FileName(Knob):
    """A path, or None for none.  Whether the file is there is seen when it is opened."""

    metavar = "FILE"
    wanted = "a path"

    def parse(self, text: str, label: str) -> str | None:
        return self.check(text or None, label)

    def check(self, value: Any, label: str) -> str | None:
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            self.refuse(value, "is not a path", label)
        return value

    def write(self, value: str | None) -> str:
        return value or ""


class LogTarget(FileName):
    """Where a log goes: '-' for standard output, a path, syslog:..., or None for nowhere.

    Text may also be a Switch's word, so that DUALWSGI_ACCESS_LOG=1 does what --access-log does.
    """

    wanted = "a path, '-' for standard output, syslog:, syslog:HOST:PORT, or nothing for no log"

    def parse(self, text: str, label: str) -> str | None:
        if not text:
            return None
        on = Switch.WORDS.get(text.lower())
        return self.check(text, label) if on is None else "-" if on else None


class SocketPath(Knob):
    """Where a unix socket shall be: a path, `auto`, or '' for none."""

    metavar = "PATH"
    wanted = "a path of at most 103 bytes, 'auto' or 'off'"

    def parse(self, text: str, label: str) -> str:
        return self.check("" if Switch.WORDS.get(text.lower()) is False else text, label)

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or "\0" in value:
            self.refuse(value, "is not a path", label)
        if len(value.encode(errors="surrogateescape")) > UNIX_PATH_MAX:
            self.refuse(value, "is too long for a unix socket", label)
        return value

    def write(self, value: str) -> str:
        return value or "off"


class Permissions(Shaped):
    """The permission bits of a file as chmod takes them in octal, or '' to leave them to the umask."""

    metavar = "MODE"
    wanted = "three octal digits such as 660, or nothing to leave it to the umask"
    shape = "(?:0?[0-7]{3})?"
    fault = "is no mode of a file"


class Mask(Shaped):
    """The permission bits that new files shall not have, in octal, or '' to leave them as they are."""

    metavar = "MODE"
    wanted = "an octal number from 0 to 777 such as 027"
    shape = "(?:0o?)?[0-7]{0,3}"
    fault = "is no mask"


class Hook(Knob):
    """Something to call: in Python the callable itself, in text where it is found; None for nothing."""

    metavar = "MODULE:NAME"
    wanted = "a callable, or MODULE:NAME of one"

    def parse(self, text: str, label: str) -> Any:
        return self.check(text or None, label)

    def check(self, value: Any, label: str) -> Any:
        if isinstance(value, str) and not re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", value):
            self.refuse(value, "is not MODULE:NAME", label)
        if value is not None and not isinstance(value, str) and not callable(value):
            self.refuse(value, "cannot be called", label)
        return value

    def write(self, value: Any) -> str:
        return value if isinstance(value, str) else "" if value is None else repr(value)
