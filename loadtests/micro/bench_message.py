"""What a response's head and a chunked body cost, coming and going."""

from __future__ import annotations

from typing import Any

import pytest

from dualwsgi.http11.body import LAST_CHUNK, ChunkedBody, SizedBody, encode_chunk
from dualwsgi.http11.response import frame, plan_response
from loadtests.micro.heads import LIMITS

FIELDS = {
    "two fields": [("Content-Type", "text/plain"), ("Content-Length", "14")],
    "ten fields": [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", "14"),
        ("Cache-Control", "private, max-age=0"),
        ("Vary", "Accept-Encoding, Cookie"),
        ("X-Frame-Options", "DENY"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Set-Cookie", "sessionid=4f3a9c1e77b2405d8a6e0c9b1f2d3e4a; HttpOnly; Path=/; SameSite=Lax"),
        ("Set-Cookie", "csrftoken=Zk3v8Qw1nT5yB7uJ2mXc9LrP4sHd6; Path=/; SameSite=Lax"),
    ],
}
PIECES = {"64 B": 64, "4 KB": 4096, "64 KB": 65536}


@pytest.mark.benchmark(group="response: head")
@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def bench_plan(benchmark: Any, fields: list[tuple[str, str]]) -> None:
    """Checked and encoded anew; the driver remembers what an application repeats."""
    assert benchmark(plan_response, "200 OK", fields, b"Server: x\r\n").code == 200


@pytest.mark.benchmark(group="response: framing")
@pytest.mark.parametrize("length", [14, None], ids=["sized", "chunked"])
def bench_frame(benchmark: Any, length: int | None) -> None:
    plan = plan_response("200 OK", [("Content-Type", "text/plain")])
    said = {"method": "GET", "http_11": True, "keep_alive": True, "length": length}
    assert benchmark(lambda: frame(plan, **said)).keep_alive


@pytest.mark.benchmark(group="chunks: sending one")
@pytest.mark.parametrize("size", PIECES.values(), ids=PIECES)
def bench_encode_chunk(benchmark: Any, size: int) -> None:
    assert len(benchmark(encode_chunk, b"x" * size)) > size


@pytest.mark.benchmark(group="chunks: receiving 256 KB")
@pytest.mark.parametrize("size", PIECES.values(), ids=PIECES)
def bench_decode_chunks(benchmark: Any, size: int) -> None:
    """In reads of 64 KB, which do not end where chunks end."""
    wire = encode_chunk(b"x" * size) * (262144 // size) + LAST_CHUNK
    reads = [wire[at : at + 65536] for at in range(0, len(wire), 65536)]

    def decode() -> int:
        body, total = ChunkedBody(LIMITS), 0
        for read in reads:
            total += len(body.feed(read)[0])
        assert body.done
        return total

    assert benchmark(decode) == 262144


@pytest.mark.benchmark(group="chunks: receiving 256 KB")
def bench_sized_body(benchmark: Any) -> None:
    """The same with a Content-Length, to compare with."""
    reads = [b"x" * 65536] * 4

    def decode() -> int:
        body, total = SizedBody(262144), 0
        for read in reads:
            total += len(body.feed(read)[0])
        assert body.done
        return total

    assert benchmark(decode) == 262144
