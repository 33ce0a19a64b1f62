"""Which differences exceed the noise, who was the limit, and what to choose.  Pure.

The confidence is that of the whole table: with 95 %, nineteen of twenty comparisons of a server with
itself show no difference in any figure at any number of users (Bonferroni's correction).  What is
beyond the noise and yet under MATTERS, nobody would notice: that is no difference either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from .answers import differences
from .paired import Interval, ratio_interval
from .rounds import Comparison, Sample

__all__ = [
    "BY_NAME",
    "FIGURES",
    "LIMITS",
    "Figure",
    "Finding",
    "Limit",
    "Verdict",
    "judge",
    "show",
    "show_ratio",
]

CONFIDENCE = 0.95
MATTERS = 0.03
"""The least difference that is worth a word: 3 %."""
BUSY = 0.85
"""The share of a core from which on a process is taken for saturated: the rest is waiting for its turn."""
DISTURBED = 0.10
"""The share of the time without a CPU from which on the generator's neighbours are worth a word."""
ERRORS_MATTER = 0.001
"""The share of failed requests from which on a side is judged by them."""


@dataclass(frozen=True)
class Figure:
    """One line of the tables.  Values are shown times `scale`, with `digits` after the point."""

    name: str
    title: str
    scale: float = 1.0
    digits: int = 2
    more_is_better: bool = False
    grain: float = 0.0
    """Below this, differences are not worth a word."""
    judged: bool = True
    of_client: bool = False
    """Measured by the generator, and so worth nothing where that was the limit."""
    spoken: str = ""
    unit: str = ""
    decides: float = 0.05
    """The least difference for which one would choose a server."""


FIGURES = (
    Figure(
        "rate",
        "requests/s",
        1,
        0,
        more_is_better=True,
        grain=1.0,
        of_client=True,
        spoken="throughput",
        unit="/s",
    ),
    Figure("p50", "p50 ms", 1e3, 2, grain=0.0001, of_client=True, spoken="median latency", unit=" ms"),
    Figure("p95", "p95 ms", 1e3, 2, grain=0.0002, of_client=True, spoken="p95 latency", unit=" ms"),
    Figure("p99", "p99 ms", 1e3, 2, grain=0.0002, of_client=True, spoken="p99 latency", unit=" ms"),
    # The largest of thousands says more of the machine than of the server: shown, not judged.
    Figure("max", "max ms", 1e3, 1, of_client=True, judged=False, spoken="worst latency", unit=" ms"),
    Figure("errors", "errors", 1, 0, judged=False, spoken="errors"),
    Figure("cpu", "CPU/request us", 1e6, 1, grain=2e-6, spoken="CPU a request", unit=" us", decides=0.1),
    Figure(
        "rss",
        "peak RSS MB",
        1 / 1024**2,
        1,
        grain=4.0 * 1024**2,
        spoken="peak memory",
        unit=" MB",
        decides=0.1,
    ),
    Figure("switches", "switches/request", 1, 2, grain=0.1, spoken="context switches a request"),
)
BY_NAME = {figure.name: figure for figure in FIGURES}

Limit = Literal["server", "generator", "both", "neither"]
LIMITS: dict[Limit, str] = {
    "server": "the server",
    "generator": "the load generator",
    "both": "both, server and generator",
    "neither": "neither (they waited)",
}


@dataclass(frozen=True)
class Finding:
    """One figure at one number of users; `better` is the side that wins beyond the noise, if one does."""

    figure: Figure
    users: int
    medians: tuple[float, float]
    ratio: Interval | None
    """The second side's over the first's."""
    better: int | None
    by_generator: bool
    """Nothing can be said: the generator was the limit on both sides."""

    @property
    def factor(self) -> float:
        """How many times better the better side is, 1 or more."""
        if self.ratio is None or self.better is None:
            return 1.0
        return max(self.ratio.middle, 1 / self.ratio.middle)

    @property
    def decides(self) -> bool:
        """Whether one would choose a side for it."""
        return self.figure.name in ORDER and self.factor >= 1 + self.figure.decides

    @property
    def word(self) -> str:
        if not self.figure.judged:
            return ""
        if self.by_generator:
            return "generator's limit"
        if self.better is not None:
            return ""
        return f"no difference{self._hidden()}"

    def _hidden(self) -> str:
        """How large a difference the noise may hide."""
        if self.ratio is None:
            return ""
        most = max(self.ratio.high, 1 / self.ratio.low if self.ratio.low > 0 else math.inf) - 1
        return f" beyond {max(most, MATTERS):.0%}" if most < 1 else " beyond the noise"


