"""Every kind of disagreement with h11 and httptools, judged; docs/parser-disagreements.md shows this table.

`python tests/http11/judgements.py` writes that page anew.  A kind is what peers.disagreement() says.
`holds` is a pattern that every request of the kind must match, where the peer's reason alone would
also cover disagreements of another sort.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "parser-disagreements.md"

BOTH = ("h11", "httptools")
H11 = ("h11",)
HTTPTOOLS = ("httptools",)


@dataclass(frozen=True)
class Judgement:
    kind: str
    peers: tuple[str, ...]
    because: str
    example: bytes
    holds: str = ""

    def covers(self, data: bytes) -> bool:
        return not self.holds or re.search(self.holds.encode("latin-1"), data) is not None


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"

IN_UPGRADE = (
    "httptools reads no body of a request that asks for an upgrade. RFC 9110 section 7.8: it is read first."
)
TRAILERS = (
    "It stands in a trailer, which the peer reads like a header field. Trailers are dropped here and say "
    "nothing of the message (RFC 9110 section 6.5.1)."
)
A_TRAILER = r"(?i)\r\n0+[^\n]*\r\n(?s:.*)(content-length|transfer-encoding)"
AN_UPGRADE = r"(?i)upgrade"
WHITESPACE = "RFC 9112 section 7.1.1 lets bad whitespace stand around the parts of a chunk extension."
A_SPACED_EXTENSION = r"[0-9A-Fa-f;a-z\"][ \t]+[;=]|[;=][ \t]"

TAKEN = [
    Judgement(
        "laxer: no request line received",
        H11,
        "RFC 9112 section 2.2: a server SHOULD ignore at least one empty line before a request line; here up "
        "to 8.",
        b"\r\n" + GET + b"\r\n",
        r"(\A|\n)\r\n",
    ),
    Judgement(
        "laxer: illegal chunk header",
        H11,
        WHITESPACE,
        CHUNKED + b"\r\n5 ; a = b\r\nhello\r\n0\r\n\r\n",
        A_SPACED_EXTENSION,
    ),
    Judgement(
        "laxer: Invalid character in chunk size",
        HTTPTOOLS,
        WHITESPACE,
        CHUNKED + b"\r\n5 ; a = b\r\nhello\r\n0\r\n\r\n",
        A_SPACED_EXTENSION,
    ),
    Judgement(
        "laxer: Invalid character in chunk extensions",
        HTTPTOOLS,
        WHITESPACE,
        CHUNKED + b"\r\n5; a = b\r\nhello\r\n0\r\n\r\n",
        A_SPACED_EXTENSION,
    ),
    Judgement(
        "laxer: Invalid character in chunk extensions name",
        HTTPTOOLS,
        WHITESPACE,
        CHUNKED + b"\r\n5;\ta=b\r\nhello\r\n0\r\n\r\n",
        A_SPACED_EXTENSION,
    ),
    Judgement(
        "laxer: Invalid character in chunk extensions value",
        HTTPTOOLS,
        WHITESPACE,
        CHUNKED + b"\r\n5;a= b\r\nhello\r\n0\r\n\r\n",
        A_SPACED_EXTENSION,
    ),
    Judgement(
        "laxer: Only Transfer-Encoding: chunked is supported",
        H11,
        TRAILERS,
        CHUNKED + b"\r\n0\r\nTransfer-Encoding: identity\r\n\r\n",
        A_TRAILER,
    ),
    Judgement(
        "laxer: bad Content-Length",
        H11,
        TRAILERS,
        CHUNKED + b"\r\n0\r\nContent-Length: x\r\n\r\n",
        A_TRAILER,
    ),
    Judgement(
        "laxer: conflicting Content-Length headers",
        H11,
        TRAILERS,
        CHUNKED + b"\r\n0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        A_TRAILER,
    ),
    Judgement(
        "laxer: multiple Transfer-Encoding headers",
        H11,
        TRAILERS,
        CHUNKED + b"\r\n0\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        A_TRAILER,
    ),
    Judgement(
        "laxer: Content-Length can't be present with Transfer-Encoding",
        HTTPTOOLS,
        TRAILERS,
        CHUNKED + b"\r\n0\r\nContent-Length: 5\r\n\r\n",
        A_TRAILER,
    ),
    Judgement(
        "laxer: Invalid `Transfer-Encoding` header value",
        HTTPTOOLS,
        TRAILERS,
        CHUNKED + b"\r\n0\r\nTransfer-Encoding: identity\r\n\r\n",
        A_TRAILER,
    ),
    Judgement(
        "laxer: Request has invalid `Transfer-Encoding`",
        HTTPTOOLS,
        "RFC 9112 section 5: the whitespace after a field value may be a tab.",
        POST + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
        r"(?i)chunked[ \t]*\t[ \t]*\r\n",
    ),
    Judgement(
        "laxer: Invalid method encountered",
        HTTPTOOLS,
        "RFC 9110 section 9.1: any token is a method. httptools knows a list.",
        b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        "laxer: Expected space after method",
        HTTPTOOLS,
        "The same for a token that starts like a method of its list.",
        b"GETS / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        "laxer: Invalid HTTP version",
        HTTPTOOLS,
        "RFC 9110 section 2.5: a higher minor version is read as the highest known.",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        r"HTTP/1\.[2-9]\r\n",
    ),
]

DIFFERENT = [
    Judgement(
        "keeps the connection",
        H11,
        "h11 closes after every request of HTTP/1.0; here `Connection: keep-alive` keeps it (RFC "
        "9112 section "
        "9.3).",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        r"HTTP/1\.0(?s:.*)(?i:keep-alive)",
    ),
    Judgement(
        "keeps the connection",
        H11,
        "h11 pauses at every Upgrade field. RFC 9110 section 7.8: it counts where the Connection "
        "field names it.",
        GET + b"Upgrade: websocket\r\n\r\n",
        r"(?i)upgrade",
    ),
    Judgement(
        "keeps the connection",
        HTTPTOOLS,
        "RFC 9110 section 7.8: an Upgrade field in a request of HTTP/1.0 MUST be ignored.",
        b"GET / HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n",
        r"HTTP/1\.0(?s:.*)(?i:upgrade)",
    ),
    Judgement(
        "keeps the connection",
        HTTPTOOLS,
        "httptools obeys `Proxy-Connection`, which no RFC defines (RFC 9112 appendix C.2.2).",
        GET + b"Proxy-Connection: close\r\n\r\n",
        r"(?i)proxy-connection",
    ),
    Judgement(
        "keeps the connection",
        HTTPTOOLS,
        "httptools obeys a Connection field among the trailers.",
        CHUNKED + b"\r\n0\r\nConnection: close\r\n\r\n",
        r"(?i)\r\n0+[^\n]*\r\n(?s:.*)connection",
    ),
    Judgement(
        "ends the connection",
        BOTH,
        "An Upgrade field that the Connection field names asks for an upgrade, even if it is empty; the "
        "driver goes on when the application does not take it.",
        GET + b"Connection: upgrade\r\nUpgrade:\r\n\r\n",
        r"(?i)upgrade:[ \t]*\r\n",
    ),
    Judgement(
        "ends the connection",
        HTTPTOOLS,
        "httptools obeys `Proxy-Connection`, which no RFC defines (RFC 9112 appendix C.2.2).",
        b"GET / HTTP/1.0\r\nHost: a\r\nProxy-Connection: keep-alive\r\n\r\n",
        r"(?i)proxy-connection",
    ),
    Judgement(
        "ends the connection",
        HTTPTOOLS,
        "RFC 9112 section 9.3: `close` wins over `keep-alive`, in whatever order they are said.",
        b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        r"(?i)connection:(?s:.*)close",
    ),
    Judgement(
        "other fields",
        H11,
        "h11 makes the value of Transfer-Encoding lower-case; here values are as received.",
        POST + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        r"(?i:transfer-encoding):[^\r]*[A-Z]",
    ),
    Judgement(
        "other fields",
        HTTPTOOLS,
        "httptools keeps a tab at the end of a value, and a space at the end of some. RFC 9112 "
        "section 5: they "
        "are no part of it.",
        GET + b"X: y\t\r\n\r\n",
        r"[ \t]\r\n",
    ),
    Judgement(
        "other content", HTTPTOOLS, IN_UPGRADE, POST + UPGRADE + b"Content-Length: 1\r\n\r\nx", AN_UPGRADE
    ),
    Judgement(
        "unfinished", HTTPTOOLS, IN_UPGRADE, POST + UPGRADE + b"Content-Length: 2\r\n\r\nx", AN_UPGRADE
    ),
]

REFUSED = [
    Judgement(
        "stricter: Content-Length together with Transfer-Encoding",
        H11,
        "RFC 9112 section 6.3: it ought to be handled as an error, since a proxy that took the length would "
        "see another request behind it.",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: Transfer-Encoding in HTTP/1.0",
        BOTH,
        "RFC 9112 section 6.1: its framing MUST be treated as faulty.",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed Transfer-Encoding",
        HTTPTOOLS,
        "An empty member of the list is allowed by RFC 9110 section 5.6.1, but in this field it has served "
        "smugglers and nobody else.",
        POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: unknown transfer coding",
        HTTPTOOLS,
        "RFC 9112 section 6.1: a coding that is not understood SHOULD get 501.",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: chunked must be the last transfer coding, once",
        HTTPTOOLS,
        "RFC 9112 section 6.3: otherwise the length of the body cannot be told.",
        POST + b"Transfer-Encoding: chunked;\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: chunked with parameters",
        HTTPTOOLS,
        "RFC 9112 section 7.1: chunked has none. " + IN_UPGRADE,
        POST + UPGRADE + b"Transfer-Encoding: chunked;\r\n\r\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed Content-Length",
        BOTH,
        "More than 18 digits, most of them zeros. RFC 9110 section 8.6 sets no limit, but int() of an "
        "application may have one; zeros that fill a width are read.",
        POST + b"Content-Length: 0000000000000000005\r\n\r\nhello",
        r"(?i)content-length:[ \t]*0[0-9]{18}",
    ),
    Judgement(
        "stricter: malformed Content-Length",
        H11,
        "A list of equal lengths may be refused (RFC 9110 section 8.6), and here it is.",
        POST + b"Content-Length: 5, 5\r\n\r\nhello",
    ),
    Judgement(
        "stricter: more than one content-length field",
        H11,
        "The same in two lines (RFC 9112 section 6.3).",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Judgement(
        "stricter: more than one content-type field",
        BOTH,
        "RFC 9110 section 5.3: only a list may come in several lines. What a body is must not "
        "depend on who reads it.",
        POST + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n",
    ),
    Judgement(
        "stricter: more than one host field",
        HTTPTOOLS,
        "RFC 9112 section 3.2: 400 is a MUST.",
        GET + b"Host: b\r\n\r\n",
    ),
    Judgement(
        "stricter: no Host field",
        BOTH,
        "RFC 9112 section 3.2: 400 is a MUST, for HTTP/1.2 too. httptools leaves it to who uses "
        "it; h11 looks "
        "at HTTP/1.1 alone.",
        b"GET / HTTP/1.2\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed Host field",
        BOTH,
        "RFC 9112 section 3.2: an invalid value MUST get 400. The peers take any octets.",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed authority in the request target",
        BOTH,
        "It takes the place of Host (RFC 9112 section 3.2.2) and gets the same treatment; user information "
        "has no place in it (RFC 9110 section 4.2.4).",
        b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed request target",
        BOTH,
        "RFC 9112 section 3.2: one of the four forms, of http or https, without a fragment.",
        b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        'stricter: the target "*" is for OPTIONS alone',
        BOTH,
        "RFC 9112 section 3.2.4.",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        "stricter: CONNECT needs a target of host and port",
        BOTH,
        "RFC 9110 section 9.3.6: an empty or invalid port MUST be rejected.",
        b"CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        "stricter: HTTP version not supported",
        BOTH,
        "RFC 9110 section 15.6.6: another major version gets 505.",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed HTTP version",
        BOTH,
        "httptools takes HTTP/0.9, which has no version; h11 takes a LF for the end of a line and what comes "
        "after it for a field.",
        b"GET  /\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed request line",
        BOTH,
        "As above: HTTP/0.9, and lines that end in LF alone.",
        b"GET /\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed method",
        HTTPTOOLS,
        "httptools passes over CR and LF alone before a request line.",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed field name",
        BOTH,
        "Lines that are folded, or end in LF alone, or came after a line that httptools had taken for "
        "HTTP/0.9.",
        GET + b"X: y\r\n a: b\r\n\r\n",
    ),
    Judgement(
        "stricter: header field without a colon",
        H11,
        "h11 unfolds obs-fold, which RFC 9112 section 5.2 lets a server refuse: it has hidden fields from "
        "proxies.",
        GET + b"X: y\r\n z\r\n\r\n",
    ),
    Judgement(
        "stricter: stray control character in the request head",
        BOTH,
        "h11 takes a LF alone for a line end, and some controls in values (RFC 9112 section 2.2 and RFC 9110 "
        "section 5.5 let both be refused); httptools takes HTTP/0.9.",
        b"GET /\n\r\n",
    ),
    Judgement(
        "stricter: stray control character in a trailer",
        BOTH,
        "The same in trailers. " + IN_UPGRADE,
        CHUNKED + UPGRADE + b"\r\n0\r\nA: b\n",
    ),
    Judgement(
        "stricter: stray control character in a chunk line",
        HTTPTOOLS,
        IN_UPGRADE,
        CHUNKED + UPGRADE + b"\r\n5\nhello",
    ),
    Judgement(
        "stricter: malformed trailer field",
        BOTH,
        "The same for folded trailers and LF alone. " + IN_UPGRADE,
        CHUNKED + b"\r\n0\r\nA: b\r\n c\r\n\r\n",
    ),
    Judgement(
        "stricter: malformed chunk line",
        BOTH,
        "h11 takes whitespace after a size, httptools an extension without a name: RFC 9112 "
        "section 7.1 knows "
        "neither.",
        CHUNKED + b"\r\n5 \r\nhello\r\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: chunk without its ending CR LF",
        HTTPTOOLS,
        IN_UPGRADE,
        CHUNKED + UPGRADE + b"\r\n5\r\nhello\n0\r\n\r\n",
    ),
    Judgement(
        "stricter: request body too large",
        HTTPTOOLS,
        "A limit of the server's, met before the body. " + IN_UPGRADE,
        POST + UPGRADE + b"Content-Length: 25000000000\r\n\r\n",
    ),
    Judgement(
        "stricter: too many header fields",
        BOTH,
        "A limit of the server's; the peers leave it to who uses them, or bound the whole head alone.",
        GET + b"X: y\r\n" * 100 + b"\r\n",
    ),
    Judgement(
        "stricter: empty lines instead of a request line",
        HTTPTOOLS,
        "8 are passed over; who sends more sends no request.",
        b"\r\n" * 9 + GET + b"\r\n",
    ),
    Judgement(
        "stricter: unknown expectation",
        BOTH,
        "RFC 9110 section 10.1.1: an expectation that is not understood MAY get 417; the peers "
        "leave it to who uses them.",
        POST + b"Expect: x\r\n\r\n",
    ),
]

WHEN = [
    Judgement(
        "sooner",
        BOTH,
        "The head is judged whole, before its body is in, and a line of chunks as soon as it cannot become a "
        "good one.",
        GET + b"\x7f",
    ),
    Judgement(
        "later",
        BOTH,
        "The other way round: a line is judged when its end is in, which the limits and the "
        "deadline of a head "
        "bound.",
        b"g",
    ),
]

JUDGED = [*TAKEN, *DIFFERENT, *REFUSED, *WHEN]


def find(peer: str, kind: str, data: bytes) -> Judgement | None:
    """The judgement of a disagreement that `data` has shown."""
    return next((one for one in JUDGED if peer in one.peers and one.kind == kind and one.covers(data)), None)


# The page

INTRODUCTION = """\
# Where parsers disagree

