"""Knobs that hold a number: counts, sizes in bytes, times in seconds."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from .knob import Knob

__all__ = ["DAY", "GIB", "KIB", "Count", "Seconds", "Size"]

KIB = 1024
GIB = 1024**3
DAY = 86_400.0


class Count(Knob):
    """A whole number within a range."""

    metavar = "N"

    def __init__(self, help_: str, low: int, high: int) -> None:
        super().__init__(help_)
        self.low, self.high = low, high
        self.bounds = f"{self.write(low)} to {self.write(high)}"
        self.wanted = f"a whole number from {self.bounds}"

    def parse(self, text: str, label: str) -> int:
        try:
            value = int(text)
        except ValueError:
            self.refuse(text, "is not a whole number", label)
        return self.check(value, label)

    def check(self, value: Any, label: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(value, "is not a whole number", label)
        if not self.low <= value <= self.high:
            self.refuse(value, "is out of range", label)
        return value


class Size(Count):
    """A number of bytes; text may say 64k, 10M or 1GiB (powers of 1024)."""

    metavar = "BYTES"
    _TEXT = re.compile(r"(\d+) ?(?:([kmg])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE)
    _UNITS = "bkmg"

    def __init__(self, help_: str, low: int, high: int) -> None:
        super().__init__(help_, low, high)
        self.wanted = f"a number of bytes from {self.bounds} (64k, 10M and 1G are understood)"

    def parse(self, text: str, label: str) -> int:
        match = self._TEXT.fullmatch(text.strip())
        if match is None:
            self.refuse(text, "is not a number of bytes", label)
        digits, unit = match.groups("")
        return self.check(int(digits) * KIB ** self._UNITS.index(unit.lower() or "b"), label)

    def write(self, value: int) -> str:
        power = next(power for power in (3, 2, 1, 0) if value % KIB**power == 0) if value else 0
        return f"{value // KIB**power}{self._UNITS[power].upper() if power else ''}"


class Seconds(Knob):
    """A length of time; text may say 500ms, 30s, 2m or 1h."""

    metavar = "SECONDS"
    _TEXT = re.compile(r"(\d+|\d*\.\d+) ?(ms|s|m|h)?", re.ASCII | re.IGNORECASE)
    _UNITS: ClassVar = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

    def __init__(self, help_: str, low: float = 0.001, high: float = DAY) -> None:
        super().__init__(help_)
        self.low, self.high = low, high
        self.bounds = f"{self.write(low)} to {self.write(high)}"
        self.wanted = f"a number of seconds from {self.bounds} (500ms, 30s and 2m are understood)"

    def parse(self, text: str, label: str) -> float:
        match = self._TEXT.fullmatch(text.strip())
        if match is None:
            self.refuse(text, "is not a number of seconds", label)
        digits, unit = match.groups("")
        return self.check(float(digits) * self._UNITS[unit.lower() or "s"], label)

    def check(self, value: Any, label: str) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.refuse(value, "is not a number of seconds", label)
        if not self.low <= value <= self.high:  # NaN fails this too
            self.refuse(value, "is out of range", label)
        return float(value)

    def write(self, value: float) -> str:
        return f"{value:.15g}"
