"""From the octets of a request head to a Request and its environ, by the shortest way that is safe.

Clients repeat themselves, so three things are remembered, each bounded in number, octets and age:

  - whole heads, octet for octet: one look-up makes the request (`known`, used by the driver itself);
  - request lines, which come with many different fields;
  - stems: what two heads of one client had in common but for the values of a few lines, such as a
    request id.  A head that starts and ends with a stem's octets and has lines of those names
    between says what the stem says, and only their values are looked at.

The plain way, parsing everything, is `_parse`; all ways make the same Request and environ, which
tests hold them to.  What the connection says (REMOTE_*, the scheme) is never part of a memory: it
is laid over each copy by the connection, or a head first seen from one peer would speak for all.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final

from ..http11 import head as http
from ..http11.head import HTTP_10, HTTP_11, FieldLine, Fields, Limits, RequestLine
from ..http11.response import ResponsePlan
from .environ import Environ, environ_key, field_environ, line_environ
from .memory import Memory
from .requestbody import BODY_HELD

HEAD_SIZE: Final = 16384
"""Octets; a head that is as long as a read or longer is not remembered."""

STEMS_KEPT: Final = 4
STEM_GAP: Final = 3
"""Lines that may differ between two heads with a stem in common."""
RESEMBLED_UNLOOKED: Final = 15
"""So many of sixteen heads like others are not looked at whether they have come before."""
STEM_LINES: Final = 64
"""Request lines that a stem remembers its heads with."""

STEM_TRIES: Final = 64
STEM_REST: Final = 1024
"""After so many tries without luck, so many heads are not tried."""


UNREAD: Final = bytes(HEAD_SIZE + 1)
"""Octets that no read brings, since none asks for so many."""

Planned = tuple[str, list[tuple[str, str]], ResponsePlan]
"""Status and header fields, as an application says them, and what they come to."""


class Request:
    """A request head and what was made of it; kept with heads that come again, so never changed.

    `head` is its octets, `lines` its field lines.  In one that stands for all heads of a stem (see
    Heads.resembling) the values are empty in which these differ, and which nobody reads there.

    Of one that is kept, `environ` is to be copied for each request.  If it comes in one read and nothing else
    has to be thought of, `alone` is its head, if it has no body, and `whole` how many octets it has with its
    body; else they are UNREAD and -1.
    """

    __slots__ = (
        "_lines",
        "alone",
        "environ",
        "fields",
        "has_body",
        "head",
        "is_last",
        "is_plain",
        "line",
        "logged",
        "may_tunnel",
        "planned",
        "small_body",
        "whole",
    )

    def __init__(
        self, line: RequestLine, fields: Fields, head: bytes, lines: list[FieldLine] | None = None
    ) -> None:
        self.line = line
        self.fields = fields
        self.head = head
        self._lines = lines
        self.environ: Environ = _NOTHING
        self.alone = UNREAD
        self.whole = -1
        self.has_body = fields.chunked or bool(fields.length)
        self.may_tunnel = fields.upgrade is not None or line.method == "CONNECT"
        length = fields.length or 0
        # The length of a body that is collected, where nothing else has to be thought of; 0 if none.
        self.small_body = (
            length if length <= BODY_HELD and not self.may_tunnel and not fields.expect_continue else 0
        )
        # No other request follows it; so is every one of HTTP/1.0 that does not ask for more.
        self.is_last = not fields.keep_alive
        # A response to it needs no thought: nothing special is asked for, and nothing is said of HTTP/1.0.
        self.is_plain = (
            (line.version is HTTP_11 or self.is_last)
            and line.method != "HEAD"
            and not fields.expect_continue
            and not self.may_tunnel
        )
        self.planned: Planned | None = None  # how the application has answered one like this before
        self.logged: tuple[str, str] | None = None  # the parts of its log line that the head decides

    @property
    def lines(self) -> list[FieldLine]:
        """Its field lines, in order."""
        lines = self._lines
        if lines is None:
            lines = self._lines = http.field_lines_again(self.head)
        return lines

    def with_head(self, head: bytes) -> Request:
        """The same, but for field lines that say nothing about the message."""
        other = _new(Request)  # not by __init__, which would find out again what is known here
        other.line = self.line
        other.fields = self.fields
        other.head = head
        other._lines = None
        other.environ = _NOTHING
        other.alone = UNREAD
        other.whole = -1
        other.has_body = self.has_body
        other.may_tunnel = self.may_tunnel
        other.small_body = self.small_body
        other.is_last = self.is_last
        other.is_plain = self.is_plain
        other.planned = other.logged = None
        return other


_new: Final = object.__new__
_NOTHING: Final[Environ] = {}

NO_REQUEST: Final = Request(RequestLine("", "", HTTP_10, "", ""), Fields(None, keep_alive=True), b"")
"""What a connection has between two requests: it keeps no head while it is idle."""

KnownLine = tuple[RequestLine, Environ]
"""A request line and what it says to environ."""


class _Stem:
    """What two heads of one client had in common: all but the values of a few lines that stand together.

    A head is `before` the first of them, their names and values, and `end`.  `before` is a request
    line and the stem's first lines; what is known of it is kept for each such line.
    """

    __slots__ = (
        "_end",
        "_environ",
        "_fields",
        "_gaps",
        "_kinds",
        "_mark",
        "_start",
        "_version",
        "is_short",
    )

    def __init__(
        self,
        start: list[str],
        names: list[str],
        end: list[str],
        said: tuple[Fields, Environ],
        version: tuple[int, int],
        field_size: int,
        reads: frozenset[str],
    ) -> None:
        fields, environ = said
        self._start = "\r\n".join(start).encode("latin-1")
        self._end = "".join(f"{line}\r\n" for line in [*end, ""]).encode("latin-1")
        first, *others = [f"{name}:".encode("latin-1") for name in names]
        self._mark = b"\r\n" + first
        # What a line begins with and is not in `mark`, its key, and how long the rest of it may be.
        self._gaps = [(b"", environ_key(names[0]), field_size - len(first))]
        self._gaps += [
            (prefix, environ_key(name), field_size) for prefix, name in zip(others, names[1:], strict=True)
        ]
        # Nothing follows such a head, and nobody reads what differs in it: one request may stand for all.
        self.is_short = not (fields.chunked or fields.length or fields.upgrade) and reads.isdisjoint(
            name.lower() for name in names
        )
        self._fields = fields
        self._environ = environ
        self._version = version
        self._kinds: dict[bytes, Request] = {}

    def match(self, head: bytes, lines: dict[Hashable, KnownLine]) -> tuple[Request, Environ] | None:
        """If a head's values alone differ, and are plain: the kind of request that it makes, and what
        the values say; else None.

        `lines` are the request lines that are known.
        """
        before, _, rest = head.partition(self._mark)
        kind = self._kinds.get(before) or self._kind(before, lines)
        if kind is None:
            return None
        values: Environ = {}
        for prefix, key, room in self._gaps:
            octets, _, rest = rest.partition(b"\r\n")
            if len(octets) > room or not octets.startswith(prefix):
                return None
            value = octets[len(prefix) :].decode("latin-1")
            if not value.isprintable():
                return None  # a tab may be, a line end may not: the plain way knows
            values[key] = value.strip(" ")
        # Neither what is common nor a printable value holds an empty line, so this is the whole head.
        return (kind, values) if rest == self._end else None

    def _kind(self, before: bytes, lines: dict[Hashable, KnownLine]) -> Request | None:
        """What requests that start so are like, if they are of this stem."""
        text, _, start = before.partition(b"\r\n")
        known = lines.get(text)
        if known is None or start != self._start or known[0].version is not self._version:
            return None
        line, said = known
        if line.method == "CONNECT":
            return None
        # Its head is that of none of them: what differs is empty there.
        names = b"".join(prefix + b"\r\n" for prefix, _, _ in self._gaps)
        kind = Request(line, self._fields, before + self._mark + names + self._end)
        kind.environ = self._environ | said
        if len(self._kinds) >= STEM_LINES:
            self._kinds.clear()
        self._kinds[before] = kind
        return kind


class Heads:
    """The memory of one site's request heads; `base` is what every environ starts from.

    Heads for `unkept` paths are never remembered: they are not the application's, and what is found
    in the memory is.  `reads` are the fields, in lower case, that somebody reads in Request.lines.
    """

    def __init__(
        self,
        base: Environ,
        limits: Limits,
        unkept: Collection[str] = (),
        reads: frozenset[str] = frozenset(),
    ) -> None:
        self._base = base
        self._unkept = unkept
        self._reads = reads
        self._limits = limits
        self._longest = min(limits.head, HEAD_SIZE - 1)  # octets of a head that stems are for
        # Heads with something to read after them are kept apart, since the driver runs what it finds
        # in `plain` at once.
        self.plain: Memory[Request] = Memory(1024, 1 << 20)
        self._with_input: Memory[Request] = Memory(256, 1 << 18)
        self._lines: Memory[KnownLine] = Memory(1024, 1 << 18)
        self._stems: list[_Stem] = []
        self._short_stems: list[_Stem] = []  # those of them whose heads may have one request for all
        self._resembled = 0
        self._last: list[str] | None = None  # the field lines of the last head that was parsed whole
        self._luck = STEM_TRIES  # tries left, or how many heads until the next one if it is negative
        self._turned = 0.0

    def age(self, now: float) -> None:
        """To be called about once a second with monotonic seconds, while there is work: nobody looks anything
        up in between, and what has become too old goes before the first look after it."""
        for memory in (self.plain, self._with_input, self._lines):
            memory.age(now)
        if now - self._turned > Memory.LIFE:
            self._turned = now
            self._set_stems([])
            self._last = None

    def resembling(self, data: bytes) -> tuple[Request, Environ] | None:
        """If `data` is a head like others: a request that stands for it, and what is to be laid over its
        environ; else None.

        The application is to be called for it at once.
        """
        self._resembled += 1
        # One of sixteen goes by request(), which finds what comes again; and one that has filled the read
        # by the driver's other way, which knows that there may be more.
        if self._resembled & RESEMBLED_UNLOOKED and len(data) <= self._longest:
            for stem in self._short_stems:
                found = stem.match(data, self._lines.known)
                if found is not None:
                    return found
        return None

    def request(self, head: bytes, may_keep: bool) -> tuple[Request, Environ, bool]:
        """The request that a whole head makes, a new environ, and whether the head was kept just now.

        Raises BadRequest.
        """
        request = self.plain.known.get(head) or self._with_input.known.get(head)
        if request is not None:
            return request, request.environ.copy(), False
        found = self._by_stem(head) if self._stems else None
        if found is None:
            request = self.plain.recall(head) or self._with_input.recall(head)
            if request is not None:
                return request, request.environ.copy(), False
            found = self._parse(head)
        request, environ = found
        kept = may_keep and len(head) < HEAD_SIZE and self._keep_again(head, request, environ)
        return request, environ, kept

    def _keep_again(self, head: bytes, request: Request, environ: Environ) -> bool:
        if request.line.path in self._unkept:
            return False
        memory = self._with_input if request.has_body or request.may_tunnel else self.plain
        if not memory.comes_again(head):
            return False
        request.environ = environ.copy()
        whole = len(head) + request.small_body
        if whole < HEAD_SIZE and bool(request.small_body) == request.has_body and not request.may_tunnel:
            request.whole = whole
            request.alone = UNREAD if request.has_body else head
        memory.keep(head, request, 4 * len(head) + 2048)
        return True

    def _parse(self, head: bytes) -> tuple[Request, Environ]:
        """The plain way."""
        text, lines = http.split_head(head, self._limits)
        line, said = self._request_line(text)
        parsed, fields = http.parse_fields(lines, line.version, self._limits)
        environ = field_environ(self._base, parsed)
        if self._luck > 0:
            if len(head) <= self._longest:
                self._learn(lines, parsed, fields, line.version)
        else:
            self._luck = self._luck + 1 or STEM_TRIES
        environ.update(said)
        return Request(line, fields, head, parsed), environ

    def _request_line(self, text: str) -> KnownLine:
        octets = text.encode("latin-1")
        known = self._lines.known.get(octets) or self._lines.recall(octets)
        if known is None:
            line = http.parse_request_line(text)
            known = line, line_environ(line)
            if line.path not in self._unkept and self._lines.comes_again(octets):
                self._lines.keep(octets, known, 4 * len(text) + 512)
        return known

    # Stems

    def _by_stem(self, head: bytes) -> tuple[Request, Environ] | None:
        """The request if its field block is a stem's but for the values that differ; else None."""
        if len(head) <= self._longest:
            for stem in self._stems:
                found = stem.match(head, self._lines.known)
                if found is not None:
                    kind, values = found
                    return kind.with_head(head), kind.environ | values
        return None

    def _learn(
        self, lines: list[str], parsed: list[FieldLine], fields: Fields, version: tuple[int, int]
    ) -> None:
        """Finds what this head has in common with the one before it."""
        last, self._last = self._last, lines
        stem = self._common_to(last, lines, parsed, fields, version) if last is not None else None
        if stem is not None:
            self._set_stems([stem, *self._stems[: STEMS_KEPT - 1]])
            self._luck = STEM_TRIES
        elif last is not None:
            self._luck = self._luck - 1 or -STEM_REST

    def _set_stems(self, stems: list[_Stem]) -> None:
        self._stems = stems
        self._short_stems = [stem for stem in stems if stem.is_short]

    def _common_to(
        self,
        last: list[str],
        lines: list[str],
        parsed: list[FieldLine],
        fields: Fields,
        version: tuple[int, int],
    ) -> _Stem | None:
        """The stem of two heads, unless what differs is more than a few harmless lines of the same names."""
        count = len(lines)
        if len(last) != count:
            return None
        start = 0
        while start < count and lines[start] == last[start]:
            start += 1
        end = count
        while end > start and lines[end - 1] == last[end - 1]:
            end -= 1
        names = [name for name, _, _ in parsed[start:end]]
        others = [*parsed[:start], *parsed[end:]]
        if not 0 < len(names) <= STEM_GAP or len(others) < 2:
            return None
        if names != [line.partition(":")[0] for line in last[start:end]]:
            return None
        environ = field_environ(self._base, others)
        for name, _, spoken in parsed[start:end]:
            key = environ_key(name)
            if spoken or not key or key in environ:
                return None  # it speaks of framing, or is to be left out or joined: the plain way knows how
            environ[key] = ""
        said = (fields, environ)
        return _Stem(lines[:start], names, lines[end:], said, version, self._limits.field_size, self._reads)
