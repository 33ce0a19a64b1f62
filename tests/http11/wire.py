"""What the driver does with the octets of a connection, without the connection.

`read_stream` takes the pieces in which they came and says which messages they make, and how the
stream ends.  Everything the tests say of requests they say through it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dualwsgi.errors import BadRequest
from dualwsgi.http11.body import Body, ChunkedBody, SizedBody
from dualwsgi.http11.head import (
    FieldLine,
    Fields,
    Limits,
    RequestLine,
    check_unfinished,
    find_head_end,
    parse_fields,
    parse_request_line,
    skip_empty_lines,
    split_head,
)

LIMITS = Limits()


@dataclass(frozen=True)
class Message:
    """A request, in plain values that compare."""

    method: str
    target: str
    version: tuple[int, int]
    path: str
    query: str
    authority: str | None
    fields: tuple[tuple[str, str], ...]
    host: str | None
    keep_alive: bool
    chunked: bool
    length: int | None
    expect_continue: bool
    upgrade: str | None
    content: bytes
    trailers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Outcome:
    """`error` is (status, reason); `open` says what is unfinished: "head", "body" or nothing.

    `rest` are the octets after the last message, where it was to be the last of the connection.
    """

    messages: tuple[Message, ...]
    error: tuple[int, str] | None = None
    open: str = ""
    rest: bytes = b""

    @property
    def status(self) -> int:
        """200 for good, else that of the error."""
        return self.error[0] if self.error else 200


@dataclass
class Reader:
    """One connection's worth of octets to messages."""

    limits: Limits = LIMITS
    messages: list[Message] = field(default_factory=list)
    content_out: int = 0

    def __post_init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._skipped = 0
        self._line_is_good = False
        self._head: tuple[RequestLine, list[FieldLine], Fields] | None = None
        self._body: Body | None = None
        self._content: list[bytes] = []
        self.over = False

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and not self.over and (self._feed_body() if self._body else self._feed_head()):
            pass

    def _feed_head(self) -> bool:
        """Whether to go on with what is in the buffer."""
        skipped = skip_empty_lines(self._buffer, self._skipped) if not self._scanned else 0
        if self._buffer == b"\r":
            return False
        if skipped:
            self._skipped += skipped
            del self._buffer[:skipped]
            return True
        end = find_head_end(self._buffer, self._scanned)
        if end < 0:
            known = self._line_is_good and self._scanned > 0
            self._line_is_good = check_unfinished(self._buffer, self._scanned, self.limits, known)
            self._scanned = len(self._buffer)
            return False
        text, lines = split_head(bytes(self._buffer[:end]), self.limits)
        line = parse_request_line(text)
        self._head = line, *parse_fields(lines, line.version, self.limits)
        del self._buffer[:end]
        self._scanned = self._skipped = 0
        fields = self._head[2]
        self._body = ChunkedBody(self.limits) if fields.chunked else SizedBody(fields.length or 0)
        self._content = []
        return self._feed_body()

    def _feed_body(self) -> bool:
        assert self._body is not None
        piece, rest = self._body.feed(bytes(self._buffer))
        self.content_out += len(piece)
        self._content.append(piece)
        self._buffer = bytearray(rest)
        if not self._body.done:
            assert not rest, "a body that is not done keeps what it was fed"
            return False
        self._finish()
        return True

    def _finish(self) -> None:
        assert self._head is not None
        line, lines, fields = self._head
        trailers = tuple(self._body.trailers) if isinstance(self._body, ChunkedBody) else ()
        self.messages.append(
            Message(
                *(line.method, line.target, line.version, line.path, line.query, line.authority),
                tuple((name, value) for name, value, *_ in lines),
                *(fields.host, fields.keep_alive, fields.chunked, fields.length),
                *(fields.expect_continue, fields.upgrade, b"".join(self._content), trailers),
            )
        )
        self._body = None
        self.over = not fields.keep_alive or line.method == "CONNECT" or fields.upgrade is not None

    def outcome(self, error: BadRequest | None = None) -> Outcome:
        return Outcome(
            tuple(self.messages),
            (error.status, error.reason) if error else None,
            "" if error else "body" if self._body else "head" if self._buffer and not self.over else "",
            bytes(self._buffer) if self.over and not error else b"",
        )


def read_stream(pieces: Iterable[bytes], limits: Limits = LIMITS) -> Outcome:
    """Raises nothing: whatever is not a BadRequest is a fault of the parser and shows."""
    reader = Reader(limits)
    try:
        for piece in pieces:
            reader.feed(piece)
    except BadRequest as error:
        return reader.outcome(error)
    return reader.outcome()


def octet_by_octet(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def random_pieces(data: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    at = 0
    while at < len(data):
        size = chance.choice((1, 1, 2, 3, 5, 17, 200))
        yield data[at : at + size]
        at += size


def ways_to_feed(data: bytes) -> Iterator[tuple[str, Iterable[bytes]]]:
    """The same octets, cut differently: (how, pieces)."""
    yield "whole", [data]
    yield "octet by octet", octet_by_octet(data)
    for seed in range(3):
        yield f"in random pieces ({seed})", random_pieces(data, seed)
    for cut in (b"\r", b"\n", b":", b" ", b"\r\n\r"):
        at = data.find(cut) + len(cut)
        if 0 < at < len(data):
            yield f"cut after the first {cut!r}", [data[:at], data[at:]]


SECOND = b"GET /second HTTP/1.1\r\nHost: second\r\n\r\n"


def request(
    line: str = "GET / HTTP/1.1", *fields: str, host: str | None = "Host: a", body: bytes = b""
) -> bytes:
    """A request head with a Host field first, unless that is None, and what follows it."""
    lines = [line, *([host] if host is not None else []), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def check_refused(data: bytes, status: int, limits: Limits = LIMITS) -> None:
    """`data` gets `status`, however it is cut and whatever follows; no message comes of it."""
    for after in (b"", SECOND, b"\0\r\n"):
        for how, pieces in ways_to_feed(data + after):
            outcome = read_stream(pieces, limits)
            told = f"fed {how}, followed by {after!r}"
            assert outcome.status == status, f"expected {status}, got {outcome.error}, {told}"
            assert not outcome.messages, f"expected no message, got {outcome.messages}, {told}"


def check_accepted(data: bytes, limits: Limits = LIMITS, **expected: object) -> Message:
    """`data` is one message with these parts, however it is cut, and ends where it ends."""
    first = read_stream([data], limits)
    assert first.error is None, f"expected a message, got {first.error}"
    assert len(first.messages) == 1, f"expected one message, got {first}"
    message = first.messages[0]
    assert not first.open
    for name, value in expected.items():
        assert getattr(message, name) == value, f"expected {name} {value!r}, got {getattr(message, name)!r}"
    second = read_stream([SECOND]).messages
    ends = not message.keep_alive or message.method == "CONNECT" or message.upgrade is not None
    for after in (b"", SECOND, b"\r\n" + SECOND):
        wanted = Outcome((message,), rest=after) if ends else Outcome((message, *(second if after else ())))
        for how, pieces in ways_to_feed(data + after):
            outcome = read_stream(pieces, limits)
            assert outcome == wanted, f"fed {how}, followed by {after!r}"
    return message
