"""Confidence intervals of paired rounds.  Pure.

Both sides are measured in each round, so what disturbs the machine for longer than a round disturbs
both alike: the ratio within a round is steadier than either figure.  Ratios are averaged as
logarithms (twice and half are equally far from 1), with Student's t for the few rounds there are
(W. S. Gosset, "The Probable Error of a Mean", 1908).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

__all__ = ["Interval", "ratio_interval", "student_quantile"]


@dataclass(frozen=True)
class Interval:
    """A ratio: the best guess, and the bounds that hold it with the confidence that was asked for."""

    middle: float
    low: float
    high: float

    @property
    def excludes_one(self) -> bool:
        """Whether the two sides differ by more than chance explains."""
        return self.low > 1 or self.high < 1


def ratio_interval(
    ours: Sequence[float], base: Sequence[float], *, confidence: float = 0.95, grain: float = 0.0
) -> Interval | None:
    """The ratio `ours / base` over rounds in which both have a figure; None with fewer than two.

    Figures below `grain` count as `grain`: below it, a ratio says nothing that anyone could notice.
    """
    logs = [
        math.log(max(a, grain) / max(b, grain))
        for a, b in zip(ours, base, strict=False)
        if math.isfinite(a) and math.isfinite(b) and max(a, grain) > 0 and max(b, grain) > 0
    ]
    if len(logs) < 2:
        return None
    middle = fmean(logs)
    reach = student_quantile((1 + confidence) / 2, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    # exp() of what no float holds is as good as no bound.
    return Interval(math.exp(middle), math.exp(middle - reach), math.exp(min(middle + reach, 700.0)))


def student_quantile(share: float, freedom: int) -> float:
    """The value that `share` (0.5 to 1) of Student's distribution lies below, `freedom` at least 1."""
    if not 0.5 <= share < 1 or freedom < 1:
        raise ValueError("share must be from 0.5 to below 1, and freedom at least 1")
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < share:
        low, high = high, high * 2
    for _ in range(80):
        middle = (low + high) / 2
        if _student_cdf(middle, freedom) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_cdf(t: float, freedom: int) -> float:
    """For t >= 0.  The finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    term, total = 1.0, 0.0
    if freedom % 2:
        term = cosine
        for k in range(1, freedom - 1, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        return 0.5 + (angle + sine * total) / math.pi
    for k in range(0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return 0.5 + sine * total / 2
