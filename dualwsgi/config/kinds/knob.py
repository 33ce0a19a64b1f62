"""What a knob is: the help, the text form and the checks of one setting, and how a field holds it.

It knows no setting, and of the kinds of knob only what all have in common.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any, NoReturn

from ...errors import ConfigError

__all__ = ["Knob", "Shaped", "knob"]


class Knob:
    """One setting: what it does, how text is read into it, what it may hold.

    `parse` and `check` return the value to keep, or raise ConfigError; `label` is what the operator
    wrote (`threads`, `--threads` or `DUALWSGI_THREADS`), so that the error names it in their words.
    """

    metavar = "TEXT"
    wanted = "a text"
    bounds = ""

    def __init__(self, help_: str, *, short: str = "") -> None:
        self.help = help_
        self.short = short

    def parse(self, text: str, label: str) -> Any:
        return self.check(text, label)

    def check(self, value: Any, label: str) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> str:
        """The text that `parse` reads as `value`."""
        return str(value)

    def refuse(self, value: object, problem: str, label: str) -> NoReturn:
        raise ConfigError(f"{label}: {value!r} {problem}; give {self.wanted}")


class Shaped(Knob):
    """A text of a certain `shape`, a regular expression that all of it matches; `fault` is what else is."""

    shape = ""
    fault = ""

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.shape, value):
            self.refuse(value, self.fault, label)
        return value


def knob(default: Any, kind: Knob) -> Any:
    """A field of Config with this default, whose metadata holds its Knob."""
    return field(default=default, repr=not getattr(kind, "secret", False), metadata={"knob": kind})
