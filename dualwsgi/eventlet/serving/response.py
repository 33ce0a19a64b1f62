"""eventlet's responses: how its applications may answer, and what the answer looks like.

More is accepted than PEP 3333 allows (text content, numbers as header values, header names in
ISO-8859-1, a second start_response before the head is out); names are capitalised and small pieces
gathered.  What could end a header field or a response early is refused here as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from ...errors import ApplicationError
from ...gateway.exchange import Exchange, ExcInfo
from ...http11 import grammar
from ...http11.body import LAST_CHUNK, encode_chunk
from ...http11.response import Framing, ResponsePlan, frame

if TYPE_CHECKING:
    from .connection import AnnexeConnection

_NAME: Final = re.compile(r"[!-9;-~\x80-\xff]+")
_STATUS: Final = re.compile(r"([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")


def encode_header_line(header: tuple[Any, Any]) -> bytes:
    """`Name: value` and its CR LF in ISO-8859-1.

    Raises UnicodeEncodeError, whose text says what to do, and ApplicationError for a control character.
    """
    name, value = str(header[0]), str(header[1])
    for text, what in ((name, "header names"), (value, "header values")):
        try:
            text.encode("latin-1")
        except UnicodeEncodeError as error:
            error.reason += f"; {what} are latin-1 on the wire" + (
                ", and other characters need an encoding of their own (RFC 8187)"
                if text is value
                else " and cannot hold others"
            )
            raise
    if not _NAME.fullmatch(name):
        raise ApplicationError("a header name has characters that none may have")
    if not grammar.FIELD_VALUE.fullmatch(value):
        raise ApplicationError(f"the value of {name} has a control character")
    return b"%b: %b\r\n" % (name.encode("latin-1"), value.encode("latin-1"))


def capitalized(name: str) -> str:
    """`x-ANY` as X-Any: each part by itself, and only the letters of ASCII."""
    return "-".join(part.encode("latin-1").capitalize().decode("latin-1") for part in str(name).split("-"))


def plan_answer(status: str, headers: Iterable[tuple[Any, Any]], version: str, capitals: bool) -> Plan:
    """What an application asked for by start_response.

    Raises ApplicationError and UnicodeEncodeError.  Hop-by-hop fields are the server's: `Connection:
    close` is obeyed, the others are dropped.
    """
    match = _STATUS.fullmatch(str(status))
    if match is None:
        raise ApplicationError("the status must be three digits, a space and a reason")
    code = int(match[1])
    if code < 200 and code != 101:
        raise ApplicationError(f"{code} is no final status")
    lines = [f"{version} {status}\r\n".encode("latin-1")]
    length: int | None = None
    has_date = wants_close = False
    for name, value in headers:
        lower = str(name).lower()
        if lower in grammar.HOP_BY_HOP:
            if code == 101 and lower == "upgrade":
                lines.append(encode_header_line((name, value)))
            wants_close = wants_close or (lower == "connection" and str(value).lower() == "close")
            continue
        if lower == "content-length":
            if length is not None or not grammar.CONTENT_LENGTH.fullmatch(str(value)):
                raise ApplicationError("Content-Length must be given once, in decimal digits")
            length = int(value)
            continue
        has_date = has_date or lower == "date"
        lines.append(encode_header_line((capitalized(name) if capitals else name, value)))
    return Plan(status, code, b"".join(lines), length, has_date, wants_close)


class Plan(ResponsePlan):
    """A ResponsePlan, and whether the application wants the connection closed after it."""

    __slots__ = ("wants_close",)

    def __init__(
        self, status: str, code: int, head: bytes, length: int | None, has_date: bool, wants_close: bool
    ) -> None:
        super().__init__(status, code, head, length, has_date, upgrade=code == 101)
        self.wants_close = wants_close


class AlreadyHandled(Exception):
    """The application has answered by itself, through its socket: nothing is to be sent."""


class AnnexeExchange(Exchange):
    """The response to one request, by eventlet's rules."""

    __slots__ = ("minimum",)

    _conn: AnnexeConnection
    plan: Plan | None

    def __init__(self, conn: AnnexeConnection) -> None:
        super().__init__(conn)
        self.minimum = conn.protocol.minimum_chunk_size

    def start_response(
        self, status: str, headers: Iterable[tuple[Any, Any]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """May be called again until the head is out; after that it raises what `exc_info` holds."""
        if self.head_sent and exc_info is not None:
            try:
                raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        if self.head_sent:
            raise ApplicationError("start_response was called again after the head was sent")
        server = self._conn.protocol.server
        pairs = headers.items() if isinstance(headers, dict) else headers
        self.plan = plan_answer(status, pairs, server.max_http_version, server.capitalize_response_headers)
        return self.write

    def write(self, data: bytes) -> None:
        super().write(octets(data))

    def respond(self, result: Iterable[bytes]) -> None:
        self._result = result
        environ = self._conn.environ
        length: int | None = None
        if not self.head_sent and hasattr(result, "__len__"):
            if isinstance(result, list | tuple):
                result = [octets(data) for data in result]
            length = sum(map(len, result))
        held: list[bytes] = []
        size = 0
        for item in result:
            if not item:
                continue
            data = octets(item)
            held.append(data)
            size += len(data)
            if length is None and size >= environ.get("eventlet.minimum_write_chunk_size", self.minimum):
                self.send(b"".join(held), None)
                held.clear()
                size = 0
        if self._conn.has_answered:
            raise AlreadyHandled
        self._end(b"".join(held), length)

    def _end(self, data: bytes, length: int | None) -> None:
        """The last piece of the content, and what tells that it is the last, in one write."""
        head = b"" if self.head_sent else self._begin(length)
        framing = self.framing
        if framing is Framing.NONE:
            data = b""
        elif framing is Framing.SIZED:
            data = self._fitted(data)
        elif framing is Framing.CHUNKED:
            data = (encode_chunk(data) if data else b"") + LAST_CHUNK
        self.content_sent += len(data)
        if framing is Framing.SIZED and self.left:
            self._conn.outlet.send(head + data)
            raise self._too_short()
        self.ended = True
        self._conn.outlet.send_last(head, data)

    def _begin(self, length: int | None) -> bytes:
        plan = self.plan
        if plan is None:
            raise ApplicationError("content before start_response was called")
        conn = self._conn
        line = conn.request.line
        if line.method == "HEAD":
            length = None
        http_11 = conn.speaks_http_11
        if plan.wants_close:
            conn.protocol.close_connection = True
        decided = frame(
            plan, method=line.method, http_11=http_11, keep_alive=conn.may_keep_alive(), length=length
        )
        self.framing = decided.framing
        self.keep_alive = decided.keep_alive
        self.left = decided.length if decided.framing is Framing.SIZED and decided.length is not None else 0
        self.content_sent = 0
        self._overflowed = False
        self.head_sent = True
        conn.head_is_out(tunnel=decided.framing is Framing.RAW)
        date = b"" if plan.has_date else conn.date_line()
        first, last = _in_eventlets_order(decided.lines)
        if decided.keep_alive and conn.asked_to_keep_alive:
            last = b"Connection: keep-alive\r\n" + conn.keep_alive_line
        return b"%b%b%b%b\r\n" % (plan.head, first, date, last)


def _in_eventlets_order(lines: bytes) -> tuple[bytes, bytes]:
    """What stands before Date, the length, and what stands after it."""
    if not lines.startswith(b"Content-Length"):
        return b"", lines
    end = lines.index(b"\r\n") + 2
    return lines[:end], lines[end:]


def octets(data: Any) -> bytes:
    """Content as octets; text is taken if it is ASCII.  Raises ApplicationError, UnicodeEncodeError."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode("ascii")
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise ApplicationError(f"content must be bytes, not {type(data).__name__} (PEP 3333)")
