"""The body of a message: octets to content, by Content-Length or chunked (RFC 9112 sections 6, 7).

A decoder is fed what came in and hands back content and what was left over after the body's end.
It never waits; whoever feeds it decides what a pause or an end of input means.
"""

from __future__ import annotations

import enum
from typing import Final, Protocol

from ..errors import BadRequest
from . import grammar
from .head import Limits

LAST_CHUNK: Final = b"0\r\n\r\n"
CRLF: Final = b"\r\n"


def encode_chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 section 7.1).  `data` must not be empty: an empty chunk is the last."""
    return b"".join((chunk_line(len(data)), data, CRLF))


def chunk_line(size: int) -> bytes:
    """What precedes the content of a chunk; CRLF follows it."""
    return b"%x\r\n" % size


class Body(Protocol):
    """A body that is coming in."""

    done: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(content, rest): `rest` is what stands in `data` after the end of the body.

        Raises BadRequest.
        """
        ...


class SizedBody:
    """A body of as many octets as Content-Length says."""

    __slots__ = ("done", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data, b""
        content, rest = data[: self.remaining], data[self.remaining :]
        self.remaining = 0
        self.done = True
        return content, rest


class _Part(enum.Enum):
    SIZE = enum.auto()  # the line that starts a chunk
    DATA = enum.auto()  # inside a chunk
    DATA_END = enum.auto()  # the CR LF after it
    TRAILERS = enum.auto()  # the lines after the last chunk
    END = enum.auto()


# What is not content may be this much in all beyond what ordinary chunks need (16 octets each and
# twice their size), so that a client cannot send gigabytes of chunk extensions around a small body.
_EXCESS: Final = 16384


class ChunkedBody:
    """A body in chunks.  `trailers` holds its trailer fields once it is done."""

    __slots__ = ("_excess", "_held", "_left", "_limits", "_part", "_total", "done", "trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._part = _Part.SIZE
        self._held = bytearray()  # an unfinished line
        self._left = 0  # octets still to come of the current chunk
        self._total = 0
        self._excess = 0
        self.done = False
        self.trailers: list[tuple[str, str]] = []

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._held:
            data = self._lengthen_line(data)
            if not data:
                return b"", b""
        content: list[bytes] = []
        at = 0
        size = len(data)
        while at < size and self._part is not _Part.END:
            if self._part is _Part.DATA:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                content.append(piece)
                if not self._left:
                    self._part = _Part.DATA_END
            elif self._part is _Part.DATA_END:
                ending = data[at : at + 2]
                if ending != b"\r\n":
                    if ending == b"\r":
                        break  # its LF is not in yet
                    raise BadRequest(400, "chunk without its ending CR LF")
                at += 2
                self._part = _Part.SIZE
            else:
                end = data.find(b"\r\n", at)
                if end < 0:
                    self._check_unfinished_line(data, at, at)
                    break
                line = data[at:end].decode("latin-1")
                at = end + 2
                if self._part is _Part.SIZE:
                    self._start_chunk(line)
                else:
                    self._take_trailer(line)
        if self._part is _Part.END:
            self.done = True
            return b"".join(content), data[at:]
        if at < size:
            self._held = bytearray(data[at:])
        return content[0] if len(content) == 1 else b"".join(content), b""

    def _lengthen_line(self, data: bytes) -> bytes:
        """What was held and `data`, or b"" if the line goes on.

        However small the pieces are that a line comes in, each of its octets is looked at once.
        """
        held, scanned = self._held, len(self._held)
        held += data
        if self._part is not _Part.DATA_END and held.find(b"\r\n", scanned - 1) < 0:
            self._check_unfinished_line(held, 0, scanned)
            return b""
        self._held = bytearray()
        return bytes(held)

    def _check_unfinished_line(self, data: bytes | bytearray, at: int, scanned: int) -> None:
        """Of the line that starts at `at` no end is in; what stands before `scanned` was looked at."""
        # A CR at the end may yet be half of the line's own.
        stop = len(data) - 1 if data[-1] == 13 else len(data)
        if stop - at > (self._limits.chunk_line if self._part is _Part.SIZE else self._limits.trailers):
            raise BadRequest(400, f"{self._line_kind} too long")
        start = max(at, scanned - 1)  # with the CR that the last piece may have ended in
        if data.find(b"\n", start) >= 0 or data.find(b"\r", start, stop) >= 0:
            raise BadRequest(400, f"stray control character in a {self._line_kind}")

    @property
    def _line_kind(self) -> str:
        return "chunk line" if self._part is _Part.SIZE else "trailer"

    def _start_chunk(self, line: str) -> None:
        if len(line) > self._limits.chunk_line:
            raise BadRequest(400, "chunk line too long")
        match = grammar.CHUNK_LINE.fullmatch(line)
        if match is None and self._limits.tolerance.chunk_extensions:
            match = grammar.CHUNK_LINE.fullmatch(line.partition(";")[0].rstrip(" \t"))
        if match is None:
            raise BadRequest(400, "malformed chunk line")
        size = int(match[1], 16)
        self._total += size
        if self._limits.body and self._total > self._limits.body:
            raise BadRequest(413, "request body too large")
        self._excess = max(0, self._excess + len(line) + 4 - 16 - 2 * size)
        if self._excess > _EXCESS:
            raise BadRequest(400, "too much in the chunked body that is not content")
        self._left = size
        if size:
            self._part = _Part.DATA
        else:
            self._part = _Part.TRAILERS
            self._excess = 0

    def _take_trailer(self, line: str) -> None:
        if not line:
            self._part = _Part.END
            return
        self._excess += len(line) + 2
        if self._excess > self._limits.trailers:
            raise BadRequest(400, "trailers too large")
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not grammar.TOKEN.fullmatch(name) or not grammar.FIELD_VALUE.fullmatch(value):
            raise BadRequest(400, "malformed trailer field")
        self.trailers.append((name, value))
        if len(self.trailers) > self._limits.fields:
            raise BadRequest(400, "too many trailer fields")
