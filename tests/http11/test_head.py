"""Request heads: RFC 9112 sections 2, 3, 5 and 6 as tables, each row fed in every way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from table import table

from dualwsgi.errors import BadRequest
from dualwsgi.http11.head import (
    _COMMON_KEPT,
    EMPTY_LINES,
    Limits,
    _common,
    check_unfinished,
    parse_fields,
    skip_empty_lines,
)

from .wire import (
    LIMITS,
    SECOND,
    check_accepted,
    check_refused,
    octet_by_octet,
    read_stream,
    request,
    ways_to_feed,
)

# Every octet that is no HTAB, no visible character and no obs-text; CR and LF are tried apart.
CONTROLS = [chr(octet) for octet in (*range(9), 11, 12, *range(14, 32), 127)]
# What str.strip, str.split, str.isdigit and \s, \d, \w take for space or digit beyond ASCII.
LATIN_TRAPS = ["\x85", "\xa0", "\xb2", "\xb3", "\xb9", "\xb5", "\xdf", "\xff"]

# Request lines -----------------------------------------------------------------------------------

GOOD_LINES: dict[str, tuple[str, dict[str, object]]] = {
    "origin form": ("GET /a/b HTTP/1.1", {"path": "/a/b", "query": "", "version": (1, 1)}),
    "origin form with a query": ("GET /a?b=c?d HTTP/1.1", {"path": "/a", "query": "b=c?d"}),
    "empty query": ("GET /a? HTTP/1.1", {"path": "/a", "query": "", "target": "/a?"}),
    "two slashes, which name no host": ("GET //a/b HTTP/1.1", {"path": "//a/b", "authority": None}),
    "dot segments as received": ("GET /a/../b HTTP/1.1", {"path": "/a/../b"}),
    "percent as received": ("GET /%2e%zz%0d HTTP/1.1", {"path": "/%2e%zz%0d"}),
    "what browsers send though RFC 3986 reserves it": (
        'GET /|^{}`\\"<>[] HTTP/1.1',
        {"path": '/|^{}`\\"<>[]'},
    ),
    "colon and at in a path": ("GET /a:b@c HTTP/1.1", {"path": "/a:b@c", "authority": None}),
    "absolute form": ("GET http://b/c?d HTTP/1.1", {"path": "/c", "query": "d", "authority": "b"}),
    "absolute form with a port": ("GET http://b:80/ HTTP/1.1", {"path": "/", "authority": "b:80"}),
    "absolute form with an empty port": ("GET http://b:/ HTTP/1.1", {"authority": "b:"}),
    "absolute form without a path": ("GET http://b HTTP/1.1", {"path": "/", "authority": "b"}),
    "absolute form without a path, with a query": ("GET http://b?c HTTP/1.1", {"path": "/", "query": "c"}),
    "absolute form, scheme in capitals": ("GET HTTPS://b/ HTTP/1.1", {"path": "/", "authority": "b"}),
    "absolute form with an IPv6 address": ("GET http://[::1]:8/ HTTP/1.1", {"authority": "[::1]:8"}),
    "asterisk form": ("OPTIONS * HTTP/1.1", {"path": "*", "target": "*"}),
    "OPTIONS of the server by absolute form": ("OPTIONS http://b HTTP/1.1", {"path": "*", "authority": "b"}),
    "OPTIONS of the root by absolute form": ("OPTIONS http://b/ HTTP/1.1", {"path": "/"}),
    "OPTIONS with a query by absolute form": ("OPTIONS http://b?c HTTP/1.1", {"path": "/", "query": "c"}),
    "authority form": ("CONNECT b:443 HTTP/1.1", {"path": "b:443", "target": "b:443"}),
    "authority form with an IPv6 address": ("CONNECT [::1]:443 HTTP/1.1", {"path": "[::1]:443"}),
    "highest port": ("CONNECT b:65535 HTTP/1.1", {"path": "b:65535"}),
    "any token is a method": ("!#$%&'*+-.^_`|~aZ09 / HTTP/1.1", {"method": "!#$%&'*+-.^_`|~aZ09"}),
    "methods keep their case": ("get / HTTP/1.1", {"method": "get"}),
    "HTTP/1.0": ("GET / HTTP/1.0", {"version": (1, 0), "keep_alive": False}),
    "a higher minor version is read as 1.1": ("GET / HTTP/1.9", {"version": (1, 1), "keep_alive": True}),
}

BAD_LINES: dict[str, tuple[str, int]] = {
    "HTTP/0.9": ("GET /", 400),
    "method alone": ("GET", 400),
    "two spaces after the method": ("GET  / HTTP/1.1", 400),
    "two spaces after the target": ("GET /  HTTP/1.1", 400),
    "a space before the method": (" GET / HTTP/1.1", 400),
    "a space after the version": ("GET / HTTP/1.1 ", 400),
    "a space in the target": ("GET /a b HTTP/1.1", 400),
    "tabs for spaces": ("GET\t/\tHTTP/1.1", 400),
    "a tab after the version": ("GET / HTTP/1.1\t", 400),
    "a tab in the target": ("GET /\ta HTTP/1.1", 400),
    "no method": (" / HTTP/1.1", 400),
    "no target": ("GET  HTTP/1.1", 400),
    "a method with a colon": ("G:ET / HTTP/1.1", 400),
    "a method in brackets": ("(GET) / HTTP/1.1", 400),
    "a field for a request line": ("Host: a", 400),
    "lower-case http": ("GET / http/1.1", 400),
    "another protocol": ("GET / HTTPS/1.1", 400),
    "another protocol's longer name": ("GET / XHTTP/1.1", 400),
    "no minor version": ("GET / HTTP/1", 400),
    "no version number": ("GET / HTTP/", 400),
    "two digits of minor version": ("GET / HTTP/1.10", 400),
    "two digits of major version": ("GET / HTTP/01.1", 400),
    "a comma in the version": ("GET / HTTP/1,1", 400),
    "a sign in the version": ("GET / HTTP/1.+1", 400),
    "HTTP/2.0": ("GET / HTTP/2.0", 505),
    "the preface of HTTP/2": ("PRI * HTTP/2.0", 505),
    "HTTP/0.9 by name": ("GET / HTTP/0.9", 505),
    "HTTP/9.9": ("GET / HTTP/9.9", 505),
    "a fragment": ("GET /a#b HTTP/1.1", 400),
    "no leading slash": ("GET a/b HTTP/1.1", 400),
    "a query alone": ("GET ?a HTTP/1.1", 400),
    "a backslash first": ("GET \\a HTTP/1.1", 400),
    "a host without a scheme": ("GET a:80 HTTP/1.1", 400),
    "another scheme": ("GET ftp://b/ HTTP/1.1", 400),
    "a scheme with one slash": ("GET http:/b HTTP/1.1", 400),
    "a scheme alone": ("GET http: HTTP/1.1", 400),
    "an empty authority": ("GET http:///c HTTP/1.1", 400),
    "an authority of a port alone": ("GET http://:80/ HTTP/1.1", 400),
    "user information": ("GET http://u@b/ HTTP/1.1", 400),
    "user information with a password": ("GET http://u:p@b/ HTTP/1.1", 400),
    "a backslash in the authority": ("GET http://b\\@c/ HTTP/1.1", 400),
    "letters for a port": ("GET http://b:x/ HTTP/1.1", 400),
    "two ports": ("GET http://b:80:80/ HTTP/1.1", 400),
    "an asterisk for GET": ("GET * HTTP/1.1", 400),
    "an asterisk with more": ("OPTIONS *a HTTP/1.1", 400),
    "CONNECT in origin form": ("CONNECT / HTTP/1.1", 400),
    "CONNECT in absolute form": ("CONNECT http://b:80/ HTTP/1.1", 400),
    "CONNECT in asterisk form": ("CONNECT * HTTP/1.1", 400),
    "CONNECT without a port": ("CONNECT b HTTP/1.1", 400),
    "CONNECT with an empty port": ("CONNECT b: HTTP/1.1", 400),
    "CONNECT to port 0": ("CONNECT b:0 HTTP/1.1", 400),
    "CONNECT to port 65536": ("CONNECT b:65536 HTTP/1.1", 400),
    "CONNECT without a host": ("CONNECT :80 HTTP/1.1", 400),
    "CONNECT with user information": ("CONNECT u@b:80 HTTP/1.1", 400),
    "authority form for GET": ("GET b:80 HTTP/1.1", 400),
}
BAD_LINES |= {f"control {c!r} in the target": (f"GET /{c} HTTP/1.1", 400) for c in CONTROLS}
BAD_LINES |= {f"control {c!r} after the version": (f"GET / HTTP/1.1{c}", 400) for c in CONTROLS}
BAD_LINES |= {f"{c!r} for a space": (f"GET{c}/ HTTP/1.1", 400) for c in (*CONTROLS, *LATIN_TRAPS)}
BAD_LINES |= {f"{c!r} in the target": (f"GET /{c} HTTP/1.1", 400) for c in LATIN_TRAPS}
BAD_LINES |= {f"{c!r} in the method": (f"G{c}ET / HTTP/1.1", 400) for c in LATIN_TRAPS}
BAD_LINES |= {f"{c!r} for a digit of the version": (f"GET / HTTP/1.{c}", 400) for c in LATIN_TRAPS}


@table(("line", "expected"), GOOD_LINES.values(), ids=GOOD_LINES)
def test_a_request_line_is_read_in_each_of_its_forms(line: str, expected: dict[str, object]) -> None:
    check_accepted(request(line), **expected)


@table(("line", "status"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_request_line_that_breaks_the_grammar_is_refused(line: str, status: int) -> None:
    check_refused(request(line), status)


def test_an_absolute_target_does_not_excuse_from_host() -> None:
    check_refused(request("GET http://b/ HTTP/1.1", host=None), 400)
    check_refused(request("GET http://b/ HTTP/1.1", host="Host: /"), 400)


def test_an_absolute_target_leaves_the_host_field_as_it_was_sent() -> None:
    check_accepted(request("GET http://b/ HTTP/1.1", host="Host: a"), authority="b", host="a")


# Fields ------------------------------------------------------------------------------------------

GOOD_FIELDS: dict[str, tuple[str, tuple[str, str]]] = {
    "no space after the colon": ("X:b", ("X", "b")),
    "much space around the value": ("X: \t b \t ", ("X", "b")),
    "space within the value": ("X: b \t c", ("X", "b \t c")),
    "an empty value": ("X:", ("X", "")),
    "a value of spaces": ("X: \t ", ("X", "")),
    "a colon in the value": ("X: b:c", ("X", "b:c")),
    "a colon first in the value": ("X::c", ("X", ":c")),
    "every kind of token character": ("!#$%&'*+-.^_`|~aZ09: b", ("!#$%&'*+-.^_`|~aZ09", "b")),
    "octets above ASCII in the value": ("X: \x80\xe9\xff", ("X", "\x80\xe9\xff")),
    "a no-break space is no space": ("X: \xa0b\xa0", ("X", "\xa0b\xa0")),
    "a next line is no line end": ("X: \x85b\x85", ("X", "\x85b\x85")),
    "an underscore in the name": ("X_Y: b", ("X_Y", "b")),
}

BAD_FIELDS: dict[str, str] = {
    "no colon": "Xb",
    "an empty name": ": b",
    "a space before the colon": "X : b",
    "a tab before the colon": "X\t: b",
    "a space before the name": " X: b",
    "a folded line (obs-fold)": "X: b\r\n c",
    "a line folded by a tab": "X: b\r\n\tc",
    "a folded line without a colon": "X: b\r\n  ",
    "a space in the name": "X Y: b",
    "brackets in the name": "X(Y): b",
    "a slash in the name": "X/Y: b",
    "a quoted name": '"X": b',
    "a bare LF between fields": "X: b\nY: c",
    "a bare CR between fields": "X: b\rY: c",
    "a CR too many": "X: b\r",
    "LF CR": "X: b\n\rY: c",
    "a bare LF for an empty line": "X: b\n",
    "a bare LF in a framing field": "Content-Length: 0\n",
    "a bare CR before a framing field": "X: b\rTransfer-Encoding: chunked",
}
BAD_FIELDS |= {f"control {c!r} in a value": f"X: b{c}c" for c in CONTROLS}
BAD_FIELDS |= {f"control {c!r} before a value": f"X:{c}b" for c in CONTROLS}
BAD_FIELDS |= {f"control {c!r} after a value": f"X: b{c}" for c in CONTROLS}
BAD_FIELDS |= {f"{c!r} in a name": f"X{c}: b" for c in (*CONTROLS, *LATIN_TRAPS)}
BAD_FIELDS |= {f"{c!r} before a name": f"{c}X: b" for c in (*CONTROLS, *LATIN_TRAPS)}


@table(("line", "field"), GOOD_FIELDS.values(), ids=GOOD_FIELDS)
def test_a_field_is_its_name_and_its_value_without_the_space_around(
    line: str, field: tuple[str, str]
) -> None:
    check_accepted(request("GET / HTTP/1.1", line, "Last: 1"), fields=(("Host", "a"), field, ("Last", "1")))


@table("line", BAD_FIELDS.values(), ids=BAD_FIELDS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_field_line_that_breaks_the_grammar_is_refused(line: str, place: str) -> None:
    data = request("GET / HTTP/1.1", line) if place == "last" else request(host=line + "\r\nHost: a")
    check_refused(data, 400)


def test_fields_keep_their_order_case_and_repetitions() -> None:
    lines = ["b: 1", "A: 2", "B: 3", "a: 4"]
    wanted = (("Host", "a"), ("b", "1"), ("A", "2"), ("B", "3"), ("a", "4"))
    check_accepted(request("GET / HTTP/1.1", *lines), fields=wanted)


def test_a_head_may_have_no_fields_in_http_10() -> None:
    check_accepted(request("GET / HTTP/1.0", host=None), fields=(), host=None)


# Host --------------------------------------------------------------------------------------------

HOST_GOOD = [
    *("a", "a.example", "A.EXAMPLE", "a:80", "a:", "127.0.0.1", "127.0.0.1:8000", "a_b", "-", "a.", "1"),
    *("%41b", "a%2Fb", "a,b", "a;b", "a'b", "!$&'()*+,;=", "xn--bcher-kva.example", ""),
    *("[::1]", "[::]", "[::1]:80", "[2001:db8::1]", "[1:2:3:4:5:6:7:8]", "[::ffff:192.0.2.1]"),
    *("[1::8]", "[1:2:3:4:5:6:7::]", "[::2:3:4:5:6:7:8]", "[1::3:4:5:6:7:8]", "[ABCD:EF01::]", "[v1.a:b]"),
]
HOST_BAD = [
    *(
        "a b",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "a@b",
        "u:p@a",
        "http://a",
        "a:b",
        "a:80:80",
        "a:8 0",
        "a:-1",
        "a:+1",
    ),
    *(
        ":80",
        ":",
        "%",
        "a%",
        "a%4",
        "a%4g",
        "a%zz",
        "a<b",
        'a"b',
        "a|b",
        "a^b",
        "a`b",
        "a{b}",
        "\xe9",
        "a\xa0",
    ),
    *("a:\xb2", "::1", "1::", "[]", "[::1", "::1]", "[::1]a", "[::1]]", "[[::1]]", "a[::1]", "[::1]:x"),
    *("[1]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[1::2::3]", "[:::]", "[:1]", "[12345::]", "[::g]"),
    *("[1:2:3:4:5:6:7::8]", "[::1.2.3]", "[::1.2.3.256]", "[::01.2.3.4]", "[1.2.3.4]", "[fe80::1%25eth0]"),
    *("[fe80::1%eth0]", "[v.a]", "[v1.]", "[vg.a]", "[v1.a%41]", "a, b", "a,\tb"),
]


@table("host", HOST_GOOD)
def test_a_host_is_a_name_or_an_address_and_perhaps_a_port(host: str) -> None:
    check_accepted(request(host=f"Host: {host}"), host=host)


@table("host", HOST_BAD)
def test_a_host_that_breaks_the_grammar_is_refused_wherever_it_stands(host: str) -> None:
    check_refused(request(host=f"Host: {host}"), 400)
    check_refused(request("GET / HTTP/1.0", host=f"Host: {host}"), 400)
    if "/" not in host and "?" not in host:
        check_refused(request(f"GET http://{host}/ HTTP/1.1"), 400)


def test_http_11_asks_for_one_host_field_and_http_10_for_one_at_most() -> None:
    check_refused(request(host=None), 400)
    check_refused(request("GET / HTTP/1.1", "Host: a"), 400)
    check_refused(request("GET / HTTP/1.1", "hOST: b"), 400)
    check_refused(request("GET / HTTP/1.0", "Host: a"), 400)
    check_accepted(request("GET / HTTP/1.0", host=None), host=None)


# Content-Length and Transfer-Encoding --------------------------------------------------------------

LENGTHS_BAD = {
    **dict.fromkeys(
        ["", "-0", "-3", "+3", "3 ", "3;", "3,", ",3", "3,3", "3, 3", "3, 4", "3 3", "0x3", "3.0", "3e0"], 400
    ),
    **dict.fromkeys(
        ["0_3", "1_0", "three", '"3"', "3\xa0", "\xa03", "\x853", "\xb3", "\xb9", "1\xb2", "\xbc"], 400
    ),
    # Octets may not be counted in more digits than anybody needs.
    **dict.fromkeys(["9" * 19, "9" * 4301, str(LIMITS.body + 1), str(2**64), str(2**64 + 3)], 413),
}
LENGTHS_BAD = {value: status for value, status in LENGTHS_BAD.items() if value.strip(" \t") != "3"}


@table(("value", "status"), LENGTHS_BAD.items(), ids=[repr(v)[:24] for v in LENGTHS_BAD])
def test_a_content_length_that_is_no_plain_number_is_refused(value: str, status: int) -> None:
    check_refused(request("POST / HTTP/1.1", f"Content-Length: {value}"), status)
    check_refused(request("POST / HTTP/1.0", f"Content-Length: {value}"), status)


@table("value", ["3", "003", " 3", "3 ", "\t3\t", "0" * 17 + "3"])
def test_a_content_length_is_decimal_digits(value: str) -> None:
    data = request("POST / HTTP/1.1", f"Content-Length:{value}", body=b"abc")
    check_accepted(data, length=3, chunked=False, content=b"abc")


@table("name", ["Content-Length", "content-length", "CONTENT-LENGTH", "cOnTeNt-LeNgTh"])
def test_a_framing_field_is_known_in_any_case(name: str) -> None:
    check_accepted(request("POST / HTTP/1.1", f"{name}: 3", body=b"abc"), content=b"abc")


@table("second", ["Content-Length: 3", "content-length: 4", "Content-Length:"])
def test_a_second_content_length_is_refused_even_if_it_says_the_same(second: str) -> None:
    check_refused(request("POST / HTTP/1.1", "Content-Length: 3", "X: y", second), 400)


@table("name", ["Content_Length", "Content-Length-", "X-Content-Length", "Content--Length"])
def test_a_name_that_only_looks_like_a_framing_field_frames_nothing(name: str) -> None:
    check_accepted(request("GET / HTTP/1.1", f"{name}: 3", f"{name}: 4"), length=None, content=b"")


CODINGS = {
    "chunked": 200,
    "Chunked": 200,
    "CHUNKED": 200,
    "\tchunked \t": 200,
    # RFC 9112 section 6.3: the length cannot be told reliably, so 400.
    **dict.fromkeys(
        ["", ",", "identity", "gzip", "xchunked", "chunkedx", "chunk", "chunked, gzip", "chunked;q=1"], 400
    ),
    **dict.fromkeys(
        ["chunked, identity", "chunked,chunked", "chunked, chunked", "chunked;a=b", "chunked;"], 400
    ),
    **dict.fromkeys(["chunked,", ",chunked", "chunked, ,", "chunked chunked", '"chunked"', "'chunked'"], 400),
    **dict.fromkeys(
        ["chunked\xa0", "\xa0chunked", "\x85chunked", "\xe7hunked", "gzip chunked", "chunked gzip"], 400
    ),
    **dict.fromkeys(
        ["gzip, chunked;q=1", "chunked=1", "(chunked)", "chunked: x", "gzip;q=1", "chunked;q=1, chunked"], 400
    ),
    # RFC 9112 section 6.1: framed as it must be, but in a coding that is not served.
    **dict.fromkeys(["gzip, chunked", "identity, chunked", "x,y\t,chunked", "gzip;q=1, chunked"], 501),
}


@table(("value", "status"), CODINGS.items(), ids=[repr(v) for v in CODINGS])
def test_chunked_alone_is_the_transfer_coding_that_is_served(value: str, status: int) -> None:
    data = request("POST / HTTP/1.1", f"Transfer-Encoding: {value}")
    if status == 200:
        check_accepted(data + b"3\r\nabc\r\n0\r\n\r\n", chunked=True, length=None, content=b"abc")
    else:
        check_refused(data, status)


TWO_CODINGS = {
    ("chunked", "chunked"): 400,
    ("chunked", "identity"): 400,
    ("identity", "chunked"): 501,
    ("chunked", ""): 400,
    ("", "chunked"): 400,
}


@table(("values", "status"), TWO_CODINGS.items(), ids=repr)
def test_transfer_encodings_of_two_lines_are_one_list(values: tuple[str, str], status: int) -> None:
    fields = (f"Transfer-Encoding: {values[0]}", "X: y", f"transfer-encoding: {values[1]}")
    check_refused(request("POST / HTTP/1.1", *fields), status)


@table("length", ["0", "3", "x"])
@table("coding", ["chunked", "identity", "x"])
@table("version", ["1.0", "1.1"])
def test_content_length_and_transfer_encoding_together_are_refused(
    length: str, coding: str, version: str
) -> None:
    fields = [f"Content-Length: {length}", f"Transfer-Encoding: {coding}"]
    check_refused(request(f"POST / HTTP/{version}", *fields), 400)
    check_refused(request(f"POST / HTTP/{version}", *reversed(fields)), 400)


def test_a_transfer_encoding_in_http_10_is_refused() -> None:
    check_refused(request("POST / HTTP/1.0", "Transfer-Encoding: chunked"), 400)
    check_refused(request("POST / HTTP/1.0", "Transfer-Encoding: x, chunked"), 400)


@table("method", ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "POST", "X"])
def test_framing_does_not_depend_on_the_method(method: str) -> None:
    check_accepted(request(f"{method} / HTTP/1.1"), content=b"", length=None)
    check_accepted(request(f"{method} / HTTP/1.1", "Content-Length: 3", body=b"abc"), content=b"abc")
    chunks = b"1\r\na\r\n0\r\n\r\n"
    check_accepted(request(f"{method} / HTTP/1.1", "Transfer-Encoding: chunked", body=chunks), content=b"a")


def test_two_content_types_are_refused() -> None:
    check_refused(request("POST / HTTP/1.1", "Content-Type: a/b", "Content-Type: a/b"), 400)


# Connection, Upgrade and Expect --------------------------------------------------------------------

CONNECTION = [
    # version, values of Connection, kept alive
    ("1.1", [], True),
    ("1.1", ["close"], False),
    ("1.1", ["CLOSE"], False),
    ("1.1", ["keep-alive"], True),
    ("1.1", ["keep-alive, close"], False),
    ("1.1", ["close, keep-alive"], False),
    ("1.1", ["keep-alive", "close"], False),
    ("1.1", [" ,, \tclose\t,"], False),
    ("1.1", ["closed"], True),
    ("1.1", ["x-close"], True),
    ("1.1", ["close\xa0"], True),
    ("1.1", [""], True),
    ("1.1", ["content-length, host"], True),
    ("1.0", [], False),
    ("1.0", ["keep-alive"], True),
    ("1.0", ["Keep-Alive, x"], True),
    ("1.0", ["keep-alive, close"], False),
    ("1.0", ["x"], False),
    ("1.9", [], True),
]


@table(("version", "values", "kept"), CONNECTION)
def test_connection_says_whether_another_request_may_follow(
    version: str, values: list[str], kept: bool
) -> None:
    data = request(f"GET / HTTP/{version}", *(f"Connection: {value}" for value in values))
    check_accepted(data, keep_alive=kept)


def test_a_connection_option_takes_no_framing_away() -> None:
    fields = ("Content-Length: 3", "Connection: Content-Length, Host, Transfer-Encoding")
    check_accepted(request("POST / HTTP/1.1", *fields, body=b"abc"), content=b"abc", host="a")


UPGRADE = [
    # version, Connection, Upgrade, what it asks for
    ("1.1", "Upgrade", "websocket", "websocket"),
    ("1.1", "keep-alive, upgrade", "a, b", "a, b"),
    ("1.1", None, "websocket", None),
    ("1.1", "x", "websocket", None),
    ("1.1", "upgrade", None, None),
    ("1.0", "upgrade", "websocket", None),
]


@table(("version", "connection", "upgrade", "asked"), UPGRADE)
def test_an_upgrade_is_asked_for_by_both_fields_in_http_11(
    version: str, connection: str | None, upgrade: str | None, asked: str | None
) -> None:
    fields = [f"Connection: {connection}"] * (connection is not None)
    fields += [f"Upgrade: {upgrade}"] * (upgrade is not None)
    check_accepted(request(f"GET / HTTP/{version}", *fields), upgrade=asked)


def test_a_client_is_told_to_continue_only_if_it_has_content_to_send() -> None:
    expect = "Expect: 100-continue"
    chunks = b"0\r\n\r\n"
    check_accepted(request("POST / HTTP/1.1", expect, "Content-Length: 1", body=b"a"), expect_continue=True)
    check_accepted(
        request("POST / HTTP/1.1", expect, "Transfer-Encoding: chunked", body=chunks), expect_continue=True
    )
    check_accepted(
        request("POST / HTTP/1.1", expect.upper(), "Content-Length: 1", body=b"a"), expect_continue=True
    )
    check_accepted(request("POST / HTTP/1.1", expect, "Content-Length: 0"), expect_continue=False)
    check_accepted(request("GET / HTTP/1.1", expect), expect_continue=False)
    check_accepted(request("POST / HTTP/1.0", expect, "Content-Length: 1", body=b"a"), expect_continue=False)


@table("value", ["x", "100-continue;a", "100-continue, x", "x 100-continue", "100", "100-continue\xa0"])
def test_an_expectation_other_than_100_continue_is_refused(value: str) -> None:
    check_refused(request("POST / HTTP/1.1", f"Expect: {value}", "Content-Length: 1"), 417)
    check_accepted(request("GET / HTTP/1.0", f"Expect: {value}"))


def test_the_same_expectation_twice_is_one_and_none_is_none() -> None:
    """RFC 9110 section 10.1.1: it is a list, and only another member may be refused."""
    for lines in (
        ["Expect: 100-continue", "Expect: 100-Continue"],
        ["Expect: 100-continue, 100-continue"],
        ["Expect: ,100-continue ,"],
    ):
        data = request("POST / HTTP/1.1", *lines, "Content-Length: 1", body=b"a")
        check_accepted(data, expect_continue=True)
    for line in ("Expect:", "Expect: ,"):
        data = request("POST / HTTP/1.1", line, "Content-Length: 1", body=b"a")
        check_accepted(data, expect_continue=False)
    for line in ("Expect: 100-continue, a", "Expect: a, 100-continue"):
        check_refused(request("POST / HTTP/1.1", line, "Content-Length: 1"), 417)


# Limits, each at its value and one beyond ------------------------------------------------------------


def test_a_request_line_may_be_as_long_as_its_limit() -> None:
    at_limit = "GET /" + "a" * (LIMITS.request_line - 14) + " HTTP/1.1"
    assert len(at_limit) == LIMITS.request_line
    check_accepted(request(at_limit), target=at_limit[4:-9])
    check_refused(request(at_limit.replace("/", "/a")), 414)


def test_a_request_line_beyond_the_limit_of_a_head_is_told_as_such() -> None:
    check_refused(request("GET /" + "a" * LIMITS.head + " HTTP/1.1"), 414)


def test_a_field_line_may_be_as_long_as_its_limit() -> None:
    for name in ("X", "Accept", "Cookie"):
        at_limit = f"{name}: " + "a" * (LIMITS.field_size - len(name) - 2)
        assert len(at_limit) == LIMITS.field_size
        check_accepted(request("GET / HTTP/1.1", at_limit))
        check_refused(request("GET / HTTP/1.1", at_limit + "a"), 431)
        check_refused(request("GET / HTTP/1.1", at_limit + " "), 431)


def test_a_common_field_line_known_under_one_limit_is_measured_by_another() -> None:
    line = "Accept: " + "a" * 100
    check_accepted(request("GET / HTTP/1.1", line))
    check_refused(request("GET / HTTP/1.1", line), 431, replace(LIMITS, field_size=len(line) - 1))


def test_there_may_be_as_many_fields_as_their_limit() -> None:
    check_accepted(request("GET / HTTP/1.1", *["X: y"] * (LIMITS.fields - 1)))
    check_refused(request("GET / HTTP/1.1", *["X: y"] * LIMITS.fields), 431)


def test_a_head_may_be_as_large_as_its_limit() -> None:
    limits = replace(LIMITS, head=1000)
    fields = ["X: " + "a" * 95] * 9
    spare = 1000 - len(request("GET / HTTP/1.1", *fields, "Y: "))
    check_accepted(request("GET / HTTP/1.1", *fields, "Y: " + "b" * spare), limits)
    check_refused(request("GET / HTTP/1.1", *fields, "Y: " + "b" * (spare + 1)), 431, limits)


def test_a_declared_body_may_be_as_large_as_its_limit() -> None:
    limits = replace(LIMITS, body=5)
    check_accepted(request("POST / HTTP/1.1", "Content-Length: 5", body=b"abcde"), limits, content=b"abcde")
    check_refused(request("POST / HTTP/1.1", "Content-Length: 6"), 413, limits)


def test_a_body_limit_of_0_is_none() -> None:
    limits = replace(LIMITS, body=0)
    data = request("POST / HTTP/1.1", "Content-Length: " + "9" * 18)
    outcome = read_stream([data], limits)
    assert outcome.error is None
    assert outcome.open == "body"
    check_refused(request("POST / HTTP/1.1", "Content-Length: " + "9" * 19), 413, limits)


# Before and within an unfinished head ----------------------------------------------------------------


@table("count", range(EMPTY_LINES + 1))
def test_some_empty_lines_before_a_request_line_are_passed_over(count: int) -> None:
    check_accepted(b"\r\n" * count + request())


def test_more_empty_lines_than_some_are_refused_however_they_come() -> None:
    check_refused(b"\r\n" * (EMPTY_LINES + 1) + request(), 400)


def test_empty_lines_are_counted_anew_for_each_request() -> None:
    lines = b"\r\n" * EMPTY_LINES
    outcome = read_stream(octet_by_octet((lines + SECOND) * 3 + lines))
    assert outcome.error is None
    assert len(outcome.messages) == 3


@table("start", [b"\n", b"\r\n\n", b"\r\r\n", b"\n\r\n", b" \r\n", b"\t\r\n", b"\0\r\n"], ids=repr)
def test_what_is_no_empty_line_is_not_passed_over(start: bytes) -> None:
    check_refused(start + request(), 400)


def test_how_much_may_be_skipped_is_told_without_what_follows() -> None:
    assert skip_empty_lines(b"", 0) == 0
    assert skip_empty_lines(b"\r", 0) == 0
    assert skip_empty_lines(b"\r\nGET", 0) == 2
    assert skip_empty_lines(bytearray(b"\r\n\r\n\r"), 0) == 4


UNFINISHED_BAD = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01", 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n", 400),
    "two bare LF": (b"GET / HTTP/1.1\n\n", 400),
    "a CR that no LF follows": (b"GET / HTTP/1.1\rH", 400),
    "two CR": (b"GET / HTTP/1.1\r\r", 400),
    "a CR that ended the piece before": (b"GET / HTTP/1.1\r\nHost: a\rX", 400),
    "NUL": (b"GET /\0", 400),
    "LF before any CR": (b"\n", 400),
    "a line without an end": (b"a" * (LIMITS.request_line + 2), 414),
    "a line whose CR comes too late": (b"a" * (LIMITS.request_line + 1) + b"\r", 414),
    "a line of HTTP/0.9": (b"GET /\r\n", 400),
    "a line of HTTP/2": (b"PRI * HTTP/2.0\r\n", 505),
    "a line that is none, and a field": (b"GET / HTTP %\r\nHost: a\r\n", 400),
    "a line one octet too long": (b"GET /%b HTTP/1.1\r\n" % (b"a" * (LIMITS.request_line - 13)), 414),
    "fields without an end": (b"GET / HTTP/1.1\r\n" + b"a" * LIMITS.head, 431),
}


@table(("data", "status"), UNFINISHED_BAD.values(), ids=UNFINISHED_BAD)
def test_a_head_that_can_no_longer_become_good_is_refused_before_its_end(data: bytes, status: int) -> None:
    for how, pieces in ways_to_feed(data):
        assert read_stream(pieces).status == status, f"fed {how}"


LONGEST_LINE = b"GET /%b HTTP/1.1" % (b"a" * (LIMITS.request_line - 14))
assert len(LONGEST_LINE) == LIMITS.request_line

UNFINISHED_GOOD = {
    "a letter": b"G",
    "a CR": b"\r",
    "a line": b"GET / HTTP/1.1\r\n",
    "a line and a CR": b"GET / HTTP/1.1\r\n\r",
    "a field": b"GET / HTTP/1.1\r\nHost: a\r\n",
    "a field and a CR": b"GET / HTTP/1.1\r\nHost: a\r\n\r",
    "octets above ASCII": b"\xff\x80",
    "a line of the limit": b"a" * LIMITS.request_line,
    "a line of the limit and its CR": b"a" * LIMITS.request_line + b"\r",
    "a line of the limit and its end": LONGEST_LINE + b"\r\n",
    "a line of the limit, its end and more": LONGEST_LINE + b"\r\nHost: a\r\nX",
    "as much as a head may be": b"GET / HTTP/1.1\r\n" + b"a" * (LIMITS.head - 16),
}


@table("data", UNFINISHED_GOOD.values(), ids=UNFINISHED_GOOD)
def test_a_head_that_can_still_become_good_is_waited_for(data: bytes) -> None:
    outcome = read_stream(octet_by_octet(data))
    assert outcome.error is None
    assert outcome.open == "head"


def test_what_an_unfinished_head_may_be_is_judged_piece_by_piece() -> None:
    good = b"GET / HTTP/1.1\r\nHost: a\r\n"
    for cut in range(len(good)):
        line_is_good = check_unfinished(good[:cut], 0, LIMITS)
        assert line_is_good == (b"\r\n" in good[:cut])
        assert check_unfinished(good, cut, LIMITS, line_is_good)


# What one request leaves for the next ------------------------------------------------------------------


def test_a_field_line_read_a_second_time_says_the_same() -> None:
    for line in ("Accept: b", "accept:b", "Content-Length: 3", "Host: a", "Te: \t", "Connection: Close"):
        lines = ["Host: a", line] if not line.startswith("Host") else [line]
        _common.clear()
        cold, warm = (parse_fields(list(lines), (1, 1), LIMITS) for _ in range(2))
        assert cold[0] == warm[0], line
        for name in ("host", "keep_alive", "length", "chunked", "expect_continue", "upgrade"):
            assert getattr(cold[1], name) == getattr(warm[1], name), f"{line!r}: {name}"


def test_a_line_that_was_refused_is_refused_again() -> None:
    for line in ("Accept : b", "Accept: b\0", "Content-Length: x", "Host: /", "Accept"):
        for _ in range(3):
            with pytest.raises(BadRequest):
                parse_fields(["Host: a", line], (1, 1), LIMITS)


def test_what_is_remembered_of_fields_is_bounded_and_holds_no_secrets() -> None:
    for number in range(2 * _COMMON_KEPT):
        parse_fields(
            ["Host: a", f"Accept: {number}", "Cookie: secret", "Authorization: secret"], (1, 1), LIMITS
        )
        assert len(_common) <= _COMMON_KEPT
    parse_fields(["Host: a", "Accept: " + "b" * 5000], (1, 1), Limits())
    assert max(map(len, _common)) <= 512
    assert not any("secret" in line for line in _common)
