"""Medians, spreads and paired ratios. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """What several rounds said of one figure."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """Median, minimum and maximum of the finite values; None when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return Spread(median(finite), min(finite), max(finite)) if finite else None


def paired_ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """`ours[i] / theirs[i]` for each round in which both have a figure.

    Paired, because what disturbs a machine disturbs the neighbours of a round alike: the ratio of two figures
    taken seconds apart is steadier than either figure, and than the ratio of their medians.
    """
    return [
        a / b for a, b in zip(ours, theirs, strict=False) if math.isfinite(a) and math.isfinite(b) and b != 0
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile, `share` in 0..100; nan of nothing."""
    if not values:
        return math.nan
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share / 100 * len(ranked)) - 1)]
