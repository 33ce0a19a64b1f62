"""Responses: status and fields to octets, and which framing a body gets (RFC 9112 sections 6, 9).

What the application hands to start_response is checked and encoded once into a ResponsePlan, which
says nothing of the request and may be kept and used again.  `frame` then joins it with what the
request allows.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..errors import ApplicationError
from . import grammar

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# The answers that the server gives on its own account.
REASONS: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


Stamp = tuple[bytes, int | None, bytes, tuple[int, int, int]]
"""A Date line, a length of content (None: it goes in chunks), the whole head that they make of a plan, and
what is noted of a response with it: the status, and octets of content and in all.  One tuple, so that threads
that share a plan see all of it or none."""

UNSTAMPED: Final[Stamp] = (b"", -1, b"", (0, 0, 0))


@dataclass(slots=True)
class ResponsePlan:
    """A checked and encoded response head that only lacks its framing, Date and Connection.

    `head` is the status line and the application's field lines, each with its CR LF, and the
    server's own Server field where the application gave none.  `length` is the application's
    Content-Length.  `stamped` is a place for whoever sends the plan often, `stamped_last` the same for
    the last response of a connection.
    """

    status: str
    code: int
    head: bytes
    length: int | None
    has_date: bool
    upgrade: bool
    stamped: Stamp = UNSTAMPED
    stamped_last: Stamp = UNSTAMPED

    @property
    def never_has_content(self) -> bool:
        """RFC 9110 sections 15.2, 15.3.5, 15.3.6 and 15.4.5."""
        return self.code < 200 or self.code in (204, 205, 304)


def plan_response(status: str, headers: Iterable[tuple[str, str]], server_field: bytes = b"") -> ResponsePlan:
    """What an application asked for by start_response(status, headers), checked.

    `server_field` is a whole line, sent where the application gives no Server field.  Raises
    ApplicationError if a part is not a str, is outside ISO-8859-1, holds a control character or is
    a hop-by-hop field (PEP 3333) other than the Upgrade of a 101 or a 426, or if the status is none
    (RFC 9110 section 15).
    """
    code = _status_code(status)
    lines = [f"HTTP/1.1 {status}\r\n" if len(status) > 3 else f"HTTP/1.1 {status} \r\n"]
    length: int | None = None
    has_date = upgrade = False
    for entry in headers:
        name, value = _checked_field(entry)
        lower = name.lower()
        if lower in grammar.HOP_BY_HOP:
            if code not in (101, 426) or lower not in ("upgrade", "connection"):
                raise _not_its_own(name)
            if lower == "connection":
                if code == 426 and value.lower() != "upgrade":
                    raise _not_its_own(name)
                continue  # there is one thing it can say, and whoever says Upgrade says it
            upgrade = True
        elif lower == "content-length":
            if length is not None or not grammar.CONTENT_LENGTH.fullmatch(value):
                raise ApplicationError("Content-Length must be given once, in decimal digits")
            length = int(value)
            continue  # where it goes, if anywhere, is the framing's to say
        elif lower == "date":
            has_date = True
        elif lower == "server":
            server_field = b""
        lines.append(f"{name}: {value}\r\n")
    if code == 426 and upgrade:
        # RFC 9110 section 15.5.22: it must have Upgrade, and section 7.8: with that, this.
        lines.append("Connection: Upgrade\r\n")
        upgrade = False  # it asks for one, and makes none
    if code < 200 and not upgrade:
        raise ApplicationError(f"{code} is no final status; only 101 with an Upgrade field ends a request")
    try:
        head = "".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise ApplicationError(
            "a status or header field has characters outside ISO-8859-1 (see RFC 8187)"
        ) from None
    return ResponsePlan(status, code, head + server_field, length, has_date, upgrade)


def _status_code(status: str) -> int:
    try:
        match = grammar.STATUS.fullmatch(status)
    except TypeError:
        raise ApplicationError(f"the status must be a str, not {type(status).__name__}") from None
    if match is None:
        # Perhaps only its characters are outside the pattern; the cure is another one then.
        raise ApplicationError("the status must be three digits, a space and a reason without controls")
    return int(match[1])


def _checked_field(entry: tuple[str, str]) -> tuple[str, str]:
    try:
        if isinstance(entry, str):  # two characters would make a name and a value
            raise TypeError
        name, value = entry
        name_match, value_match = grammar.TOKEN.fullmatch(name), grammar.FIELD_VALUE.fullmatch(value)
    except (TypeError, ValueError):
        raise ApplicationError("each header must be a tuple of name and value, both str") from None
    if name_match is None:
        raise ApplicationError("a header name has characters that none may have")
    if value_match is None:
        raise ApplicationError(
            f"the value of {name} has a control character or one outside ISO-8859-1 (see RFC 8187)"
        )
    return name, value


def _not_its_own(name: str) -> ApplicationError:
    return ApplicationError(f"the field {name} is the server's to send (PEP 3333: hop-by-hop)")


def encode_interim(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A whole interim response (RFC 9110 section 15.2): "102 Processing" and the like, not 100 and not 101.

    Raises ApplicationError.
    """
    try:
        match = grammar.INTERIM_STATUS.fullmatch(status)
    except TypeError:
        match = None
    if match is None:
        raise ApplicationError("an interim status is a str of 102 to 199, a space and a reason")
    space = "" if len(status) > 3 else " "
    return b"HTTP/1.1 %b\r\n%b\r\n" % (f"{status}{space}".encode("latin-1"), encode_fields(headers))


