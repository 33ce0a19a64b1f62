"""The head of a request: octets to a RequestHead, or a BadRequest that names its own answer.

A head is read in two parts, the request line and the field block, because the block decides
nothing about the line: a client repeats its block byte for byte while the line changes, so callers
may keep what `parse_fields` returned for (version, block).  This file keeps nothing itself but the
lines of some common fields, once they have been found good.

Strictness follows RFC 9112 section 11.2: whatever two parsers could read in two ways is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from ..errors import BadRequest
from . import grammar

HTTP_10: Final = (1, 0)
HTTP_11: Final = (1, 1)

HEAD_END: Final = b"\r\n\r\n"

TLS_HANDSHAKE: Final = 22
"""The first octet of a client that speaks TLS (RFC 8446 section 5.1)."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a site that has old clients lets pass, each against the letter of a rule.

    `no_host`: HTTP/1.1 without Host (RFC 9112 section 3.2).  `http_10_chunked`, `http_10_expect`: what
    HTTP/1.0 does not know.  `chunked_with_length`: Transfer-Encoding wins over a Content-Length beside
    it (section 6.1; two readings of such a request smuggle others past a proxy).
    `chunk_extensions`: a chunk extension may hold any octet but CR and LF.
    """

    no_host: bool = False
    http_10_chunked: bool = False
    http_10_expect: bool = False
    chunked_with_length: bool = False
    chunk_extensions: bool = False


STRICT: Final = Tolerance()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take.  All counts of octets unless said; `body` 0 means no limit."""

    request_line: int = 8190
    fields: int = 100  # a number of field lines
    field_size: int = 8190
    head: int = 65536
    body: int = 1 << 30
    chunk_line: int = 4096
    trailers: int = 8192
    tolerance: Tolerance = STRICT


# A segment of a path that is an argument rather than a name: it holds a digit or is long.
_ROUTE_VARIABLE: Final = re.compile(r"(?<=/)(?:[^/]*[0-9][^/]*|[^/]{25,})")


class RequestLine:
    """RFC 9112 section 3.  Not changed once made, but for `name` and `route`.

    `target` is as received.  `path` (still percent-encoded) and `query` are its parts; `query` is
    "" where the target has none.  For the asterisk and the authority form `path` is the target
    itself.  `authority` is set for the absolute form alone, where it overrides the Host field.
    `name` is that of route_name(), once asked for; `route` is a place for whoever remembers what
    requests with this line are like.
    """

    __slots__ = ("authority", "method", "name", "path", "query", "route", "target", "version")

    def __init__(self, method: str, target: str, version: tuple[int, int], path: str, query: str) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.path = path
        self.query = query
        self.authority: str | None = None
        self.name: str | None = None
        self.route: Any = None

    def route_name(self) -> str:
        """Method and path without what seems to be arguments: requests of one name behave alike."""
        name = self.name
        if name is None:
            path = _ROUTE_VARIABLE.sub("*", "/".join(self.path.split("/", 5)[:5]))
            name = self.name = f"{self.method} {path}"
        return name


class Fields:
    """What the field block of a request says about the message (RFC 9112 section 6).

    `length` is the Content-Length, None where there is none.  `upgrade` is the value of Upgrade if
    the Connection field names it.  Not changed once made.
    """

    __slots__ = ("chunked", "expect_continue", "host", "keep_alive", "length", "upgrade")

    def __init__(self, host: str | None, keep_alive: bool) -> None:
        self.host = host
        self.keep_alive = keep_alive
        self.length: int | None = None
        self.chunked = False
        self.expect_continue = False
        self.upgrade: str | None = None


# Where a head starts and ends -------------------------------------------------------------------

EMPTY_LINES: Final = 8
"""CR LF pairs before a request line that are passed over."""


def skip_empty_lines(data: bytes | bytearray, skipped: int) -> int:
    """How many octets of empty lines start `data` (RFC 9112 section 2.2).

    `skipped` octets of such lines came before it.  Raises BadRequest beyond EMPTY_LINES of them.
    """
    at = 0
    while data[at : at + 2] == b"\r\n":
        at += 2
        if skipped + at > 2 * EMPTY_LINES:
            raise BadRequest(400, "empty lines instead of a request line")
    return at


