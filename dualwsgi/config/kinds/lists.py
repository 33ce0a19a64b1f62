"""Knobs that hold several values; the fleet is one of them, with a number for each backend."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..address import is_number, parse_bind
from .knob import Knob

__all__ = ["Binds", "FileNames", "Fleet", "Networks", "Several", "SomeOf"]


class Several(Knob):
    """Values in an order; text separates them by commas or spaces, and a flag may be repeated."""

    separators = r"[,\s]+"

    def parse(self, text: str, label: str) -> tuple[str, ...]:
        return self.check([part for part in re.split(self.separators, text.strip()) if part], label)

    def check(self, value: Any, label: str) -> tuple[str, ...]:
        texts = (value,) if isinstance(value, str) else value
        if not isinstance(texts, Iterable):
            self.refuse(value, "is not a list", label)
        texts = tuple(texts)
        for text in texts:
            if not isinstance(text, str):
                self.refuse(text, "is not a text", label)
            self.check_one(text, label)
        return texts

    def check_one(self, text: str, label: str) -> None:
        raise NotImplementedError

    def write(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


class FileNames(Several):
    """Paths, separated by commas alone, since a path may hold a space."""

    metavar = "FILE"
    wanted = "a path"
    separators = r"\s*,\s*"

    def check_one(self, text: str, label: str) -> None:
        if not text or "\0" in text:
            self.refuse(text, "is not a path", label)


class Networks(Several):
    """Networks to trust: addresses, CIDR blocks, `unix` for peers on a unix socket, `*` for all."""

    metavar = "NETWORKS"
    wanted = "addresses such as 127.0.0.1, networks such as 10.0.0.0/8, unix or *"

    def check_one(self, text: str, label: str) -> None:
        if text in ("*", "unix"):
            return
        from ipaddress import ip_network  # takes a while to import, and most servers trust nobody

        try:
            ip_network(text)
        except ValueError as error:
            problem = "has bits set beyond its prefix" if "host bits" in str(error) else "is no network"
            self.refuse(text, problem, label)


class SomeOf(Several):
    """Some out of a few words."""

    def __init__(self, help_: str, *choices: str, metavar: str) -> None:
        super().__init__(help_)
        self.choices = choices
        self.metavar = metavar
        self.wanted = f"some of {', '.join(choices)}"

    def parse(self, text: str, label: str) -> tuple[str, ...]:
        return super().parse(text.lower(), label)

    def check_one(self, text: str, label: str) -> None:
        if text not in self.choices:
            self.refuse(text, "is not known", label)


class Binds(Several):
    """One listening address or several; text separates them by commas or spaces."""

    metavar = "ADDRESS"
    wanted = "HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH, unix:@NAME or fd://N, each at most once"

    def check(self, value: Any, label: str) -> tuple[str, ...]:
        if not isinstance(value, str | Iterable):
            self.refuse(value, "is not an address", label)
        texts = (value,) if isinstance(value, str) else tuple(value)
        if not texts or not all(isinstance(text, str) for text in texts):
            self.refuse(value, "names no address", label)
        addresses = [parse_bind(text, label) for text in texts]
        # Port 0 is a new port each time it is asked for, so it may come more than once.
        known = [address for address in addresses if address.port != 0 or address.kind != "tcp"]
        if len(set(known)) != len(known):
            self.refuse(texts, "names an address twice", label)
        return texts

    def write(self, value: tuple[str, ...]) -> str:
        return " ".join(value)


class Fleet(Knob):
    """How many worker processes: a number, `auto` for one a core, or so many of each backend.

    An int, "auto", or a text such as "green:2,threads:auto".
    """

    metavar = "N"
    MOST = 1_024
    wanted = f"a number from 1 to {MOST}, auto, or a mix such as green:2,threads:2"

    def parse(self, text: str, label: str) -> int | str:
        text = text.strip().lower()
        return self.check(int(text) if is_number(text) else text, label)

    def check(self, value: Any, label: str) -> int | str:
        if isinstance(value, str):
            parts = [part.strip() for part in value.split(",")]
            backends = [part.partition(":")[0] for part in parts]
            mixed = all(re.fullmatch(r"(threads|green):(auto|[1-9]\d{0,3})", part) for part in parts)
            if value != "auto" and (not mixed or len(set(backends)) != len(backends)):
                self.refuse(value, "is no fleet", label)
            counts = [int(count) for count in re.findall(r"\d+", value)]
        elif isinstance(value, int) and not isinstance(value, bool):
            counts = [value]
        else:
            self.refuse(value, "is no fleet", label)
        if not all(1 <= count <= self.MOST for count in counts):
            self.refuse(value, "is out of range", label)
        fleet: int | str = value
        return fleet
