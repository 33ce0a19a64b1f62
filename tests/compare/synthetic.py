"""Comparisons that were never measured: what a side's windows said is made up, with seeded noise."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from dualwsgi.compare.rounds import Comparison, Plan, Sample, sides_of
from dualwsgi.compare.traffic import GRID, Traffic

BASE = {
    "rate": 1000.0,
    "p50": 0.010,
    "p95": 0.015,
    "p99": 0.020,
    "max": 0.050,
    "errors": 0.0,
    "cpu": 300e-6,
    "rss": 40e6,
    "switches": 2.0,
}


def comparison(
    *,
    second: Mapping[str, float] | None = None,
    seed: int = 1,
    noise: float = 0.02,
    rounds: int = 8,
    users: Sequence[int] = (4, 64),
    sides: Sequence[str] = ("threads", "green"),
    busy: tuple[float, float] = (0.5, 0.5),
    generator_busy: tuple[float, float] = (0.5, 0.5),
    settings: tuple[str, ...] = (),
    failed: tuple[int, int] = (0, 0),
    waited: float = 0.0,
) -> Comparison:
    """`second` holds factors by which the second side's figures differ from the first's."""
    chance = random.Random(seed)
    plan = Plan("m:app", ".", sides_of(sides), settings, users=tuple(users), rounds=rounds)
    found = Comparison(plan, "locust")
    for number in range(rounds):
        for count in users:
            for side in (0, 1):
                factors = (second or {}) if side else {}
                figures = {
                    name: value * factors.get(name, 1.0) * chance.lognormvariate(0, noise)
                    for name, value in BASE.items()
                }
                errors = {"HTTPError (500)": failed[side]} if failed[side] else {}
                traffic = Traffic(
                    1.0,
                    1000,
                    errors,
                    {share: figures["p50"] * (0.5 + share / 100) for share in GRID},
                    generator_busy[side] - waited,
                    waited=waited,
                )
                found.samples.append(Sample(side, number, count, figures, traffic, busy[side]))
    return found