def find_head_end(data: bytes | bytearray, scanned: int) -> int:
    """The offset just after the head that starts `data`, or -1 while its end is not in yet.

    The first `scanned` octets were looked at before.
    """
    at = data.find(HEAD_END, max(0, scanned - 3))
    return -1 if at < 0 else at + 4


def check_unfinished(
    data: bytes | bytearray, scanned: int, limits: Limits, line_is_good: bool = False
) -> bool:
    """Raises BadRequest if the unfinished head in `data` can no longer become a good one.

    Returns whether the request line is whole and good, which is `line_is_good` next time.

    So that a client that ends its lines with a bare LF, speaks TLS or HTTP/0.9, or never ends a line
    is answered now and not at its deadline.  Work is in proportion to the octets after `scanned`.
    """
    # The line's end is looked for once, when as much is in as the line and its CR LF may take.
    if scanned < limits.request_line + 2 <= len(data) and data.find(b"\r\n", 0, limits.request_line + 2) < 0:
        raise BadRequest(414, "request line too long")
    if len(data) > limits.head:
        raise BadRequest(431, "request head too large")
    # A CR that ended the last piece is judged with this one, a CR that ends this one with the next.
    start = scanned - 1 if scanned and data[scanned - 1] == 13 else scanned
    stop = len(data) - 1 if data[-1:] == b"\r" else len(data)
    fresh = data[start:stop]
    if len(fresh.translate(None, grammar.HEAD_OCTETS)) != 2 * fresh.count(b"\r\n"):
        if data[0] == TLS_HANDSHAKE:
            raise BadRequest(400, "the client speaks TLS, and this port plain HTTP")
        raise BadRequest(400, "stray control character in the request head")
    if line_is_good:
        return True
    end = data.find(b"\r\n", max(0, scanned - 1))
    if end < 0:
        return False
    if end > limits.request_line:
        raise BadRequest(414, "request line too long")
    parse_request_line(data[:end].decode("latin-1"))
    return True


# The parts of a head ----------------------------------------------------------------------------


def split_head(head: bytes, limits: Limits) -> tuple[str, list[str]]:
    """The request line and the field lines of a whole head, their sizes in all checked.

    `head` ends with its empty line and holds no other.
    """
    if len(head) > limits.head:
        # A line of its own that is too long has a better name than the whole.
        if head.find(b"\r\n") > limits.request_line:
            raise BadRequest(414, "request line too long")
        raise BadRequest(431, "request head too large")
    lines = head.decode("latin-1").split("\r\n")
    del lines[-2:]
    line = lines.pop(0)
    if len(line) > limits.request_line:
        raise BadRequest(414, "request line too long")
    return line, lines


def parse_request_line(line: str) -> RequestLine:
    """RFC 9112 section 3: method SP request-target SP HTTP-version, nothing else."""
    parts = line.split(" ")
    if len(parts) != 3:
        raise BadRequest(400, "malformed request line")
    method, target, version_text = parts
    if version_text == "HTTP/1.1":
        version = HTTP_11
    elif version_text == "HTTP/1.0":
        version = HTTP_10
    else:
        version = _other_version(version_text)
    if not grammar.TOKEN.fullmatch(method):
        raise BadRequest(400, "malformed method")
    if not grammar.TARGET_OCTETS.fullmatch(target):
        if not target.isascii():
            # RFC 9112 section 3.2: not to be repaired and served; a filter before us may read it otherwise.
            raise BadRequest(400, "a request target beyond ASCII; percent-encode it")
        raise BadRequest(400, "malformed request target")
    if target[0] == "/" and method != "CONNECT":
        path, _, query = target.partition("?")
        return RequestLine(method, target, version, path, query)
    return _other_form(method, target, version)