def encode_fields(headers: Iterable[tuple[str, str]]) -> bytes:
    """Field lines for an interim (1xx) response, checked as those of a final one.

    Nor may they speak of a content, which no interim response has (RFC 9110 section 8.6).
    """
    lines = []
    for entry in headers:
        name, value = _checked_field(entry)
        if name.lower() in grammar.HOP_BY_HOP:
            raise _not_its_own(name)
        if name.lower() == "content-length":
            raise ApplicationError("an interim response has no content, hence no Content-Length")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


class Framing(enum.Enum):
    """How the end of a response is told."""

    NONE = enum.auto()  # it has no body
    SIZED = enum.auto()  # Content-Length
    CHUNKED = enum.auto()
    CLOSE = enum.auto()  # the end of the connection, for HTTP/1.0
    RAW = enum.auto()  # after 101 the connection speaks another protocol


@dataclass(frozen=True, slots=True)
class Frame:
    """What `frame` decides: the lines to add to the head, and what they mean."""

    lines: bytes
    framing: Framing
    length: int | None
    keep_alive: bool


def frame(
    plan: ResponsePlan,
    *,
    method: str,
    http_11: bool,
    keep_alive: bool,
    length: int | None,
) -> Frame:
    """RFC 9112 section 6.3 and RFC 9110 section 6.4.1, from the sender's side.

    `length` is how long the body is, if that is known beyond what the application declared.
    """
    head_request = method == "HEAD"
    if head_request and not length:
        length = None  # what was not made for HEAD says nothing of what GET would get (section 8.6)
    declared = plan.length
    framing = Framing.NONE
    lines = b""
    if plan.upgrade:
        # RFC 9110 section 7.8: who sends Upgrade must send this with it.
        return Frame(b"Connection: Upgrade\r\n", Framing.RAW, None, False)
    if method == "CONNECT" and 200 <= plan.code < 300:
        # RFC 9110 section 9.3.6: a tunnel begins after the head, until the connection ends.
        return Frame(b"", Framing.RAW, None, False)
    if plan.code == 204:
        declared = None  # RFC 9110 section 8.6: no Content-Length in a 204
    elif plan.code == 205:
        # RFC 9110 section 15.3.6: it has no content, but unlike a 204 its framing must say so.
        declared = 0
        lines = b"Content-Length: 0\r\n"
    elif plan.never_has_content:
        if declared is not None:
            lines = b"Content-Length: %d\r\n" % declared
    elif declared is not None or length is not None:
        if declared is None:
            declared = length
        lines = b"Content-Length: %d\r\n" % (declared or 0)
        framing = Framing.NONE if head_request else Framing.SIZED
    elif head_request:
        pass  # RFC 9110 section 9.3.2: fields known only while content is made may be left out
    elif http_11:
        lines = b"Transfer-Encoding: chunked\r\n"
        framing = Framing.CHUNKED
    else:
        framing = Framing.CLOSE
        keep_alive = False
    if not keep_alive:
        lines += b"Connection: close\r\n"
    elif not http_11:
        lines += b"Connection: keep-alive\r\n"
    return Frame(lines, framing, declared, keep_alive)


def server_answer(
    code: int,
    text: str,
    date_field: bytes,
    *,
    server_field: bytes = b"",
    fields: bytes = b"",
    content: bool = True,
) -> bytes:
    """A whole response of the server's own, in plain text, after which it closes.

    `content` False leaves the content out, as for HEAD.
    """
    reason = REASONS[code]
    body = f"{code} {reason}: {text}\n".encode()
    lines = [
        b"HTTP/1.1 %d %b\r\n" % (code, reason.encode("ascii")),
        server_field,
        date_field,
        fields,
        b"Content-Type: text/plain; charset=utf-8\r\n",
        b"Content-Length: %d\r\n" % len(body),
        b"Connection: close\r\n\r\n",
        body if content else b"",
    ]
    return b"".join(lines)
