"""Confidence intervals against the tables of the textbooks, and against what they promise."""

from __future__ import annotations

import math
import random

import pytest
from table import table

from dualwsgi.compare.paired import Interval, ratio_interval, student_quantile


@table(
    ("share", "freedom", "expected"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 5, 2.571),
        (0.975, 7, 2.365),
        (0.995, 9, 3.250),
        (0.9995, 6, 5.959),
        (0.95, 30, 1.697),
        (0.975, 120, 1.980),
        (0.5, 3, 0.0),
    ],
)
def test_the_quantiles_are_those_of_the_printed_table(share: float, freedom: int, expected: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(expected, abs=6e-4)


@table(("share", "freedom"), [(0.49, 3), (1.0, 3), (0.9, 0)])
def test_a_quantile_that_does_not_exist_is_refused(share: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="share must be"):
        student_quantile(share, freedom)


def test_an_interval_is_that_of_the_logarithms() -> None:
    # ln 2 and ln 8: mean ln 4, deviation of the mean ln 2; t of one degree of freedom.
    found = ratio_interval([2.0, 8.0], [1.0, 1.0])
    assert found is not None
    reach = 12.706 * math.log(2)
    assert found.middle == pytest.approx(4.0)
    assert found.high == pytest.approx(4 * math.exp(reach), rel=1e-3)
    assert found.low == pytest.approx(4 * math.exp(-reach), rel=1e-3)


def test_what_both_rounds_share_cancels() -> None:
    found = ratio_interval([1.1, 11.0, 110.0], [1.0, 10.0, 100.0])
    assert found is not None
    assert (found.low, found.middle, found.high) == pytest.approx((1.1, 1.1, 1.1))
    assert found.excludes_one


def test_rounds_without_a_figure_are_left_out_and_one_round_says_nothing() -> None:
    assert ratio_interval([1.0, math.nan, 0.0], [1.0, 1.0, 1.0]) is None
    assert ratio_interval([1.0, math.nan, 2.0], [1.0, 1.0, 1.0]) is not None
    assert ratio_interval([], []) is None


def test_below_the_grain_all_is_alike() -> None:
    assert ratio_interval([0.1, 0.2, 0.0], [0.3, 0.01, 0.5], grain=1.0) == Interval(1.0, 1.0, 1.0)


def test_bounds_that_no_float_holds_are_no_error() -> None:
    found = ratio_interval([1e-9, 1e9], [1e9, 1e-9], confidence=0.9999)
    assert found is not None
    assert not found.excludes_one


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_an_interval_misses_the_truth_as_often_as_it_says(confidence: float) -> None:
    chance = random.Random(20)
    missed = 0
    for _ in range(1000):
        base = [chance.lognormvariate(0, 0.1) for _ in range(6)]
        ours = [1.3 * chance.lognormvariate(0, 0.1) for _ in range(6)]
        found = ratio_interval(ours, base, confidence=confidence)
        assert found is not None
        missed += not found.low <= 1.3 <= found.high
    expected = 1000 * (1 - confidence)
    assert abs(missed - expected) < 4 * math.sqrt(expected)
