"""What a site may let pass against the letter, and that nothing of it passes by default."""

from __future__ import annotations

from dataclasses import fields

import pytest
from table import table

from dualwsgi.errors import BadRequest
from dualwsgi.http11.body import ChunkedBody
from dualwsgi.http11.head import HTTP_10, HTTP_11, Limits, Tolerance, parse_fields

TOLERATED = [
    ("no_host", HTTP_11, ["Accept: x"]),
    ("http_10_chunked", HTTP_10, ["Host: x", "Transfer-Encoding: chunked"]),
    ("chunked_with_length", HTTP_11, ["Host: x", "Transfer-Encoding: chunked", "Content-Length: 3"]),
]


@table(("name", "version", "lines"), TOLERATED, ids=[row[0] for row in TOLERATED])
def test_each_is_refused_unless_it_is_named(name: str, version: tuple[int, int], lines: list[str]) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_fields(lines, version, Limits())
    assert refused.value.status == 400
    others = Tolerance(**{each.name: each.name != name for each in fields(Tolerance)})
    with pytest.raises(BadRequest):
        parse_fields(lines, version, Limits(tolerance=others))
    parse_fields(lines, version, Limits(tolerance=Tolerance(**{name: True})))


def test_expect_in_http_10_is_ignored_unless_it_is_named() -> None:
    lines = ["Host: x", "Expect: 100-continue", "Content-Length: 3"]
    assert not parse_fields(lines, HTTP_10, Limits())[1].expect_continue
    assert parse_fields(lines, HTTP_10, Limits(tolerance=Tolerance(http_10_expect=True)))[1].expect_continue


def test_where_both_lengths_pass_the_chunks_count_and_nothing_follows() -> None:
    lines = ["Host: x", "Transfer-Encoding: chunked", "Content-Length: 3", "Connection: keep-alive"]
    _, found = parse_fields(lines, HTTP_11, Limits(tolerance=Tolerance(chunked_with_length=True)))
    assert (found.chunked, found.length, found.keep_alive) == (True, None, False)


@table("extension", [b'; odd "quote', b"; a\0b", b" ;=;"])
def test_chunk_extensions_of_any_octets(extension: bytes) -> None:
    octets = b"3" + extension + b"\r\nabc\r\n0\r\n\r\n"
    with pytest.raises(BadRequest):
        ChunkedBody(Limits()).feed(octets)
    tolerant = Limits(tolerance=Tolerance(chunk_extensions=True))
    assert ChunkedBody(tolerant).feed(octets) == (b"abc", b"")
    with pytest.raises(BadRequest):
        ChunkedBody(tolerant).feed(b"x" + extension + b"\r\nabc\r\n0\r\n\r\n")
