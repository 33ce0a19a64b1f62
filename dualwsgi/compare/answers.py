"""Whether two sides answer alike: what each said to the same requests, and where they differ.

What varies from answer to answer on one side (a token, a clock, a process id) is named and not compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Answers", "differences"]

IGNORED = frozenset({"date"})
REQUESTS_MAX = 200
"""Different requests that are remembered; a locust file may make up a new one each time."""
VALUES_MAX = 4
"""Different values of one aspect that are remembered: a fourth says no more than a second."""
ABSENT = "(absent)"


class Answers:
    """What one side has said: for each request, the values that each aspect of its answers had."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, list[str]]] = {}
        self._times: dict[str, int] = {}

    def add(
        self, request: str, status: int | str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> None:
        """One answer; `status` says why there was none, `body` is None where it was not read to its end."""
        if request not in self.seen and len(self.seen) >= REQUESTS_MAX:
            return
        aspects = self.seen.setdefault(request, {})
        fields: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
        if body is not None and fields.get("content-encoding"):
            body = None  # compressed bodies may hold the time of their compression
        found = {"status": str(status)}
        found |= {f"header {name}": value for name, value in fields.items() if name not in IGNORED}
        if body is not None:
            found["body"] = f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()[:16]}"
        for aspect in aspects.keys() | found.keys():
            values = aspects.get(aspect)
            if values is None:
                # A header that comes only now was absent before.
                values = aspects[aspect] = [ABSENT] if self._times.get(request) else []
            value = found.get(aspect, ABSENT)
            if value not in values and len(values) < VALUES_MAX:
                values.append(value)
        self._times[request] = self._times.get(request, 0) + 1

    def merge(self, other: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Adds what another process has seen (its `seen`)."""
        for request, aspects in other.items():
            known = self._times.get(request, 0)
            mine = self.seen.setdefault(request, {})
            for aspect in mine.keys() | aspects.keys():
                values = mine.setdefault(aspect, [ABSENT] if known else [])
                for value in aspects.get(aspect, [ABSENT]):
                    if value not in values and len(values) < VALUES_MAX:
                        values.append(value)
            self._times[request] = known + 1

    def bad(self) -> list[str]:
        """The requests that were never answered with success or a redirection."""
        return [
            f"{request} is answered {' or '.join(aspects['status'])}"
            for request, aspects in self.seen.items()
            if aspects and not any(status[0] in "123" for status in aspects["status"])
        ]


def differences(ours: Answers, base: Answers, names: tuple[str, str]) -> tuple[list[str], list[str]]:
    """Where the answers differ, and what was not compared as it varies by itself; a line each."""
    differ, vary = [], []
    for request in sorted(ours.seen.keys() & base.seen.keys()):
        mine, theirs = ours.seen[request], base.seen[request]
        for aspect in sorted(mine.keys() | theirs.keys()):
            a, b = mine.get(aspect, [ABSENT]), theirs.get(aspect, [ABSENT])
            if aspect == "body" and ABSENT in (*a, *b):
                continue  # not read to its end
            if len(a) == len(b) == 1:
                if a != b:
                    differ.append(f"{request}: {aspect} is {b[0]!r} on {names[1]}, {a[0]!r} on {names[0]}")
            else:
                vary.append(f"{request}: {aspect} varies from answer to answer")
    return differ, vary