def _other_version(text: str) -> tuple[int, int]:
    match = grammar.HTTP_VERSION.fullmatch(text)
    if match is None:
        raise BadRequest(400, "malformed HTTP version")
    if match[1] != "1":
        raise BadRequest(505, "HTTP version not supported")
    return HTTP_11  # RFC 9110 section 2.5: a higher minor version is answered as the highest known


def _other_form(method: str, target: str, version: tuple[int, int]) -> RequestLine:
    if method == "CONNECT":
        # RFC 9110 section 9.3.6: an empty or invalid port MUST be rejected.
        match = grammar.AUTHORITY_FORM.fullmatch(target)
        if match is None or not 0 < int(match[1]) < 65536:
            raise BadRequest(400, "CONNECT needs a target of host and port")
        return RequestLine(method, target, version, target, "")
    if target == "*":
        if method != "OPTIONS":
            raise BadRequest(400, 'the target "*" is for OPTIONS alone')
        return RequestLine(method, target, version, target, "")
    match = grammar.ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise BadRequest(400, "malformed request target")
    authority, rest = match[1], match[2]
    # RFC 9110 section 4.2.1: an empty host is invalid; section 4.2.4: so is user information,
    # which the grammar of a host leaves no room for.
    if not grammar.AUTHORITY.fullmatch(authority):
        raise BadRequest(400, "malformed authority in the request target")
    path, _, query = rest.partition("?")
    # RFC 9112 section 3.2.4: OPTIONS without a path asks about the server, as "*" does.
    path = path or ("*" if method == "OPTIONS" and not rest else "/")
    line = RequestLine(method, target, version, path, query)
    line.authority = authority
    return line


FieldLine = tuple[str, str, str]
"""(name as received, value without surrounding whitespace, lower-case name if it is in SPOKEN)"""

# The fields whose values say something about the message itself.
SPOKEN: Final = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "expect",
        "upgrade",
        "content-type",
    }
)

# Fields whose lines many requests share word for word, and that carry no secrets: such a line is
# parsed once.  A line that is found here has been found good before, controls and all.
_COMMON_NAMES: Final = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "dnt",
        "host",
        "origin",
        "pragma",
        "priority",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "te",
        "upgrade-insecure-requests",
        "user-agent",
        "x-forwarded-proto",
        "x-requested-with",
    }
)
_COMMON_KEPT: Final = 2048
_COMMON_SIZE: Final = 512
_common: dict[str, FieldLine] = {}


def parse_field_line(line: str, field_size: int) -> FieldLine:
    """RFC 9112 section 5: field-name ":" OWS field-value OWS, and nothing before the colon."""
    if len(line) > field_size:
        raise BadRequest(431, "header field too large")
    name, colon, value = line.partition(":")
    if not colon:
        raise BadRequest(400, "header field without a colon")
    if not grammar.TOKEN.fullmatch(name):
        raise BadRequest(400, "malformed field name")
    if not grammar.FIELD_VALUE.fullmatch(value):
        raise BadRequest(400, "stray control character in the request head")
    value = value.strip(" \t")
    lower = name.lower()
    field = (name, value, lower if lower in SPOKEN else "")
    if lower in _COMMON_NAMES and len(line) <= min(_COMMON_SIZE, field_size):
        if len(_common) >= _COMMON_KEPT:
            _common.clear()
        _common[line] = field
    return field


def parse_fields(
    lines: list[str], version: tuple[int, int], limits: Limits
) -> tuple[list[FieldLine], Fields]:
    """The field lines of a request of this version, in order, and what they say about it."""
    if len(lines) > limits.fields:
        raise BadRequest(431, "too many header fields")
    field_size = limits.field_size
    common = _common
    fields: list[FieldLine] = []
    spoken: dict[str, str] = {}
    for line in lines:
        field = common.get(line)
        if field is None or len(line) > field_size:
            field = parse_field_line(line, field_size)
        kind = field[2]
        if kind:
            spoken[kind] = field[1] if kind not in spoken else _joined(kind, spoken[kind], field[1])
        fields.append(field)
    return fields, _judge(spoken, version, limits)


