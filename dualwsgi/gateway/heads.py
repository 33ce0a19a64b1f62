"""From the octets of a request head to a Request and its environ, by the shortest way that is safe.

Clients repeat themselves, so three things are remembered, each bounded in number, octets and age:

  - whole heads, octet for octet: one look-up makes the request (`known`, used by the driver itself);
  - request lines, which come with many different fields;
  - stems: what two heads of one client had in common around a few lines that differ, such as a
    request id.  A head that starts and ends with a stem's octets says what the stem says, and only
    the lines between are parsed.

The plain way, parsing everything, is `_parse`; all ways make the same Request and environ, which
tests hold them to.  What the connection says (REMOTE_*, the scheme) is never part of a memory: it
is laid over each copy by the connection, or a head first seen from one peer would speak for all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ..http11 import head as http
from ..http11.head import HTTP_10, HTTP_11, FieldLine, Fields, Limits, RequestLine
from .environ import Environ, environ_key, field_environ, line_environ
from .memory import Memory
from .requestbody import BODY_HELD

HEAD_SIZE: Final = 16384
"""Octets; a head that is as long as a read or longer is not remembered."""

STEMS_KEPT: Final = 4
STEM_GAP: Final = 3
"""Lines that may differ between two heads with a stem in common."""

STEM_TRIES: Final = 64
STEM_REST: Final = 1024
"""After so many tries without luck, so many heads are not tried."""


class Request:
    """A request head and what was made of it; kept with heads that come again, so never changed."""

    __slots__ = ("environ", "fields", "has_body", "is_plain", "line", "logged", "may_tunnel", "small_body")

    def __init__(self, line: RequestLine, fields: Fields) -> None:
        self.line = line
        self.fields = fields
        self.environ: Environ = _NOTHING  # to be copied for each request, if the head is kept
        self.has_body = fields.chunked or bool(fields.length)
        self.may_tunnel = fields.upgrade is not None or line.method == "CONNECT"
        length = fields.length or 0
        # The length of a body that is collected, where nothing else has to be thought of; 0 if none.
        self.small_body = (
            length if length <= BODY_HELD and not self.may_tunnel and not fields.expect_continue else 0
        )
        # A response to it needs no thought: HTTP/1.1, kept alive, with nothing special asked for.
        self.is_plain = (
            line.version is HTTP_11
            and line.method != "HEAD"
            and fields.keep_alive
            and not fields.expect_continue
            and not self.may_tunnel
        )
        self.logged: tuple[str, str] | None = None  # the parts of its log line that the head decides


_NOTHING: Final[Environ] = {}

NO_REQUEST: Final = Request(RequestLine("", "", HTTP_10, "", ""), Fields([], None, keep_alive=True))
"""What a connection has between two requests: it keeps no head while it is idle."""

KnownLine = tuple[RequestLine, Environ]
"""A request line and what it says to environ."""


@dataclass(frozen=True, slots=True)
class _Stem:
    """What a field block starts and ends with, and what those lines say by themselves."""

    start: bytes
    end: bytes
    before: list[FieldLine]
    after: list[FieldLine]
    fields: Fields
    environ: Environ
    version: tuple[int, int]


class Heads:
    """The memory of one site's request heads; `base` is what every environ starts from.

    Heads for `unkept` paths are never remembered: they are not the application's, and what is found
    in the memory is.
    """

    def __init__(self, base: Environ, limits: Limits, unkept: Collection[str] = ()) -> None:
        self._base = base
        self._unkept = unkept
        self._limits = limits
        # Heads with something to read after them are kept apart, since the driver runs what it finds
        # in `plain` at once.
        self.plain: Memory[Request] = Memory(1024, 1 << 20)
        self._with_input: Memory[Request] = Memory(256, 1 << 18)
        self._lines: Memory[KnownLine] = Memory(1024, 1 << 18)
        self._stems: list[_Stem] = []
        self._last: list[str] | None = None  # the field lines of the last head that was parsed whole
        self._luck = STEM_TRIES  # tries left, or how many heads until the next one if it is negative
        self._turned = 0.0

    def age(self, now: float) -> None:
        """To be called about once a second with monotonic seconds."""
        for memory in (self.plain, self._with_input, self._lines):
            memory.age(now)
        if now - self._turned > Memory.LIFE:
            self._turned = now
            self._stems = []
            self._last = None

    def request(self, head: bytes, may_keep: bool) -> tuple[Request, Environ, bool]:
        """The request that a whole head makes, a new environ, and whether the head was kept just now.

        Raises BadRequest.
        """
        request = self.plain.known.get(head) or self._with_input.known.get(head)
        request = request or self.plain.recall(head) or self._with_input.recall(head)
        if request is not None:
            return request, request.environ.copy(), False
        at = head.find(b"\r\n")
        line = self._lines.known.get(head[:at])
        found = self._by_stem(head, at + 2, line) if line is not None and self._stems else None
        request, environ = found or self._parse(head, line)
        kept = may_keep and len(head) < HEAD_SIZE and self._keep_again(head, request, environ)
        return request, environ, kept

    def _keep_again(self, head: bytes, request: Request, environ: Environ) -> bool:
        if request.line.path in self._unkept:
            return False
        memory = self._with_input if request.has_body or request.may_tunnel else self.plain
        if not memory.comes_again(head):
            return False
        request.environ = environ.copy()
        memory.keep(head, request, 4 * len(head) + 2048)
        return True

    def _parse(self, head: bytes, known: KnownLine | None) -> tuple[Request, Environ]:
        """The plain way."""
        text, lines = http.split_head(head, self._limits)
        line, said = known or self._request_line(text)
        fields = http.parse_fields(lines, line.version, self._limits)
        environ = field_environ(self._base, fields.lines)
        if self._luck > 0:
            self._learn(lines, fields, line.version)
        else:
            self._luck = self._luck + 1 or STEM_TRIES
        environ.update(said)
        return Request(line, fields), environ

    def _request_line(self, text: str) -> KnownLine:
        octets = text.encode("latin-1")
        known = self._lines.recall(octets)
        if known is None:
            line = http.parse_request_line(text)
            known = line, line_environ(line)
            if self._lines.comes_again(octets):
                self._lines.keep(octets, known, 4 * len(text) + 512)
        return known

    # Stems

    def _by_stem(self, head: bytes, at: int, known: KnownLine) -> tuple[Request, Environ] | None:
        """The request if its field block, from `at`, is a stem and some harmless lines; else None."""
        line, said = known
        for stem in self._stems:
            gap_at, gap_end = at + len(stem.start), len(head) - len(stem.end)
            if (
                gap_at <= gap_end  # start and end may be alike enough to overlap
                and head.startswith(stem.start, at)
                and head.endswith(stem.end)
                and stem.version is line.version
            ):
                found = self._grown(stem, head[gap_at:gap_end], len(head))
                if found is not None:
                    fields, environ = found
                    environ.update(said)
                    return Request(line, fields), environ
        return None

    def _grown(self, stem: _Stem, gap: bytes, size: int) -> tuple[Fields, Environ] | None:
        """A stem and the lines in its gap; None if they are not plainly independent of each other."""
        limits = self._limits
        lines = gap.decode("latin-1").split("\r\n")
        if lines.pop() or size > limits.head or len(lines) > 2 * STEM_GAP:
            return None
        environ = stem.environ.copy()
        between: list[FieldLine] = []
        for text in lines:
            field = http.parse_field_line(text, limits.field_size)
            key = environ_key(field[0])
            if field[2] or key in environ:
                return None  # it speaks of framing, or is to be joined: the plain way knows how
            if key:
                environ[key] = field[1]
            between.append(field)
        if len(stem.before) + len(between) + len(stem.after) > limits.fields:
            return None
        fields = stem.fields.with_lines([*stem.before, *between, *stem.after])
        return fields, environ

    def _learn(self, lines: list[str], fields: Fields, version: tuple[int, int]) -> None:
        """Finds what this head has in common with the one before it."""
        last, self._last = self._last, lines
        if last is None:
            return
        shortest = min(len(lines), len(last))
        start = 0
        while start < shortest and lines[start] == last[start]:
            start += 1
        end = 0
        while end < shortest - start and lines[-1 - end] == last[-1 - end]:
            end += 1
        gap = len(lines) - start - end
        parsed = fields.lines
        between = parsed[start : start + gap]
        if gap > STEM_GAP or start + end < 2 or any(field[2] for field in between):
            self._luck = self._luck - 1 or -STEM_REST
            return
        self._luck = STEM_TRIES
        before, after = parsed[:start], parsed[start + gap :]
        stem = _Stem(
            start="".join(f"{line}\r\n" for line in lines[:start]).encode("latin-1"),
            end="".join(f"{line}\r\n" for line in [*lines[start + gap :], ""]).encode("latin-1"),
            before=before,
            after=after,
            fields=fields,
            environ=field_environ(self._base, [*before, *after]),
            version=version,
        )
        self._stems = [stem, *self._stems[: STEMS_KEPT - 1]]