Two parsers that read one request in two ways are how requests are smuggled past proxies. So the parser of
dualwsgi is held against two others, [h11](https://pypi.org/project/h11/) and
[httptools](https://pypi.org/project/httptools/) (Node's llhttp, in C), over some thousand requests that are
almost right, in every run of the tests, and over many more in the long ones (`-m soak`). Every kind of
disagreement is listed here and judged; one that is not makes the tests fail. This page is written by
`tests/http11/judgements.py`, and each example on it is run.

Where dualwsgi takes what another refuses, an RFC says so, and what they both take they read alike, but
for what the second table names.
"""

PARTS = [
    ("Taken here, refused there", TAKEN),
    ("Taken by both, read in another way", DIFFERENT),
    ("Refused here, taken there", REFUSED),
    ("Refused sooner or later", WHEN),
]


def page() -> str:
    parts = [INTRODUCTION]
    for title, judgements in PARTS:
        rows = [_row(one) for one in judgements]
        parts.append(
            "\n".join(
                [
                    f"## {title}",
                    "",
                    "| what | peer | example | judgement |",
                    "| --- | --- | --- | --- |",
                    *rows,
                    "",
                ]
            )
        )
    return "\n".join(parts)


def _row(one: Judgement) -> str:
    what = one.kind.partition(": ")[2] or one.kind
    return f"| {_cell(what)} | {', '.join(one.peers)} | {_shown(one.example)} | {_cell(one.because)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _shown(octets: bytes) -> str:
    """An example, its line ends as they are written in Python."""
    text = repr(octets)[2:-1]
    return f"`{text if len(text) <= 120 else text[:100] + ' ...'}`"


if __name__ == "__main__":
    PAGE.write_text(page())
