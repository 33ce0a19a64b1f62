"""What clients say to a server, octet by octet, and what must come of it: a table of conversations.

Each is judged by RFC 9110 and RFC 9112 (a section is named where the answer is not plain).  The
application that they are held with reads the whole body and answers 200, but for a path below
/unread, which it answers without reading anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wire import chunked

OPEN, CLOSED, WAITS = "open", "closed", "waits"
"""How it ends: the connection serves another request, is closed, or waits for the rest of one."""


@dataclass(frozen=True)
class Talk:
    """`answers` are status codes, interim ones included; `head` says that the first answers HEAD."""

    octets: bytes
    answers: tuple[int, ...]
    end: str
    head: bool = False


TALKS: dict[str, Talk] = {}


def talk(name: str, octets: bytes, *answers: int, end: str = "", head: bool = False) -> None:
    """Adds a row.  Without `end`, error answers close and others do not."""
    assert name not in TALKS, name
    TALKS[name] = Talk(octets, answers, end or (CLOSED if answers[-1] >= 400 else OPEN), head)


Lines = Sequence[bytes]
HOST = b"Host: a"
CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


def ask(
    *lines: bytes, method: bytes = b"GET", target: bytes = b"/", version: bytes = b"1.1", host: bytes = HOST
) -> bytes:
    """The octets of a head."""
    start = b"%b %b HTTP/%b" % (method, target, version)
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/", version: bytes = b"1.1") -> bytes:
    return ask(*lines, method=b"POST", target=target, version=version) + body


NEXT = ask(target=b"/next")
SMUGGLED = ask(target=b"/smuggled")
SIZED_SMUGGLED = b"Content-Length: %d" % len(SMUGGLED)

# Two readings of one body ------------------------------------------------------------------------

talk("CL.TE", post(b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG"), 400)
talk("TE.CL", post(CHUNKED, b"Content-Length: 4", body=b"5c\r\n" + SMUGGLED), 400)
talk("TE.CL, length 0", post(CHUNKED, b"Content-Length: 0", body=LAST + SMUGGLED), 400)
talk("TE and two lengths", post(CHUNKED, b"Content-Length: 1", b"Content-Length: 1", body=LAST), 400)

for line, status in [
    (b"Transfer-Encoding : chunked", 400),
    (b"Transfer-Encoding\t: chunked", 400),
    (b" Transfer-Encoding: chunked", 400),
    (b"Transfer-Encoding:chunked", 200),
    (b"Transfer-Encoding:\tchunked", 200),
    (b"Transfer-Encoding: chunked\t", 200),
    (b"TRANSFER-ENCODING: CHUNKED", 200),
    (b"Transfer-Encoding: ,chunked", 400),
    (b"Transfer-Encoding: chunked,", 400),
    (b'Transfer-Encoding: "chunked"', 400),
    (b"Transfer-Encoding: chunked;", 400),
    (b"Transfer-Encoding: chunked;q=1", 400),
    (b"Transfer-Encoding: chun ked", 400),
    (b"Transfer-Encoding: chunked, chunked", 400),
    (b"Transfer-Encoding: chunked, identity", 400),
    (b"Transfer-Encoding: identity, chunked", 501),
    (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 501),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
    (b"Transfer-Encoding: chunked\r\ntransfer-encoding: chunked", 400),
    (b"Transfer-Encoding: gzip, deflate, chunked", 501),
    (b"Transfer-Encoding: cow", 400),
    (b"Transfer-Encoding:", 400),
    (b"Transfer-Encoding: \x0bchunked", 400),
    (b"Transfer-Encoding: \x0cchunked", 400),
    (b"Transfer-Encoding: \0chunked", 400),
    (b"Transfer-Encoding: \xa0chunked", 400),
    (b"Transfer-Encoding: chunked\x85", 400),
    (b"Transfer-Encoding: chun\xe2\x84\xaaed", 400),
    (b"X: y\nTransfer-Encoding: chunked", 400),
    (b"X: y\rTransfer-Encoding: chunked", 400),
    (b"Transfer-Encoding\n: chunked", 400),
    (b"Transfer-Encoding:\r\n chunked", 400),
    (b"Transfer-Encoding: chunked\r\n , identity", 400),
    (b"Transfer-Encoding:\r\nTransfer-Encoding: chunked", 400),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow", 400),
    (b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", 501),
    (b"Transfer-Encoding: chunked\r", 400),
    (b"Transfer-Encoding: chunked:", 400),
    (b"Transfer-Encoding: =chunked", 400),
    (b"Transfer-Encoding: chunked\xa0", 400),
    (b"Transfer-Encoding: 'chunked'", 400),
    (b"Transfer-Encoding=chunked", 400),
    (b"Transfer-Encoding; chunked", 400),
    (b"Transfer-Encoding\r\n: chunked", 400),
    (b"Transfer-Encoding\0: chunked", 400),
    (b"\0Transfer-Encoding: chunked", 400),
    (b"Transfer Encoding: chunked", 400),
    (b'"Transfer-Encoding": chunked', 400),
    (b"X: y\r\n Transfer-Encoding: chunked", 400),
]:
    talk(f"a body by {line!r}", post(line, body=LAST), status)
    talk(f"a length, and {line!r}", post(b"Content-Length: 5", line, body=LAST + SMUGGLED), 400)
talk(
    "a name with an underscore is another name",
    post(b"Transfer_Encoding: chunked", b"Content-Length: 5", b"Content_Length: 9", body=LAST),
    200,
)

for value, status in [
    (b"5", 200),
    (b"05", 200),
    (b"000000000000000005", 200),
    (b"+5", 400),
    (b"-5", 400),
    (b"5 5", 400),
    (b"5,5", 400),
    (b"5, 5", 400),
    (b"5;", 400),
    (b"0x5", 400),
    (b"5.0", 400),
    (b"5e0", 400),
    (b"5_", 400),
    (b"\xb5", 400),
    (b"\xb2", 400),
    (b"5\x0b", 400),
    (b"", 400),
    (b"9" * 18, 413),
    (b"1" * 19, 413),
    (b"0" * 18 + b"5", 400),  # no number that is too large, but one that nobody writes
    (b"0" * 19, 400),
    (b"0" * 30 + b"1" * 19, 413),
    (b"25000000000", 413),
    (b"18446744073709551621", 413),  # 2**64 + 5
    (b"9" * 4000, 413),
    (b"5,", 400),
    (b",5", 400),
    (b",", 400),
    (b"5, 6", 400),
    (b'"5"', 400),
    (b"5;q=1", 400),
    (b"-0", 400),
    (b"0 5", 400),
    (b"5\xa0", 400),
    (b"\xd9\xa5", 400),
    (b"\x1c5", 400),
    (b"5\0", 400),
    (b"inf", 400),
]:
    talk(f"Content-Length: {value!r}", post(b"Content-Length: " + value, body=b"hello"), status)
talk("two lengths", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"), 400)
for first, second in [(b"0", b"5"), (b"5", b""), (b"", b"5"), (b"5", b"05")]:
    talk(
        f"lengths {first!r} and {second!r}",
        post(b"Content-Length: " + first, b"Content-Length: " + second, body=b"hello"),
        400,
    )
for line in [
    b"Content-Length : 5",
    b" Content-Length: 5",
    b"Content-Length:\r\n 5",
    b"Content-Length\r\n: 5",
    b"Content-Length\0: 5",
    b"Content Length: 5",
    b"X: y\nContent-Length: 5",
    b"X: y\rContent-Length: 5",
]:
    talk(f"a length by {line!r}", post(line, body=b"hello"), 400)
talk("two equal lengths", post(b"content-length: 5", b"CONTENT-LENGTH: 5", body=b"hello"), 400)
talk("HTTP/1.0 and chunks", post(CHUNKED, body=LAST, version=b"1.0"), 400)
talk("HTTP/1.0 and identity", post(b"Transfer-Encoding: identity", version=b"1.0"), 400)

# Bodies, read and unread -------------------------------------------------------------------------

SIZED = b"Content-Length: 5"
for method in (b"GET", b"DELETE", b"OPTIONS", b"PROPFIND", b"TRACE"):
    name = method.decode()
    talk(f"{name} with a body", ask(SIZED, method=method) + b"hello" + NEXT, 200, 200)
    talk(
        f"{name} with a body that is not read",
        ask(SIZED_SMUGGLED, method=method, target=b"/unread") + SMUGGLED + NEXT,
        200,
        200,
    )
    talk(
        f"{name} with chunks that are not read",
        ask(CHUNKED, method=method, target=b"/unread") + chunked(SMUGGLED) + NEXT,
        200,
        200,
    )
talk("no body at all", post(body=NEXT), 200, 200)
talk("an empty body", post(b"Content-Length: 0", body=NEXT), 200, 200)
talk("a line end too many", post(SIZED, body=b"hello\r\n" + NEXT), 200, 200)  # RFC 9112 section 2.2
talk("a body that is too long", post(SIZED, body=b"hello(" + SMUGGLED), 200, 400, end=CLOSED)
talk(
    "a header that runs into a request line",
    post(SIZED, body=b"helloHeader: valueGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    200,
    400,
)
talk("a body that is not whole", post(SIZED, body=b"hell"), end=WAITS)
talk("a body in HTTP/1.0 without a length", post(body=b"hello", version=b"1.0"), 200, end=CLOSED)
talk("a body in HTTP/1.0", post(SIZED, b"Connection: keep-alive", body=b"hello", version=b"1.0"), 200)

for name, body, status in [
    ("in one", b"5\r\nhello\r\n0\r\n\r\n", 200),
    ("in two", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200),
    ("size in capitals", b"A\r\n0123456789\r\n0\r\n\r\n", 200),
    ("zeros before a size", b"0000000000000005\r\nhello\r\n0\r\n\r\n", 200),
    ("17 digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("many zeros for the last", b"5\r\nhello\r\n0000\r\n\r\n", 200),
    ("an extension", b"5;a\r\nhello\r\n0\r\n\r\n", 200),
    ("an extension with a value", b"5;a=b\r\nhello\r\n0\r\n\r\n", 200),
    ("an extension with a quoted value", b'5;a="b c;\\""\r\nhello\r\n0\r\n\r\n', 200),
    ("bad whitespace around an extension", b"5 ; a = b\r\nhello\r\n0\r\n\r\n", 200),
    ("an extension of the last", b"5\r\nhello\r\n0;a=b\r\n\r\n", 200),
    ("an empty extension", b"5;\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension without a name", b"5;=b\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension without its value", b"5;invalid=\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension with an open quote", b'5;a="b\r\nhello\r\n0\r\n\r\n', 400),
    ("an extension ended by LF", b"5;a\nhello\r\n0\r\n\r\n", 400),
    ("an extension with CR", b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension with a quoted LF", b'5;a="\n"\r\nhello\r\n0\r\n\r\n', 400),
    ("an extension with a control", b"5;a=\x01\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension with two semicolons", b"5;;a\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension that is no token", b"5;(a)\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension outside ASCII", b"5;\xe9\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension that goes on after its quote", b'5;a="b"c\r\nhello\r\n0\r\n\r\n', 400),
    ("an extension that is too long", b"5;" + b"a" * 24_000 + b"\r\nhello\r\n0\r\n\r\n", 400),
    ("a space after the size", b"5 \r\nhello\r\n0\r\n\r\n", 400),
    ("a tab after the size", b"5\t\r\nhello\r\n0\r\n\r\n", 400),
    ("a space before the size", b" 5\r\nhello\r\n0\r\n\r\n", 400),
    ("0x", b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("plus", b"+5\r\nhello\r\n0\r\n\r\n", 400),
    ("minus", b"-5\r\nhello\r\n0\r\n\r\n", 400),
    ("minus zero", b"5\r\nhello\r\n-0\r\n\r\n", 400),
    ("an underscore", b"0_5\r\nhello\r\n0\r\n\r\n", 400),
    ("a comma", b"5,\r\nhello\r\n0\r\n\r\n", 400),
    ("a quoted size", b'"5"\r\nhello\r\n0\r\n\r\n', 400),
    ("NUL after the size", b"5\0\r\nhello\r\n0\r\n\r\n", 400),
    ("h", b"5h\r\nhello\r\n0\r\n\r\n", 400),
    ("no size", b"\r\nhello\r\n0\r\n\r\n", 400),
    ("no hexadecimal", b"g\r\nhello\r\n0\r\n\r\n", 400),
    ("a digit of another script", b"\xb2\r\nhe\r\n0\r\n\r\n", 400),
    ("LF after the size", b"5\nhello\r\n0\r\n\r\n", 400),
    ("CR after the size", b"5\rhello\r\n0\r\n\r\n", 400),
    ("LF CR after the size", b"5\n\rhello\r\n0\r\n\r\n", 400),
    ("two CR after the size", b"5\r\r\nhello\r\n0\r\n\r\n", 400),
    ("two CR after the data", b"5\r\nhello\r\r\n0\r\n\r\n", 400),
    ("LF everywhere", b"5\nhello\n0\n\n", 400),
    ("LF after the data", b"5\r\nhello\n0\r\n\r\n", 400),
    ("CR after the data", b"5\r\nhello\r0\r\n\r\n", 400),
    ("nothing after the data", b"5\r\nhello0\r\n\r\n", 400),
    ("data that is too long", b"5\r\nhelloo\r\n0\r\n\r\n", 400),
    ("a size beyond all bounds", b"ffffffffffffffff\r\n", 413),
    ("a size of 2**63", b"8000000000000000\r\n", 413),
    ("a size of 2**64 + 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("LF at the end", b"0\n\n", 400),
    ("LF for the last line", b"0\r\n\n", 400),
    ("a trailer", b"0\r\nA: b\r\n\r\n", 200),
    ("trailers that mean something in a head", b"0\r\nContent-Length: 9\r\nHost: b\r\n\r\n", 200),
    ("a trailer without a colon", b"0\r\nAb\r\n\r\n", 400),
    ("a trailer without a name", b"0\r\n: b\r\n\r\n", 400),
    ("a trailer with a space before its colon", b"0\r\nA : b\r\n\r\n", 400),
    ("a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", 400),
    ("a trailer with LF", b"0\r\nA: b\nC: d\r\n\r\n", 400),
    ("a trailer with NUL", b"0\r\nA: \0\r\n\r\n", 400),
    ("a trailer that is too long", b"0\r\nA: " + b"b" * 9000 + b"\r\n\r\n", 400),
    ("a request line for a trailer", b"0\r\n" + SMUGGLED, 400),
    ("a trailer and a request line", b"0\r\nHeader: value\r\n" + SMUGGLED, 400),
    ("a request line behind a zero", b"0GET /smuggled?a=:123 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a request line that looks like a trailer", b"0\r\nGETpath2a:123 HTTP/1.1\r\n a: b\r\n\r\n", 400),
]:
    talk(f"chunks: {name}", post(CHUNKED, body=body), status)
    talk(f"unread chunks: {name}", post(CHUNKED, body=body, target=b"/unread"), status)
talk("chunks without their end", post(CHUNKED, body=b"0\r\n"), end=WAITS)
talk("chunks and a request", post(CHUNKED, body=chunked(b"a", b"b") + NEXT), 200, 200)
talk("a trailer, and the end", post(CHUNKED, b"Connection: close", body=LAST + SMUGGLED), 200, end=CLOSED)

# Request lines -----------------------------------------------------------------------------------

for target, status in [
    (b"/", 200),
    (b"/?a=b?c", 200),
    (b"/?", 200),
    (b"//b/c", 200),
    (b"/%41%2f%00%zz%", 200),
    (b"/%0d%0aX:y", 200),
    (b"/a:b@c;d,e=f|^{}[]", 200),
    (b"http://b/x?y", 200),
    (b"HTTP://B/x", 200),
    (b"https://b/x", 200),
    (b"http://b", 200),
    (b"http://b?q", 200),
    (b"http://b:0/", 200),
    (b"http://[::1]:80/", 200),
    (b"http://[::1/", 400),
    (b"http://u@b/", 400),
    (b"http://u:p@b/", 400),
    (b"http:///x", 400),
    (b"http://b:a/", 400),
    (b"http://b\\c/", 400),
    (b"http://b/#f", 400),
    (b"http:/b", 400),
    (b"ws://b/", 400),
    (b"ftp://b/", 400),
    (b"javascript:alert", 400),
    (b"b:80", 400),
    (b"mailto:b", 400),
    (b"http://:80/", 400),
    (b"http://b\x01/", 400),
    (b"/b c", 400),
    (b"*", 400),
    (b"**", 400),
    (b"/#f", 400),
    (b"\\", 400),
    (b"?x", 400),
    (b"x/y", 400),
    (b"../x", 400),
    (b"/\x01", 400),
    (b"/\x7f", 400),
    (b"/\xff", 400),
    (b"/\xc3\xa9", 400),
    (b"/\t", 400),
    (b"/ ", 400),
    (b"", 400),
    (b"/" + b"a" * 8176, 200),
    (b"/" + b"a" * 8177, 414),
]:
    talk(f"target {target[:30]!r} ({len(target)})", ask(target=target), status)
talk("OPTIONS *", ask(target=b"*", method=b"OPTIONS"), 200)
talk("OPTIONS, absolute", ask(target=b"http://b", method=b"OPTIONS"), 200)
for target in (b"/", b"*", b"a", b"a:", b"a:0", b"a:x", b"a:65536", b":80", b"a:80/", b"http://a:80/"):
    talk(f"CONNECT {target!r}", ask(target=target, method=b"CONNECT"), 400)
talk("no Host", ask(host=b""), 400)
talk("no Host, absolute", ask(target=b"http://b/", host=b""), 400)  # RFC 9112 section 3.2
talk("no Host, HTTP/1.0", ask(target=b"http://b/", host=b"", version=b"1.0"), 200, end=CLOSED)
talk("another Host", ask(target=b"http://b/x"), 200)  # RFC 9112 section 3.2.2: the target counts

for version, status in [
    (b"HTTP/1.2", 200),
    (b"HTTP/1.9", 200),
    (b"HTTP/2.0", 505),
    (b"HTTP/3.0", 505),
    (b"HTTP/0.9", 505),
    (b"HTTP/0.0", 505),
    (b"HTTP/1.1x", 400),
    (b"HTTP/1.1 ", 400),
    (b"HTTP/1.1\t", 400),
    (b"HTTP/1.1\x0b", 400),
    (b"HTTP/1.01", 400),
    (b"HTTP/01.1", 400),
    (b"HTTP/-1.1", 400),
    (b"HTTP/+1.1", 400),
    (b"HTTP/1.10", 400),
    (b"HTTP/1.1.1", 400),
    (b"HTTP/1,1", 400),
    (b"HTTP/\xb2.1", 400),
    (b"HTTPS/1.1", 400),
    (b"RTSP/1.0", 400),
    (b"HTTP/ 1.1", 400),
    (b"HTTP /1.1", 400),
    (b"http/1.1", 400),
    (b"Http/1.1", 400),
    (b"HTTP/1", 400),
    (b"HTTP/.1", 400),
    (b"HTTP/11", 400),
    (b"HTP/1.1", 400),
    (b"\0HTTP/1.1", 400),
    (b"", 400),
]:
    talk(f"version {version!r}", b"GET / " + version + b"\r\nHost: a\r\n\r\n", status)

for method, status in [
    (b"get", 200),
    (b"-", 200),
    (b"M-SEARCH", 200),
    (b"A" * 1000, 200),
    (b"A" * 9000, 414),
    (b"G\xe9T", 400),
    (b"G,T", 400),
    (b'"GET"', 400),
    (b"GET\0", 400),
    (b"G[T", 400),
    (b"{", 400),
    (b"", 400),
    (b" GET", 400),
    (b"\tGET", 400),
]:
    talk(f"method {method[:10]!r} ({len(method)})", ask(method=method), status)

talk("empty lines before", b"\r\n\r\n" + NEXT, 200)
talk("8 empty lines before", b"\r\n" * 8 + NEXT, 200)
talk("9 empty lines before", b"\r\n" * 9 + NEXT, 400)
talk("nothing but empty lines", b"\r\n" * 20, 400)
talk("a few empty lines", NEXT + b"\r\n\r", 200, end=WAITS)
talk("empty lines between", NEXT + b"\r\n" + NEXT + b"\r\n\r\n" + NEXT, 200, 200, 200)
for name, octets in [
    ("LF for every line end", b"GET / HTTP/1.1\nHost: a\n\n"),
    ("LF for the first line end", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ("LF for the second", b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    ("LF for the last", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("CR for every line end", b"GET / HTTP/1.1\rHost: a\r\r"),
    ("two CR", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    ("two CR for the last", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
    ("NUL between requests", NEXT + b"\0" + SMUGGLED),
    ("a space between requests", NEXT + b" " + SMUGGLED),
]:
    talk(name, octets, *([200] if octets.startswith(NEXT) else []), 400)
talk("an LF before", b"\n" + NEXT, 400)
talk("a CR before", b"\r" + NEXT, 400)
talk("half an empty line more", b"\r\n\r" + NEXT, 400)
talk("HTTP/0.9", b"GET /\r\n\r\n", 400)
talk("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
talk("TLS", bytes.fromhex("1603010200010001fc0303"), 400)
talk("SOCKS", b"\x05\x01\x00", 400)
talk("the PROXY protocol", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + NEXT, 400)
talk("the PROXY protocol, 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12), 400)
talk("a line of HTTP/0.9", NEXT + b"GET /smuggled\r\n", 200, 400)
talk("a bad line alone", b"GET / HTTP %\r\n", 400)
talk("half a head", b"GET / HTTP/1.1\r\nHost: a\r\n", end=WAITS)

# Fields ------------------------------------------------------------------------------------------

for host, status in [
    (b"", 200),
    (b"a:", 200),
    (b"a:80", 200),
    (b"a:99999", 200),  # RFC 3986 section 3.2.3: *DIGIT
    (b"a_b", 200),
    (b"a..b", 200),
    (b"a,b", 200),
    (b"a%41", 200),
    (b"1.2.3.4", 200),
    (b"[::1]", 200),
    (b"[::1]:1", 200),
    (b"[v1.a]", 200),
    (b"a:x", 400),
    (b"a:-1", 400),
    (b"a:80:80", 400),
    (b":80", 400),
    (b"a b", 400),
    (b"a\tb", 400),
    (b"a, b", 400),
    (b"a/b", 400),
    (b"a?b", 400),
    (b"a#b", 400),
    (b"a\\b", 400),
    (b"u@a", 400),
    (b"a%4", 400),
    (b"\xe9", 400),
    (b"<x>", 400),
    (b'"x"', 400),
    (b"[::1", 400),
    (b"[::g]", 400),
    (b"::1", 400),
    (b"[::1]a", 400),
    (b"[fe80::1%25eth0]", 400),
]:
    talk(f"Host: {host!r}", ask(host=b"Host: " + host), status)
    talk(
        f"HTTP/1.0 with Host: {host!r}",
        ask(b"Connection: keep-alive", host=b"Host: " + host, version=b"1.0"),
        status,
    )
talk("two Hosts", ask(b"host: a"), 400)
talk("two Hosts, HTTP/1.0", ask(b"Host: b", version=b"1.0"), 400)
talk("a folded Host", ask(host=b"Host:\r\n a"), 400)
talk("two Content-Types", ask(b"Content-Type: a/b", b"Content-Type: a/b"), 400)

for line, status in [
    (b"X:", 200),
    (b"X: \t y \t ", 200),
    (b"X: \xe9", 200),
    (b"X: \xe2\x82\xac", 200),
    (b"X: a\tb", 200),
    (b"X: \x85", 200),
    (b"X: \xa0y\xa0", 200),
    (b"X:: y", 200),
    (b"X_Y: y", 200),
    (b"!#$%&'*+-.^`|~: y", 200),
    (b"X" * 8187 + b": y", 200),
    (b"X" * 8188 + b": y", 431),
    (b"\r\n".join([b"X: y"] * 99), 200),
    (b"\r\n".join([b"X: y"] * 100), 431),
    (b"X", 400),
    (b":", 400),
    (b": y", 400),
    (b"X : y", 400),
    (b"X\t: y", 400),
    (b" X: y", 400),
    (b"\tX: y", 400),
    (b"X Y: z", 400),
    (b"X: y\r\n z", 400),
    (b"X: y\r\n\tz", 400),
    (b"X: \0", 400),
    (b"X: \x07", 400),
    (b"X: \x1b[2J", 400),
    (b"X: a\x0bb", 400),
    (b"X: a\x0cb", 400),
    (b"X: a\x1cb", 400),
    (b"X: y\r\n\x85z", 400),
    (b"\xef\xbb\xbfX: y", 400),
    (b"X,Y: z", 400),
    (b"X;Y: z", 400),
    (b"X=Y: z", 400),
    (b"<X>: y", 400),
    (b"[X]: y", 400),
    (b"{X}: y", 400),
    (b"X?: y", 400),
    (b"X\\: y", 400),
    (b"X: \x7f", 400),
    (b"X: a\rb", 400),
    (b"X: a\nb: c", 400),
    (b"X\x01: y", 400),
    (b"X\xe9: y", 400),
    (b"X(: y", 400),
    (b"X/Y: z", 400),
    (b'"X": y', 400),
    (b"X@: y", 400),
    (b"GET /smuggled HTTP/1.1", 400),
]:
    talk(f"field {line[:30]!r} ({len(line)})", ask(line), status)

# Expectations (RFC 9110 section 10.1.1) ----------------------------------------------------------

EXPECT = b"Expect: 100-continue"
ONE = b"Content-Length: 1"
talk("it waits for 100 Continue", post(EXPECT, ONE, body=b"x"), 100, 200)
talk("it waits, in capitals", post(b"EXPECT: 100-CONTINUE", ONE, body=b"x"), 100, 200)
talk("it waits, said twice", post(EXPECT, EXPECT, ONE, body=b"x"), 100, 200)
talk("it waits with chunks", post(EXPECT, CHUNKED, body=chunked(b"x") + NEXT), 100, 200, 200)
talk("it waits with GET", ask(EXPECT, ONE) + b"x", 100, 200)
talk("it waits for nobody", post(EXPECT, ONE, body=b"x", target=b"/unread"), 200, end=CLOSED)
talk("it waits, smuggling", post(EXPECT, SIZED_SMUGGLED, body=SMUGGLED, target=b"/unread"), 200, end=CLOSED)
talk("it waits without a body", post(EXPECT), 200)
talk("it waits with an empty body", post(EXPECT, b"Content-Length: 0"), 200)
talk("it waits in HTTP/1.0", post(EXPECT, ONE, b"Connection: keep-alive", body=b"x", version=b"1.0"), 200)
talk("it expects nothing", post(b"Expect:", ONE, body=b"x"), 200)
talk("it expects too much", post(b"Expect: 100-continue, x", ONE, body=b"x"), 417)
for value in (b"100-continue;q=1", b"100 continue", b'"100-continue"', b"100", b"continue"):
    talk(f"it expects {value!r}", post(b"Expect: " + value, ONE, body=b"x"), 417)
talk("it expects in HTTP/1.0", post(b"Expect: x", ONE, body=b"x", version=b"1.0"), 200, end=CLOSED)
talk("it expects what nobody knows", post(b"Expect: x", ONE, body=b"x"), 417)
talk("it expects, smuggling", post(b"Expect: x", SIZED_SMUGGLED, body=SMUGGLED), 417)

# The connection (RFC 9112 section 9) -------------------------------------------------------------

for value, closes in [
    (b"close", True),
    (b"Close", True),
    (b"keep-alive, close", True),
    (b"close, keep-alive", True),
    (b"x,close", True),
    (b",,close,", True),
    (b"\tclose", True),
    (b"x\r\nConnection: close", True),
    (b"", False),
    (b"keep-alive", False),
    (b"closed", False),
    (b'"close"', False),
    (b"clo se", False),
    (b"close;x", False),
    (b"te, trailers", False),
]:
    asked = ask(b"Connection: " + value) + NEXT
    answers = (200,) if closes else (200, 200)
    talk(f"Connection: {value!r}", asked, *answers, end=CLOSED if closes else OPEN)
talk("Proxy-Connection", ask(b"Proxy-Connection: close"), 200)
talk("Keep-Alive", ask(b"Keep-Alive: timeout=1, max=1"), 200)
talk("HTTP/1.0", ask(version=b"1.0") + NEXT, 200, end=CLOSED)
talk("HTTP/1.0, kept alive", ask(b"Connection: Keep-Alive", version=b"1.0") * 3, 200, 200, 200)
talk("HTTP/1.0, kept alive among others", ask(b"Connection: x, keep-alive", version=b"1.0") * 2, 200, 200)
talk("HTTP/1.0 with Keep-Alive alone", ask(b"Keep-Alive: 5", version=b"1.0"), 200, end=CLOSED)
talk("HTTP/1.0 by a proxy", ask(b"Proxy-Connection: keep-alive", version=b"1.0"), 200, end=CLOSED)
talk("HTTP/1.0, of two minds", ask(b"Connection: Keep-Alive, close", version=b"1.0"), 200, end=CLOSED)
talk("HTTP/1.0 after HTTP/1.1", NEXT + ask(version=b"1.0") + NEXT, 200, 200, end=CLOSED)
talk("a pipeline of 25", NEXT * 25, *[200] * 25)
talk(
    "a pipeline with bodies",
    (post(SIZED, body=b"hello") + post(CHUNKED, body=chunked(b"a", b"b"))) * 10,
    *[200] * 20,
)
talk(
    "a pipeline with unread bodies",
    (post(SIZED, body=b"hello", target=b"/unread") + post(CHUNKED, body=chunked(b"a"), target=b"/unread"))
    * 5,
    *[200] * 10,
)
talk("a pipeline that breaks", NEXT * 3 + b"BAD\r\n\r\n" + SMUGGLED, 200, 200, 200, 400)
talk("HEAD without Host", ask(method=b"HEAD", host=b""), 400, head=True)
talk("HEAD with a field that is none", ask(b"X", method=b"HEAD"), 400, head=True)
talk("HEAD with LF", b"HEAD / HTTP/1.1\nHost: a\n\n", 400, head=True)
talk("HEAD with an expectation", ask(b"Expect: x", method=b"HEAD"), 417, head=True)
talk("HEAD and GET", ask(method=b"HEAD") + NEXT, 200, 200, head=True)
talk("Upgrade alone", ask(b"Upgrade: websocket") + NEXT, 200, 200)
talk(
    "an upgrade and a body",
    post(b"Upgrade: x", b"Connection: upgrade", SIZED, body=b"hello" + NEXT),
    200,
    200,
)
talk("an upgrade and the end", ask(b"Upgrade: x", b"Connection: upgrade, close") + NEXT, 200, end=CLOSED)
talk("an upgrade that is not taken", ask(b"Upgrade: websocket", b"Connection: upgrade") + NEXT, 200, 200)
talk(
    "an upgrade to HTTP/2",
    ask(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk") + NEXT,
    200,
    200,
)
