"""What a client can make the parser do: each octet is looked at a few times, however it comes.

Counted, not timed: buffers that count the octets that are searched and copied in them.
"""

from __future__ import annotations

import re
from typing import Any, SupportsIndex

import pytest

from dualwsgi.http11 import body, grammar

from .wire import LIMITS, Reader, octet_by_octet, request


class Counting(bytearray):
    """Counts what is looked at in all buffers of its kind."""

    looked = 0

    def find(self, sub: Any, start: SupportsIndex | None = 0, end: SupportsIndex | None = None) -> int:
        stop = min(len(self), int(end)) if end is not None else len(self)
        at = super().find(sub, start, end)
        Counting.looked += max(0, (at if at >= 0 else stop) - int(start or 0))
        return at

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        Counting.looked += len(part) if isinstance(key, slice) else 1
        return part

    def __bytes__(self) -> bytes:
        Counting.looked += len(self)
        return bytes(memoryview(self))


@pytest.fixture(autouse=True)
def count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "bytearray", Counting, raising=False)
    monkeypatch.setattr(Counting, "looked", 0)


CHUNKED = request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
LARGEST = {
    "a head": request(
        "GET /" + "a" * (LIMITS.request_line - 14) + " HTTP/1.1",
        *["X: " + "b" * (LIMITS.field_size - 3)] * 6,
        *["Y: z"] * (LIMITS.fields - 7),
    ),
    "a request line that never ends": b"a" * LIMITS.request_line,
    "a head that never ends": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * ((LIMITS.head - 16) // 6),
    "a head of CRs": b"GET / HTTP/1.1\r\n\r",
    "a chunk line": CHUNKED + b"1;a=" + b"b" * (LIMITS.chunk_line - 4) + b"\r\nc\r\n0\r\n\r\n",
    "a chunk line that never ends": CHUNKED + b"1;a=" + b"b" * (LIMITS.chunk_line - 4),
    "many chunk lines": CHUNKED + (b"40;a=" + b"b" * 140 + b"\r\n" + b"c" * 64 + b"\r\n") * 50 + b"0\r\n\r\n",
    "a trailer": CHUNKED + b"0\r\na: " + b"b" * (LIMITS.trailers - 5) + b"\r\n\r\n",
    "a trailer that never ends": CHUNKED + b"0\r\na: " + b"b" * (LIMITS.trailers - 3),
    "many trailers": CHUNKED + b"0\r\n" + (b"a: " + b"b" * 80 + b"\r\n") * 90 + b"\r\n",
}


@pytest.mark.parametrize("data", LARGEST.values(), ids=LARGEST)
def test_work_is_in_proportion_to_what_came_however_small_the_pieces(data: bytes) -> None:
    reader = Reader()
    reader._buffer = Counting()
    for piece in octet_by_octet(data):
        reader.feed(piece)
    assert Counting.looked > len(data) // 2, "the counter counts"
    # Per octet: the end of the head looked for over four octets, the octet judged and perhaps
    # judged again as the CR before the next, and its line copied when it is whole.
    assert Counting.looked < 12 * len(data) + 1000, f"{Counting.looked / len(data):.1f} looks an octet"


PUMPS = [
    *("a", " ", "\t", ":", ";", "=", ",", '"', "\\", "%", "%41", "[", "0", "1:", "::", ".", "/", "?", "\xff"),
    *(
        "a;",
        ";a",
        "; a",
        ";a=",
        ';a="',
        ';a=""',
        ';a="\\"',
        " ;\ta =\t b",
        '\\"',
        "a=",
        "0:",
        "a:0",
        "v1.",
        "http://",
    ),
]
PATTERNS = {name: pattern for name, pattern in vars(grammar).items() if isinstance(pattern, re.Pattern)}
STARTS = ["", "1", "1;a", '1;a="', "[", "[::", "[v1.", "http://", "200 ", "a:", "a"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", PATTERNS)
def test_no_text_makes_a_pattern_go_over_it_again_and_again(name: str) -> None:
    """Squared, these lengths would take hours."""
    fullmatch = PATTERNS[name].fullmatch
    for start in STARTS:
        for pump in PUMPS:
            text = start + pump * (50_000 // len(pump))
            fullmatch(text)
            fullmatch(text + "\0")
