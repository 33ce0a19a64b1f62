"""Plots as inline SVG: no library, no script, nothing to fetch.  Pure.

Colours are classes (`s0`, `s1`, `axis`), which the page around them paints for light and for dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Series", "bars", "lines"]

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 78, 16, 16, 46
LEGEND_ROW = 18

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line.  `spread`: the lowest and highest value at each point; `paint`: a class of the page."""

    name: str
    points: Sequence[Point]
    paint: str
    spread: Sequence[tuple[float, float]] = field(default_factory=tuple)
    dashed: bool = False


def lines(
    series: Sequence[Series], *, x_title: str, y_title: str, log_x: bool = False, log_y: bool = False
) -> str:
    """A line plot.  On a logarithmic axis, points that are not above 0 are left out."""
    drawn = [(one, _finite(one, log_x, log_y)) for one in series]
    points = [point for _, found in drawn for point, _ in found]
    if not points:
        return '<p class="none">Nothing to plot.</p>'
    lows = [low for _, found in drawn for _, (low, _) in found]
    highs = [high for _, found in drawn for _, (_, high) in found]
    x_scale = _Scale([x for x, _ in points], log_x, LEFT, WIDTH - RIGHT)
    y_scale = _Scale([*lows, *highs], log_y, HEIGHT - BOTTOM, TOP, from_zero=not log_y)
    parts = [*_axes(x_scale, y_scale, x_title, y_title)]
    for one, found in drawn:
        if not found:
            continue
        path = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for (x, y), _ in found)
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        parts.append(f'<polyline class="line {one.paint}" points="{path}"{dash}/>')
        for (x, y), (low, high) in found:
            where = x_scale(x)
            if high > low:
                parts.append(
                    f'<line class="whisker {one.paint}" x1="{where:.1f}" x2="{where:.1f}" '
                    f'y1="{y_scale(low):.1f}" y2="{y_scale(high):.1f}"/>'
                )
            title = html.escape(f"{one.name}: {_number(x)}, {_number(y)}")
            parts.append(
                f'<circle class="dot {one.paint}" cx="{where:.1f}" cy="{y_scale(y):.1f}" r="3">'
                f"<title>{title}</title></circle>"
            )
    parts += _legend(series)
    rows = math.ceil(len(series) / 2)
    return _svg(parts, f"{y_title} over {x_title}", HEIGHT + LEGEND_ROW * rows)


def bars(rows: Sequence[tuple[str, float, float, float, str]], *, x_title: str, limit: float = 16.0) -> str:
    """Ratios with their bounds on a logarithmic axis around 1: (label, low, middle, high, class)."""
    if not rows:
        return '<p class="none">Nothing to plot.</p>'
    reach = min(limit, max(1.25, *(max(high, 1 / low if low > 0 else limit) for _, low, _, high, _ in rows)))
    height = TOP + 22 * len(rows) + BOTTOM
    scale = _Scale([1 / reach, reach], True, 170, WIDTH - RIGHT)
    bottom = height - BOTTOM
    parts = []
    for tick in scale.ticks():
        at = scale(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(tick)}</text>')
    one = scale(1.0)
    parts.append(f'<line class="axis" x1="{one:.1f}" x2="{one:.1f}" y1="{TOP}" y2="{bottom}"/>')
    for number, (label, low, middle, high, paint) in enumerate(rows):
        y = TOP + 22 * number + 11
        parts.append(f'<text x="162" y="{y + 4}" text-anchor="end">{html.escape(label)}</text>')
        left, right = (scale(min(reach, max(1 / reach, value))) for value in (low, high))
        at = scale(min(reach, max(1 / reach, middle)))
        said = html.escape(f"{label}: {middle:.3f} [{low:.3f}-{high:.3f}]")
        parts.append(f'<line class="whisker {paint}" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<circle class="dot {paint}" cx="{at:.1f}" cy="{y}" r="4"><title>{said}</title></circle>'
        )
    parts.append(
        f'<text x="{(170 + WIDTH) / 2}" y="{height - 8}" text-anchor="middle">{html.escape(x_title)}</text>'
    )
    return _svg(parts, x_title, height)


def _svg(parts: Sequence[str], label: str, height: float) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def _finite(one: Series, log_x: bool, log_y: bool) -> list[tuple[Point, tuple[float, float]]]:
    spread = one.spread or [(y, y) for _, y in one.points]
    found = []
    for (x, y), (low, high) in zip(one.points, spread, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)) or (log_x and x <= 0) or (log_y and y <= 0):
            continue
        lowest = y if not math.isfinite(low) or (log_y and low <= 0) else low
        found.append(((x, y), (lowest, high if math.isfinite(high) else y)))
    return found


class _Scale:
    """From values to places on the page."""

    def __init__(
        self, values: Sequence[float], log: bool, start: float, end: float, *, from_zero: bool = False
    ) -> None:
        self._log = log
        self._start, self._end = start, end
        low, high = min(values), max(values)
        low = 0.0 if from_zero else low
        if high <= low:
            low, high = (low / 2, high * 2) if log else (low, low + 1)
        self.low, self.high = low, high if log or not from_zero else high * 1.05
        self._to: Callable[[float], float] = math.log if log else float

    def __call__(self, value: float) -> float:
        low, high = self._to(self.low), self._to(self.high)
        return self._start + (self._to(value) - low) / (high - low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        if not self._log:
            step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
            for factor in (1, 2, 5, 10):
                if (self.high - self.low) / (step * factor) <= 6:
                    step *= factor
                    break
            first = math.ceil(self.low / step)
            return [step * number for number in range(first, math.floor(self.high / step) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for mantissas in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), range(10, 100)):
            divide = 10 if mantissas == range(10, 100) else 1
            found = [10.0**decade * number / divide for decade in decades for number in mantissas]
            found = [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]
            if len(found) >= 3:
                break
        return found[:: math.ceil(len(found) / 7) or 1]


def _axes(x_scale: _Scale, y_scale: _Scale, x_title: str, y_title: str) -> list[str]:
    bottom, parts = HEIGHT - BOTTOM, []
    for tick in x_scale.ticks():
        at = x_scale(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(tick)}</text>')
    for tick in y_scale.ticks():
        at = y_scale(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{bottom}"/>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{html.escape(x_title)}</text>'
    )
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{html.escape(y_title)}</text>"
    )
    return parts


def _legend(series: Sequence[Series]) -> list[str]:
    """Below the plot, where no line runs; two in a row."""
    parts = []
    for number, one in enumerate(series):
        x = LEFT + (WIDTH - RIGHT - LEFT) / 2 * (number % 2)
        y = HEIGHT + 8 + LEGEND_ROW * (number // 2)
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        parts.append(
            f'<line class="line {one.paint}" x1="{x:.1f}" x2="{x + 24:.1f}" y1="{y}" y2="{y}"{dash}/>'
            f'<text x="{x + 30:.1f}" y="{y + 4}">{html.escape(one.name)}</text>'
        )
    return parts


def _number(value: float) -> str:
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