@dataclass(frozen=True)
class Verdict:
    """What is to be told."""

    names: tuple[str, str]
    confidence: float
    """Of each interval, for that of the whole table to be CONFIDENCE."""
    findings: list[Finding]
    limits: dict[tuple[int, int], Limit]
    """By side and number of users."""
    differ: list[str]
    vary: list[str]
    bad: list[str]
    choice: int | None
    headline: str
    reasons: list[str]
    against: list[str]
    cautions: list[str]


def judge(comparison: Comparison) -> Verdict:
    plan = comparison.plan
    names = (plan.sides[0].name, plan.sides[1].name)
    limits = {(side, users): _limit(comparison.of(side, users)) for side in (0, 1) for users in plan.users}
    tests = len(plan.users) * sum(figure.judged for figure in FIGURES)
    confidence = 1 - (1 - CONFIDENCE) / tests
    findings = [
        _finding(comparison, figure, users, confidence, limits) for users in plan.users for figure in FIGURES
    ]
    differ, vary = differences(comparison.answers[1], comparison.answers[0], (names[1], names[0]))
    bad = [f"{line} on {names[side]}" for side in (0, 1) for line in comparison.answers[side].bad()]
    choice, headline, reasons, against = _choose(comparison, names, findings)
    return Verdict(
        names,
        confidence,
        findings,
        limits,
        differ,
        vary,
        bad,
        choice,
        headline,
        reasons,
        against,
        _cautions(comparison, names, limits, findings, differ, bad),
    )


def _limit(samples: Sequence[Sample]) -> Limit:
    """Who was at its limit, by the medians over the rounds."""
    generator = median(sample.traffic.busy for sample in samples) >= BUSY
    server = median(sample.busy for sample in samples) >= BUSY
    if generator:
        return "both" if server else "generator"
    return "server" if server else "neither"


def _finding(
    comparison: Comparison,
    figure: Figure,
    users: int,
    confidence: float,
    limits: dict[tuple[int, int], Limit],
) -> Finding:
    base, ours = (comparison.values(side, users, figure.name) for side in (0, 1))
    ratio = ratio_interval(ours, base, confidence=confidence, grain=figure.grain) if figure.judged else None
    by_generator = figure.of_client and all(limits[side, users] == "generator" for side in (0, 1))
    better: int | None = None
    medians = (_median(base), _median(ours))
    if ratio is not None and not by_generator and _matters(ratio, medians, figure):
        better = 1 if (ratio.middle > 1) == figure.more_is_better else 0
    return Finding(figure, users, medians, ratio, better, by_generator and figure.judged)


def _matters(ratio: Interval, medians: tuple[float, float], figure: Figure) -> bool:
    return (
        ratio.excludes_one
        and max(ratio.middle, 1 / ratio.middle) >= 1 + MATTERS
        and not abs(medians[0] - medians[1]) <= figure.grain
    )


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return median(finite) if finite else math.nan


# What to choose

ORDER = ("rate", "p99", "p95", "p50", "cpu", "rss")
"""What decides, first the first: what clients feel, at the highest load first, then what it costs."""


def _choose(
    comparison: Comparison, names: tuple[str, str], findings: Sequence[Finding]
) -> tuple[int | None, str, list[str], list[str]]:
    """The side to choose, a sentence that says so, what speaks for it, what speaks against it."""
    differing = sorted(
        (finding for finding in findings if finding.better is not None),
        key=lambda finding: (
            ORDER.index(finding.figure.name) if finding.figure.name in ORDER else len(ORDER),
            -finding.users,
        ),
    )
    failed = _failing(comparison)
    choice: int | None = None
    if failed[0] != failed[1] and max(failed) >= ERRORS_MATTER and min(failed) < max(failed) / 2:
        choice = 0 if failed[0] < failed[1] else 1
        reasons = [
            f"{names[1 - choice]} failed {failed[1 - choice]:.2%} of the requests, "
            f"{names[choice]} {failed[choice]:.2%}"
        ]
    else:
        reasons = []
        choice = next((finding.better for finding in differing if finding.decides), None)
    if choice is None:
        if differing:
            headline = "Either: nothing that a client or a bill would notice differs."
        else:
            headline = "No difference: what was measured does not tell the two apart."
        if {side.settings[1] for side in comparison.plan.sides} == {"threads", "green"}:
            reasons = ["threads is the default, and patches nothing: any library works on it"]
        return None, headline, reasons, [_say(finding, names) for finding in differing]
    for_it = [_say(finding, names) for finding in differing if finding.better == choice]
    against = [_say(finding, names) for finding in differing if finding.better != choice]
    return choice, f"Choose {names[choice]}.", reasons + for_it, against


