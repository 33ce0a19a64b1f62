"""What the doctor has found: findings, and a verdict for each way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from textwrap import shorten
from typing import Any

from .knowledge import RULES, WAYS, Level, Rule, Way

__all__ = ["Finding", "Patch", "Report"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One place at which something is to be known.  `what` is as the source says it."""

    path: str
    line: int
    code: str
    what: str
    cure: str
    foreign: bool = False
    """Whether it is in a module that is not the application's own."""

    @property
    def rule(self) -> Rule:
        return RULES[self.code]

    @property
    def levels(self) -> Mapping[Way, Level]:
        return {way: self.rule.on(way) for way in WAYS}

    def __str__(self) -> str:
        fares = ", ".join(
            f"{way} {level.name.lower()}" for way, level in self.levels.items() if level > Level.WORKS
        )
        return f"{self.path}:{self.line}: {shorten(self.what, 72)} [{self.code}] {fares}"


@dataclass(frozen=True, slots=True)
class Patch:
    """A call of monkey_patch: where, and what had been imported by then ("" for nothing that waits)."""

    path: str
    line: int
    when: str


@dataclass(slots=True)
class Report:
    """All that was found, in the order of the files.

    `uses` counts the names of eventlet's that the application touches; `imports` are the places at which
    eventlet is imported by its own name, which takes --as-eventlet, install() or another line.
    """

    target: str
    modules: int = 0
    findings: list[Finding] = field(default_factory=list)
    uses: dict[str, int] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Files that could not be read as Python, with the reason."""

    def verdict(self, way: Way) -> Level:
        """How the application as a whole fares."""
        return max((finding.rule.on(way) for finding in self.findings), default=Level.WORKS)

    def at(self, way: Way, level: Level) -> list[Finding]:
        """The findings that fare so on this way."""
        return [finding for finding in self.findings if finding.rule.on(way) == level]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "target": self.target,
            "modules": self.modules,
            "verdicts": {way: self.verdict(way).name.lower() for way in WAYS},
            "uses": dict(sorted(self.uses.items())),
            "imports": self.imports,
            "patches": [asdict(patch) for patch in self.patches],
            "findings": [
                {
                    **asdict(finding),
                    "says": finding.rule.says,
                    **{way: level.name.lower() for way, level in finding.levels.items()},
                }
                for finding in self.findings
            ],
            "unread": self.unread,
        }
