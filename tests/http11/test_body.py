"""Request bodies: RFC 9112 sections 6.2 and 7.1 as tables, each row fed in every way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from table import table

from dualwsgi.errors import BadRequest
from dualwsgi.http11.body import LAST_CHUNK, Body, ChunkedBody, SizedBody, encode_chunk
from dualwsgi.http11.head import Limits

from .wire import LIMITS, SECOND, check_accepted, check_refused, octet_by_octet, request, ways_to_feed

CHUNKED = request("POST / HTTP/1.1", "Transfer-Encoding: chunked")


def decode(data: bytes, limits: Limits = LIMITS) -> ChunkedBody:
    body = ChunkedBody(limits)
    body.feed(data)
    return body


def feed_all(pieces: Iterable[bytes], limits: Limits = LIMITS) -> bytes:
    body = ChunkedBody(limits)
    return b"".join([body.feed(piece)[0] for piece in pieces])


# By Content-Length -----------------------------------------------------------------------------------


@table("length", [0, 1, 2, 5])
def test_a_sized_body_ends_after_its_length_whatever_follows(length: int) -> None:
    data = request("POST / HTTP/1.1", f"Content-Length: {length}", body=b"GET /"[:length])
    check_accepted(data, content=b"GET /"[:length])


def test_a_sized_body_that_lacks_octets_is_not_done() -> None:
    body = SizedBody(3)
    assert body.feed(b"ab") == (b"ab", b"")
    assert not body.done
    assert body.feed(b"") == (b"", b"")
    assert body.feed(b"cd") == (b"c", b"d")
    assert body.done


@pytest.mark.parametrize("body", [SizedBody(0), decode(LAST_CHUNK)], ids=["sized", "chunked"])
def test_a_body_that_is_done_hands_back_all_it_is_fed(body: Body) -> None:
    assert body.done
    assert body.feed(SECOND) == (b"", SECOND)
    assert body.feed(b"") == (b"", b"")
    assert body.done


# In chunks -------------------------------------------------------------------------------------------

CHUNKS_GOOD: dict[str, tuple[bytes, bytes]] = {
    "no content": (b"0\r\n\r\n", b""),
    "one chunk": (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "two chunks": (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
    "digits in both cases": (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    "leading zeros": (b"003\r\nabc\r\n000\r\n\r\n", b"abc"),
    "sixteen digits": (b"0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n", b"abc"),
    "line ends as content": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "the end of a body as content": (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    "a request as content": (b"%x\r\n%b\r\n0\r\n\r\n" % (len(SECOND), SECOND), SECOND),
    "every octet as content": (b"100\r\n" + bytes(range(256)) + b"\r\n0\r\n\r\n", bytes(range(256))),
    "an extension": (b"3;a\r\nabc\r\n0\r\n\r\n", b"abc"),
    "an extension with a value": (b"3;a=b\r\nabc\r\n0;c=d\r\n\r\n", b"abc"),
    "extensions with space around": (b"3 ; a \t=\tb;c ; d\r\nabc\r\n0\r\n\r\n", b"abc"),
    "a quoted value": (b'3;a="oh hi"\r\nabc\r\n0\r\n\r\n', b"abc"),
    "a quoted value that looks like more": (b'3;a="; b=c, \t=";d\r\nabc\r\n0\r\n\r\n', b"abc"),
    "an empty quoted value": (b'3;a=""\r\nabc\r\n0\r\n\r\n', b"abc"),
    "quoted pairs": (b'3;a="\\"\\\\\\ "\r\nabc\r\n0\r\n\r\n', b"abc"),
    "octets above ASCII, quoted": (b'3;a="\xff\x85"\r\nabc\r\n0\r\n\r\n', b"abc"),
}


@table(("data", "content"), CHUNKS_GOOD.values(), ids=CHUNKS_GOOD)
def test_chunks_are_joined_and_their_extensions_dropped(data: bytes, content: bytes) -> None:
    check_accepted(CHUNKED + data, content=content, trailers=())


CHUNKS_BAD: dict[str, bytes] = {
    "no size": b"\r\n",
    "an extension alone": b";a\r\n",
    "a sign": b"+3\r\nabc\r\n",
    "a minus sign": b"-3\r\nabc\r\n",
    "a minus zero": b"-0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n",
    "an underscore": b"0_3\r\nabc\r\n",
    "letters that are no digits": b"3g\r\nabc\r\n",
    "space before the size": b" 3\r\nabc\r\n",
    "space after the size": b"3 \r\nabc\r\n",
    "a tab after the size": b"3\t\r\nabc\r\n",
    "an h for hexadecimal": b"3h\r\nabc\r\n",
    "a fraction": b"3.0\r\nabc\r\n",
    "two sizes": b"3 3\r\nabc\r\n",
    "a comma": b"3,3\r\nabc\r\n",
    "quotes": b'"3"\r\nabc\r\n',
    "seventeen digits": b"00000000000000003\r\nabc\r\n",
    "a superscript digit": b"\xb3\r\nabc\r\n",
    "a no-break space": b"3\xa0\r\nabc\r\n",
    "a next line": b"3\x85\r\nabc\r\n",
    "a bare LF after the size": b"3\nabc\n0\n\n",
    "a bare LF after the size, CR LF after the chunk": b"3\nabc\r\n0\r\n\r\n",
    "a bare CR after the size": b"3\rabc\r\n0\r\n\r\n",
    "CR CR LF after the size": b"3\r\r\nabc\r\n",
    "NUL after the size": b"3\0\r\nabc\r\n",
    "an extension without a name": b"3;\r\nabc\r\n",
    "an extension of a value alone": b"3;=b\r\nabc\r\n",
    "an extension without a value": b"3;a=\r\nabc\r\n",
    "space after an extension": b"3;a \r\nabc\r\n",
    "two semicolons": b"3;;a\r\nabc\r\n",
    "two values": b"3;a=b=c\r\nabc\r\n",
    "a comma in an extension": b"3;a,b\r\nabc\r\n",
    "an unfinished quoted value": b'3;a="b\r\nabc\r\n',
    "more after a quoted value": b'3;a="b"c\r\nabc\r\n',
    "a backslash that ends a quoted value": b'3;a="\\"\r\nabc\r\n',
    "a bare LF in an extension": b"3;a\nb\r\nabc\r\n",
    "a bare LF in a quoted value": b'3;a="\n"\r\nabc\r\n',
    "a bare CR in a quoted value": b'3;a="\r"\r\nabc\r\n',
    "a quoted bare LF": b'3;a="\\\n"\r\nabc\r\n',
    "a control in an extension": b"3;a\x0bb\r\nabc\r\n",
    "no line end after the chunk": b"3\r\nabc0\r\n\r\n",
    "a bare LF after the chunk": b"3\r\nabc\n0\r\n\r\n",
    "a bare CR after the chunk": b"3\r\nabc\r0\r\n\r\n",
    "more content than the size": b"3\r\nabcd\r\n0\r\n\r\n",
    "less content than the size": b"4\r\nabc\r\n0\r\n\r\n",
    "a line end too many": b"3\r\nabc\r\n\r\n0\r\n\r\n",
    "no last chunk but a request": b"3\r\nabc\r\n" + SECOND,
    "bare LF ends the trailers": b"0\r\n\n",
    "bare LF after the last chunk": b"0\n\r\n",
    "a bare CR ends the trailers": b"0\r\n\rX\r\n",
    "a request for a trailer": b"0\r\n" + SECOND,
    "a trailer without a colon": b"0\r\na\r\n\r\n",
    "a trailer without a name": b"0\r\n: a\r\n\r\n",
    "a trailer with a space before the colon": b"0\r\na : b\r\n\r\n",
    "a folded trailer": b"0\r\na: b\r\n c\r\n\r\n",
    "a folded first trailer": b"0\r\n a: b\r\n\r\n",
    "a bare LF in a trailer": b"0\r\na: b\nc: d\r\n\r\n",
    "a bare CR in a trailer": b"0\r\na: b\rc: d\r\n\r\n",
    "NUL in a trailer": b"0\r\na: \0\r\n\r\n",
    "a no-break space in a trailer's name": b"0\r\na\xa0: b\r\n\r\n",
}


@table("data", CHUNKS_BAD.values(), ids=CHUNKS_BAD)
def test_a_chunk_that_breaks_the_grammar_is_refused(data: bytes) -> None:
    check_refused(CHUNKED + data, 400)
    # Not the first chunk's alone.
    check_refused(CHUNKED + b"2\r\nab\r\n" + data, 400)


def test_a_request_after_a_broken_body_is_never_read() -> None:
    check_refused(CHUNKED + b"x\r\n" + SECOND, 400)
    check_refused(CHUNKED + b"0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", 400)


@table("cut", range(len(b"3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n")))
def test_a_chunked_body_that_is_cut_short_is_not_done(cut: int) -> None:
    for _, pieces in ways_to_feed(b"3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n"[:cut]):
        body = ChunkedBody(LIMITS)
        for piece in pieces:
            assert body.feed(piece)[1] == b""
        assert not body.done


# Trailers --------------------------------------------------------------------------------------------

TRAILERS = {
    "one": (b"a: b\r\n", (("a", "b"),)),
    "two of one name": (b"a: b\r\nA:c\r\n", (("a", "b"), ("A", "c"))),
    "empty": (b"a:\r\n", (("a", ""),)),
    "space around": (b"a: \t b\t \r\n", (("a", "b"),)),
    "octets above ASCII": (b"a: \xa0\x85\r\n", (("a", "\xa0\x85"),)),
    "fields that frame, which frame nothing here": (
        b"Content-Length: 5\r\nTransfer-Encoding: x\r\nHost: b\r\nConnection: close\r\n",
        (("Content-Length", "5"), ("Transfer-Encoding", "x"), ("Host", "b"), ("Connection", "close")),
    ),
}


@table(("data", "trailers"), TRAILERS.values(), ids=TRAILERS)
def test_trailers_are_kept_apart_from_the_fields_of_the_head(
    data: bytes, trailers: tuple[tuple[str, str], ...]
) -> None:
    fields = (("Host", "a"), ("Transfer-Encoding", "chunked"))
    check_accepted(
        CHUNKED + b"0\r\n" + data + b"\r\n", trailers=trailers, fields=fields, host="a", keep_alive=True
    )


# Limits, each at its value and one beyond --------------------------------------------------------------


def test_a_chunk_line_may_be_as_long_as_its_limit() -> None:
    at_limit = b"1;a=" + b"b" * (LIMITS.chunk_line - 4)
    check_accepted(CHUNKED + at_limit + b"\r\nc\r\n0\r\n\r\n", content=b"c")
    check_refused(CHUNKED + at_limit + b"b\r\nc\r\n0\r\n\r\n", 400)


def test_a_chunk_line_without_an_end_is_refused_as_soon_as_it_is_too_long() -> None:
    at_limit = b"1;a=" + b"b" * (LIMITS.chunk_line - 4)
    for _, pieces in ways_to_feed(at_limit + b"\r"):
        assert feed_all(pieces) == b""
    for _, pieces in ways_to_feed(at_limit + b"b"):
        with pytest.raises(BadRequest, match="chunk line too long"):
            feed_all(pieces)


def test_all_trailers_together_may_be_as_large_as_their_limit() -> None:
    for count in (1, 2, 7):
        size, spare = divmod(LIMITS.trailers, count)
        lines = [b"a: " + b"b" * (size - 5)] * (count - 1) + [b"a: " + b"b" * (size - 5 + spare)]
        section = b"\r\n".join(lines) + b"\r\n"
        assert len(section) == LIMITS.trailers
        check_accepted(CHUNKED + b"0\r\n" + section + b"\r\n")
        check_refused(CHUNKED + b"0\r\n" + section[:-2] + b"b\r\n\r\n", 400)


def test_a_trailer_without_an_end_is_refused_as_soon_as_it_is_too_long() -> None:
    for _, pieces in ways_to_feed(b"0\r\n" + b"a" * (LIMITS.trailers + 1)):
        with pytest.raises(BadRequest, match="trailer too long"):
            feed_all(pieces)


def test_there_may_be_as_many_trailers_as_fields() -> None:
    check_accepted(CHUNKED + b"0\r\n" + b"a:\r\n" * LIMITS.fields + b"\r\n")
    check_refused(CHUNKED + b"0\r\n" + b"a:\r\n" * (LIMITS.fields + 1) + b"\r\n", 400)


def test_chunks_together_may_hold_as_much_as_a_body_may() -> None:
    limits = replace(LIMITS, body=5)
    check_accepted(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", limits, content=b"abcde")
    check_refused(CHUNKED + b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 413, limits)


@table("size", [b"40000001", b"ffffffff", b"100000000", b"ffffffffffffffff", b"8000000000000000"])
def test_a_chunk_that_is_too_large_is_refused_before_its_content(size: bytes) -> None:
    check_refused(CHUNKED + size + b"\r\n", 413)


def test_a_body_limit_of_0_is_none_for_chunks() -> None:
    body = decode(b"ffffffffffffffff\r\nabc", replace(LIMITS, body=0))
    assert not body.done


def test_ordinary_chunks_of_any_size_are_never_too_much_framing() -> None:
    for chunk in (encode_chunk(b"a"), b"0001;a=b\r\nc\r\n", b"1;a=bcdefgh\r\nc\r\n"):
        assert len(feed_all([chunk] * 20000)) == 20000


def test_what_is_not_content_is_bounded_however_many_chunks_it_comes_with() -> None:
    for extension in (b"a" * 20, b"a" * 100, b"a" * 4000):
        chunk = b"1;%b\r\nb\r\n" % extension
        # 16 KB, and for each chunk of one octet 19 in all.
        enough = 16384 // (len(chunk) - 19) + 1
        assert feed_all([chunk] * (enough - 1))
        with pytest.raises(BadRequest, match="not content"):
            feed_all([chunk] * enough)


def test_content_earns_extensions_only_for_its_own_chunk() -> None:
    large, small = encode_chunk(b"a" * 100_000), b"1;%b\r\nb\r\n" % (b"a" * 2000)
    with pytest.raises(BadRequest, match="not content"):
        feed_all([large, *[small] * 9])
    assert feed_all([b"%x;%b\r\n" % (2000, b"a" * 4000) + b"b" * 2000 + b"\r\n"] * 100)


# What a decoder hands out ------------------------------------------------------------------------------


def test_content_comes_out_as_soon_as_it_is_in() -> None:
    body = ChunkedBody(LIMITS)
    assert body.feed(b"5\r\nab") == (b"ab", b"")
    assert body.feed(b"cde") == (b"cde", b"")
    assert body.feed(b"\r") == (b"", b"")
    assert body.feed(b"\n0\r") == (b"", b"")
    assert body.feed(b"\n\r") == (b"", b"")
    assert not body.done
    assert body.feed(b"\nGET") == (b"", b"GET")
    assert body.done


def test_content_that_came_before_a_fault_is_handed_out_before_it() -> None:
    body = ChunkedBody(LIMITS)
    assert b"".join(body.feed(piece)[0] for piece in octet_by_octet(b"3\r\nabc\r\n")) == b"abc"
    with pytest.raises(BadRequest):
        body.feed(b"x\r\n")


@table("size", [1, 9, 10, 15, 16, 255, 256, 65536])
def test_a_chunk_is_its_size_in_hexadecimal_and_its_content(size: int) -> None:
    chunk = encode_chunk(b"a" * size)
    assert chunk == hex(size)[2:].encode() + b"\r\n" + b"a" * size + b"\r\n"
    assert ChunkedBody(LIMITS).feed(chunk + LAST_CHUNK + b"b") == (b"a" * size, b"b")