def _failing(comparison: Comparison) -> tuple[float, float]:
    """The share of requests that failed on each side."""
    shares = []
    for side in (0, 1):
        samples = [sample.traffic for sample in comparison.samples if sample.side == side]
        requests = sum(traffic.requests for traffic in samples)
        shares.append(sum(traffic.failed for traffic in samples) / requests if requests else 1.0)
    return shares[0], shares[1]


def _say(finding: Finding, names: tuple[str, str]) -> str:
    assert finding.better is not None
    figure = finding.figure
    ours, theirs = finding.medians[finding.better], finding.medians[1 - finding.better]
    change = (ours / theirs - 1) if theirs else math.nan
    much = f"{finding.factor:.1f} times" if finding.factor >= 2 else f"{abs(change):.0%}"
    way = ("more" if figure.more_is_better else "less") if finding.factor < 2 else "as good"
    return (
        f"{figure.spoken} at {finding.users} users: "
        f"{show(ours, figure)}{figure.unit} on {names[finding.better]}, "
        f"{show(theirs, figure)}{figure.unit} on {names[1 - finding.better]} ({much} {way})"
    )


def show_ratio(ratio: Interval | None) -> str:
    """A ratio and its bounds; more than a hundredfold is no bound."""
    if ratio is None:
        return ""
    low = f"{ratio.low:.3f}" if ratio.low > 0.01 else "0"
    high = f"{ratio.high:.3f}" if ratio.high < 100 else "inf"
    return f"{ratio.middle:.3f} [{low}-{high}]"


def show(value: float, figure: Figure) -> str:
    """A figure as the tables show it."""
    return "-" if not math.isfinite(value) else f"{value * figure.scale:,.{figure.digits}f}"


# What to doubt


def _cautions(
    comparison: Comparison,
    names: tuple[str, str],
    limits: dict[tuple[int, int], Limit],
    findings: Sequence[Finding],
    differ: Sequence[str],
    bad: Sequence[str],
) -> list[str]:
    plan, said = comparison.plan, []
    if differ:
        said.append("the answers differ (see below): see first which ones are right")
    if bad:
        said.append("some requests were never answered with success: is that the work to compare?")
    for users in plan.users:
        limited = [names[side] for side in (0, 1) if limits[side, users] in ("generator", "both")]
        if not limited:
            continue
        only = [names[side] for side in (0, 1) if limits[side, users] == "generator"]
        busy = median(
            sample.traffic.busy
            for side in (0, 1)
            if limits[side, users] in ("generator", "both")
            for sample in comparison.of(side, users)
        )
        text = f"at {users} users the load generator ({comparison.generator}, {busy:.0%} of its core) "
        if only:
            text += (
                f"and not the server was the limit on {' and on '.join(only)}: throughput and latency there "
                "are the generator's; CPU a request, memory and context switches are the server's and hold"
            )
        else:
            text += f"was as busy as the server on {' and on '.join(limited)}: latencies hold some of its own"
        said.append(text)
    waiting = median(
        sample.traffic.waited / (sample.traffic.seconds * sample.traffic.processes)
        for sample in comparison.samples
    )
    if waiting > DISTURBED:
        said.append(
            f"the load generator waited for a CPU {waiting:.0%} of the time: this machine did other work, "
            "or has too few CPUs; the noise is larger for it"
        )
    said += _too_few_calls(comparison, limits)
    if plan.rounds < 5:
        said.append(f"{plan.rounds} rounds find large differences only; give --rounds 8 or more")
    if any(math.isnan(finding.medians[side]) for finding in findings for side in (0, 1)):
        said.append("in some windows nothing was answered")
    return said


def _too_few_calls(comparison: Comparison, limits: dict[tuple[int, int], Limit]) -> list[str]:
    """A pool that is smaller than its load is a setting, not a property of threads."""
    said = []
    for number, side in enumerate(comparison.plan.sides):
        threads = _threads([*comparison.plan.settings, *side.settings])
        short = [
            users for users in comparison.plan.users if users > threads and limits[number, users] == "neither"
        ]
        if side.settings[1] == "threads" and short:
            said.append(
                f"{side.name} ran at most {threads} calls at once (--threads) while {short[-1]} users asked, "
                f"and was not busy: that setting was its limit; compare again with `-- --threads {short[-1]}`"
            )
    return said


def _threads(settings: Sequence[str]) -> int:
    from ..config import Config

    found = Config().threads
    for word, after in zip(settings, [*settings[1:], ""], strict=True):
        flag, _, value = word.partition("=")
        value = value or after
        if flag == "--threads" and value.isdigit():
            found = int(value)
    return found
