"""JSON, CSV and the page: complete, well-formed, and alone in the world."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from synthetic import comparison

from dualwsgi.compare.html import as_html
from dualwsgi.compare.plot import Series, bars, lines
from dualwsgi.compare.report import as_csv, as_json
from dualwsgi.compare.rounds import Comparison
from dualwsgi.compare.verdict import FIGURES, judge

HOSTILE = "<script>alert('x')</script>&\"[bold]"


@pytest.fixture
def hostile() -> Comparison:
    one = comparison(second={"rate": 1.5}, users=(1, 8, 64), rounds=3)
    one.plan = replace(one.plan, target=HOSTILE)
    for answers in one.answers:
        answers.add(f"GET /{HOSTILE}", 200, [("X-A", HOSTILE)], str(id(answers)).encode())
    one.samples[0].figures["p99"] = float("nan")
    return one


def test_json_holds_every_window_and_no_nan(hostile: Comparison) -> None:
    said = json.loads(json.dumps(as_json(hostile, judge(hostile), "2024-01-01"), allow_nan=False))
    assert len(said["windows"]) == 2 * 3 * 3
    assert said["windows"][0]["p99"] is None
    assert {window["side"] for window in said["windows"]} == {"threads", "green"}
    assert len(said["findings"]) == 3 * len(FIGURES)
    assert said["about"]["date"] == "2024-01-01"
    assert said["answers"]["differ"]


def test_csv_holds_a_line_for_each_window(hostile: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(hostile))))
    assert len(rows) == 2 * 3 * 3
    assert rows[0]["p99"] == ""
    assert float(rows[1]["cpu"]) == pytest.approx(hostile.samples[1].figures["cpu"])


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_loads_nothing_runs_nothing_and_escapes_what_it_was_told(hostile: Comparison) -> None:
    page = as_html(hostile, judge(hostile), "2024-01-01")
    parser = _Tags()
    parser.feed(page)
    names = {tag for tag, _ in parser.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "b", "bold"}
    for _, attributes in parser.tags:
        assert not attributes.keys() & {"src", "href", "srcset", "onload", "onclick"}
    assert not re.search(r"url\(|@import|https?://", page)
    assert "&lt;script&gt;" in page


def test_the_plots_are_well_formed_and_hold_a_point_for_each_load(hostile: Comparison) -> None:
    page = as_html(hostile, judge(hostile), "2024-01-01")
    drawn = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(drawn) == 3 + 3 + 3  # over load, distributions, ratios
    latency = drawn[0]
    assert len(latency.findall("polyline")) == 4
    assert len(latency.findall("circle")) == 4 * 3
    for plot in drawn:
        for circle in plot.iter("circle"):
            assert 0 <= float(circle.get("cx", "-1")) <= 560
            assert 0 <= float(circle.get("cy", "-1")) <= 1000


@pytest.mark.parametrize("log", [False, True])
def test_a_single_point_and_no_point_are_drawn_too(log: bool) -> None:
    one = lines([Series("a", [(1.0, 5.0)], "s0")], x_title="x", y_title="y", log_x=log, log_y=log)
    assert ElementTree.fromstring(one).find("circle") is not None
    nothing = lines([Series("a", [(float("nan"), 1.0)], "s0")], x_title="x", y_title="y")
    assert "Nothing to plot" in nothing
    assert "Nothing to plot" in bars([], x_title="x")


def test_bounds_beyond_the_axis_end_at_it() -> None:
    plot = ElementTree.fromstring(bars([("a", 0.0, 1.0, 1e9, "none")], x_title="x"))
    whisker = next(line for line in plot.findall("line") if "whisker" in line.get("class", ""))
    assert 0 < float(whisker.get("x1", "0")) < float(whisker.get("x2", "0")) < 560
