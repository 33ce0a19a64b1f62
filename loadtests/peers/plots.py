"""A scenario as a picture: the first column's medians as bars, the lowest and highest round as whiskers.

SVG files for the documentation: they stand alone, and suit a light page and a dark one.
"""

from __future__ import annotations

import html

from loadtests.peers.report import Result, show
from loadtests.peers.servers import SERVERS
from loadtests.peers.stats import spread

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 760, 150, 130, 24, 34, 12

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#5c6370}.title{font-weight:600}"
    ".peer{fill:#9aa4b2}.ours{fill:#0b62c4}.range{stroke:#5c6370;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#b6bcc6}.peer{fill:#5f6a79}.ours{fill:#6cb0ff}"
    ".range{stroke:#b6bcc6}}"
)


def as_svg(result: Result) -> str | None:
    """The picture; None when no server has the figure."""
    column = result.scenario.columns[0]
    found = [
        (figure, record)
        for record in result.records
        if (figure := spread(record.values(column.figure))) is not None
    ]
    if not found:
        return None
    found.sort(key=lambda pair: pair[0].median)
    # One server far above the others must not press them flat; its whisker says that it is cut.
    most = min(max(figure.high for figure, _ in found), 12 * found[0][0].median or 1.0)
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * len(found) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="20">{html.escape(f"{column.title}: {result.scenario.title}")}</text>',
    ]
    for number, (figure, record) in enumerate(found):
        y = TOP + ROW * number
        width = max(1.0, min(figure.median, most) * scale)
        paint = "ours" if SERVERS[record.server].ours and record.server.startswith("dualwsgi") else "peer"
        cut = " (cut off)" if figure.median > most else ""
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{html.escape(record.server)}</text>'
        )
        parts.append(f'<rect class="{paint}" x="{LEFT}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}"/>')
        low, high = (LEFT + min(value, most) * scale for value in (figure.low, figure.high))
        if high > low:
            middle = y + ROW / 2
            parts.append(f'<path class="range" d="M{low:.1f} {middle}H{high:.1f}"/>')
        at = max(LEFT + width, high) + 6
        parts.append(f'<text x="{at:.1f}" y="{y + 16}">{show(figure, column, with_range=False)}{cut}</text>')
    return "".join([*parts, "</svg>\n"])
