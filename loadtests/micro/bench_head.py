"""What a request head costs: the plain parse, its parts, and the ways round it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dualwsgi.gateway.environ import base_environ, field_environ, line_environ
from dualwsgi.http11 import head as http
from loadtests.micro.heads import HEADS, LIMITS, memory, unique

each_head = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)


@pytest.mark.benchmark(group="head: finding its end")
@each_head
def bench_find_head_end(benchmark: Any, head: bytes) -> None:
    assert benchmark(http.find_head_end, head, 0) == len(head)


@pytest.mark.benchmark(group="head: request line")
@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "GET /a%20b/c?d=e HTTP/1.1", "OPTIONS * HTTP/1.1"])
def bench_request_line(benchmark: Any, line: str) -> None:
    assert benchmark(http.parse_request_line, line).version == (1, 1)


@pytest.mark.benchmark(group="head: fields")
@each_head
def bench_fields(benchmark: Any, head: bytes) -> None:
    _, lines = http.split_head(head, LIMITS)
    assert len(benchmark(http.parse_fields, lines, (1, 1), LIMITS)[0]) == len(lines)


@pytest.mark.benchmark(group="environ")
@each_head
def bench_environ(benchmark: Any, head: bytes) -> None:
    text, lines = http.split_head(head, LIMITS)
    line = http.parse_request_line(text)
    parsed, _ = http.parse_fields(lines, line.version, LIMITS)
    base = base_environ(multiprocess=False)

    def make() -> dict[str, Any]:
        environ = field_environ(base, parsed)
        environ.update(line_environ(line))
        return environ

    assert benchmark(make)["REQUEST_METHOD"] == "GET"


@pytest.mark.benchmark(group="request: from octets to environ")
@each_head
def bench_known_head(benchmark: Any, head: bytes) -> None:
    """It came before, octet for octet."""
    heads = memory()
    for _ in range(4):
        heads.request(head, True)
    assert benchmark(heads.request, head, True)[1]["REQUEST_METHOD"] == "GET"


@pytest.mark.benchmark(group="request: from octets to environ")
@each_head
def bench_head_with_a_line_of_its_own(benchmark: Any, head: bytes) -> None:
    """It came before but for one line."""
    heads = memory()
    turn = itertools.cycle([unique(head, number) for number in range(1000)])
    for _ in range(8):
        heads.request(next(turn), True)  # what they have in common is found
    # Not to be kept: they would be known when their turn comes again.
    assert benchmark(lambda: heads.request(next(turn), False))[1]["REQUEST_METHOD"] == "GET"


@pytest.mark.benchmark(group="request: from octets to environ")
@each_head
def bench_new_head(benchmark: Any, head: bytes) -> None:
    """The plain way, parsing everything: `may_keep` is off, and no line is known."""

    def parse() -> dict[str, Any]:
        text, lines = http.split_head(head, LIMITS)
        line = http.parse_request_line(text)
        parsed, _ = http.parse_fields(lines, line.version, LIMITS)
        environ = field_environ(base, parsed)
        environ.update(line_environ(line))
        return environ

    base = base_environ(multiprocess=False)
    assert benchmark(parse)["REQUEST_METHOD"] == "GET"