def field_lines_again(head: bytes) -> list[FieldLine]:
    """The field lines of a whole head that has been found good."""
    return [parse_field_line(line, len(line)) for line in head.decode("latin-1").split("\r\n")[1:-2]]


def _joined(kind: str, first: str, second: str) -> str:
    if kind in ("host", "content-length", "content-type"):
        # RFC 9112 sections 3.2 and 6.3; and no list of media types has a meaning.
        raise BadRequest(400, f"more than one {kind} field")
    return f"{first}, {second}"


def _judge(spoken: dict[str, str], version: tuple[int, int], limits: Limits) -> Fields:
    """What the fields that speak of the message say together."""
    host = spoken.get("host")
    if host is None:
        if version >= HTTP_11 and not limits.tolerance.no_host:
            raise BadRequest(400, "no Host field")
    elif not grammar.HOST.fullmatch(host):
        raise BadRequest(400, "malformed Host field")
    fields = Fields(host, version >= HTTP_11)
    if len(spoken) == 1 and host is not None:
        return fields  # most requests without a body speak of Host alone
    if "content-length" in spoken:
        fields.length = _content_length(spoken, limits)
    if "transfer-encoding" in spoken:
        fields.chunked = _chunked(spoken, version, limits.tolerance)
    if "connection" in spoken:
        options = [option.lower() for option in grammar.list_members(spoken["connection"])]
        if "close" in options:
            fields.keep_alive = False
        elif "keep-alive" in options:
            fields.keep_alive = True
        if "upgrade" in options and version >= HTTP_11:
            fields.upgrade = spoken.get("upgrade")
    if fields.chunked and "content-length" in spoken:
        fields.keep_alive = False  # tolerated, but nothing may follow it (RFC 9112 section 6.1)
    # RFC 9110 section 10.1.1: the field means nothing in HTTP/1.0.
    if "expect" in spoken and (version >= HTTP_11 or limits.tolerance.http_10_expect):
        expected = {member.lower() for member in grammar.list_members(spoken["expect"])}
        if expected - {"100-continue"}:
            raise BadRequest(417, "unknown expectation")
        fields.expect_continue = bool(expected) and (fields.chunked or bool(fields.length))
    return fields


def _content_length(spoken: dict[str, str], limits: Limits) -> int | None:
    if "transfer-encoding" in spoken:
        if limits.tolerance.chunked_with_length:
            return None
        # RFC 9112 section 6.1: a server MAY reject it, and two readings of it smuggle requests.
        raise BadRequest(400, "Content-Length together with Transfer-Encoding")
    text = spoken["content-length"]
    if not grammar.CONTENT_LENGTH.fullmatch(text):
        if text.isascii() and text.isdigit() and len(text.lstrip("0")) > 18:
            raise BadRequest(413, "request body too large")
        raise BadRequest(400, "malformed Content-Length")
    length = int(text)
    if limits.body and length > limits.body:
        raise BadRequest(413, "request body too large")
    return length


def _chunked(spoken: dict[str, str], version: tuple[int, int], tolerance: Tolerance) -> bool:
    """RFC 9112 sections 6.1 and 7: chunked, once and last, is the only coding served."""
    if version < HTTP_11 and not tolerance.http_10_chunked:
        raise BadRequest(400, "Transfer-Encoding in HTTP/1.0")
    value = spoken["transfer-encoding"].lower()
    if value == "chunked":
        return True
    codings = [coding.strip(" \t") for coding in value.split(",")]
    names = [coding.partition(";")[0].rstrip(" \t") for coding in codings]
    if not all(grammar.TOKEN.fullmatch(name) for name in names):
        raise BadRequest(400, "malformed Transfer-Encoding")
    # RFC 9112 section 6.3: where chunked is not the last, 400 is a MUST, and 501 only a SHOULD.
    # Section 7.1: chunked has no parameters.
    *earlier, last = names
    if last != "chunked" or "chunked" in earlier:
        raise BadRequest(400, "chunked must be the last transfer coding, once")
    if codings[-1] != "chunked":
        raise BadRequest(400, "chunked with parameters")
    raise BadRequest(501, "unknown transfer coding")
