"""Knobs that hold a word or a text: yes or no, one of a few, free text, what a header may carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from .knob import Knob, Shaped

__all__ = ["Choice", "FieldValue", "Switch", "Text", "UrlPath"]


class Switch(Knob):
    """Yes or no."""

    metavar = ""
    wanted = "yes or no (1, true, on and 0, false, off are understood)"
    WORDS: ClassVar[Mapping[str, bool]] = {
        **dict.fromkeys(("1", "true", "yes", "on"), True),
        **dict.fromkeys(("0", "false", "no", "off"), False),
    }

    def parse(self, text: str, label: str) -> bool:
        value = self.WORDS.get(text.strip().lower())
        if value is None:
            self.refuse(text, "is neither yes nor no", label)
        return value

    def check(self, value: Any, label: str) -> bool:
        if not isinstance(value, bool):
            self.refuse(value, "is neither True nor False", label)
        return value

    def write(self, value: bool) -> str:
        return "on" if value else "off"


class Choice(Knob):
    """One word out of a few; `also` are other words for them, in lower case."""

    def __init__(
        self, help_: str, *choices: str, metavar: str = "", also: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(help_)
        self.choices = choices
        self.metavar = metavar or "|".join(choices)
        self.wanted = f"{', '.join(choices[:-1])} or {choices[-1]}"
        self._words = {choice.lower(): choice for choice in choices} | dict(also or {})

    def parse(self, text: str, label: str) -> str:
        word = text.strip().lower()
        return self.check(self._words.get(word, word), label)

    def check(self, value: Any, label: str) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = self._words.get(str(int(value)), value)  # ssl.CERT_REQUIRED and the like
        if not isinstance(value, str) or value not in self.choices:
            self.refuse(value, "is not known", label)
        return value


class Text(Knob):
    """Any text without control characters, or '' for none.  A `secret` one is never shown."""

    wanted = "a text without control characters"

    def __init__(self, help_: str, *, metavar: str = "TEXT", secret: bool = False) -> None:
        super().__init__(help_)
        self.metavar = metavar
        self.secret = secret

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or re.search(r"[\x00-\x1f\x7f]", value):
            self.refuse("***" if self.secret else value, "is not a text", label)
        return value

    def write(self, value: str) -> str:
        return "***" if self.secret and value else value


class FieldValue(Shaped):
    """The value of a response field, or '' for none (RFC 9110 section 5.5, in ASCII)."""

    wanted = "printable ASCII without a space at either end, or '' to send none"
    shape = r"(?:[!-~](?:[ -~]*[!-~])?)?"
    fault = "cannot be sent in a header"


class UrlPath(Shaped):
    """A path that requests ask for, without a query, or '' for none."""

    metavar = "PATH"
    wanted = "a path such as /livez, or '' for none"
    shape = r"(?:/(?:(?![?#%])[!-~])*)?"
    fault = "is no path"
