"""What holds for all input: cuts change nothing, what is encoded decodes, nothing unexpected is raised."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualwsgi.errors import ApplicationError, BadRequest
from dualwsgi.http11 import grammar
from dualwsgi.http11.body import LAST_CHUNK, ChunkedBody, encode_chunk
from dualwsgi.http11.head import Limits
from dualwsgi.http11.response import encode_fields, plan_response

from .wire import LIMITS, SECOND, Outcome, Reader, check_accepted, octet_by_octet, read_stream, request

# The same examples on every run: what the suite says must not depend on the day it is run.
steadily = settings(max_examples=50, deadline=None, derandomize=True, database=None)
widely = settings(max_examples=5_000, deadline=None, database=None)
LONG = [pytest.mark.soak, pytest.mark.timeout(600)]


def property_of(**strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test that holds a property to some examples, and in long runs to many others."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        def run(examples: settings) -> None:
            examples(given(**strategies)(test))()

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        budgets = [pytest.param(steadily, id="some"), pytest.param(widely, id="many", marks=LONG)]
        return pytest.mark.parametrize("examples", budgets)(run)

    return decorate


# Octets that come close to being requests.  Small limits, so that they are met.
SMALL = Limits(request_line=40, fields=6, field_size=40, head=150, body=40, chunk_line=20, trailers=40)
SCRAPS = [
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b": ",
        b";",
        b",",
        b"\0",
        b"\xff",
        b"\x85",
        b"\xa0",
    ),
    *(b"GET / HTTP/1.1\r\n", b"POST /a?b HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"OPTIONS * HTTP/1.1\r\n"),
    *(b"CONNECT a:1 HTTP/1.1\r\n", b"GET http://b/ HTTP/1.9\r\n", b"Host: a\r\n", b"Host: a\r\n\r\n"),
    *(b"Content-Length: 3\r\n", b"Content-Length: 3\r\n\r\nabc", b"Content-Length: 41\r\n", b"X: y\r\n"),
    *(b"Transfer-Encoding: chunked\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b" folded\r\n"),
    *(
        b"3\r\nabc\r\n",
        b'3;a="b"\r\nabc\r\n',
        b"0\r\n\r\n",
        b"0\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"fff\r\n",
        b"a" * 19,
    ),
    *(request(), SECOND, request("POST / HTTP/1.1", "Transfer-Encoding: chunked")),
]
scraps = st.one_of(st.sampled_from(SCRAPS), st.binary(max_size=3))
soup = st.one_of(
    st.lists(scraps, max_size=12).map(b"".join),
    # Behind a good head for a chunked body, so that scraps get into bodies as often as into heads.
    st.lists(scraps, max_size=8).map(lambda parts: SCRAPS[-1] + b"".join(parts)),
)
cuts = st.lists(st.integers(0, 200), max_size=8)

# What an unfinished head may be told of before later octets make another fault of it.
EARLY = {400, 414, 431}


def pieces_of(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


def agrees(whole: Outcome, cut: Outcome) -> None:
    assert cut.messages == whole.messages
    assert bool(cut.error) == bool(whole.error), f"whole {whole.error}, cut {cut.error}"
    if cut.status != whole.status:
        assert cut.status in EARLY, f"whole {whole.error}, cut {cut.error}"
    assert (cut.open, cut.rest) == (whole.open, whole.rest)


@property_of(data=soup, places=cuts)
def test_the_same_octets_make_the_same_messages_or_are_refused_however_they_are_cut(
    data: bytes, places: list[int]
) -> None:
    for limits in (LIMITS, SMALL):
        whole = read_stream([data], limits)
        agrees(whole, read_stream(pieces_of(data, places), limits))
        agrees(whole, read_stream(octet_by_octet(data), limits))


@property_of(data=st.binary(max_size=300))
def test_octets_at_random_are_refused_or_waited_for_and_raise_nothing_else(data: bytes) -> None:
    read_stream([data])
    read_stream([data], SMALL)


@property_of(start=soup, more=soup)
def test_what_comes_later_changes_nothing_of_what_was_read(start: bytes, more: bytes) -> None:
    before, after = read_stream([start]), read_stream([start, more])
    assert after.messages[: len(before.messages)] == before.messages
    if before.error:
        assert after == before


@property_of(data=soup)
def test_no_more_comes_out_of_a_stream_than_went_in(data: bytes) -> None:
    reader = Reader()
    fed = 0
    try:
        for piece in octet_by_octet(data):
            fed += len(piece)
            reader.feed(piece)
            assert reader.content_out <= fed
    except BadRequest:
        pass
    for message in reader.messages:
        told = [message.method, message.target, *(part for field in message.fields for part in field)]
        assert sum(map(len, told)) + len(message.content) < fed


# Heads that are good -----------------------------------------------------------------------------------

token = st.text(alphabet=string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12)
visible = st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f")
inner = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
value = st.one_of(st.just(""), visible, st.tuples(visible, st.text(inner, max_size=12), visible).map("".join))
name = token.filter(lambda text: grammar.TOKEN.fullmatch(text) and text.lower() not in FRAMING)
FRAMING = {"host", "content-length", "transfer-encoding", "connection", "expect", "content-type"}
space = st.text(alphabet=" \t", max_size=3)
path = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#?"), max_size=12)
query = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=12)


@property_of(
    method=token.filter(lambda text: text != "CONNECT"),
    path=path,
    query=query,
    fields=st.lists(st.tuples(name, space, value, space), max_size=6),
    content=st.binary(max_size=20),
)
def test_a_good_request_is_read_as_it_was_written(
    method: str, path: str, query: str, fields: list[tuple[str, str, str, str]], content: bytes
) -> None:
    lines = [f"{name}:{before}{value}{after}" for name, before, value, after in fields]
    data = request(
        f"{method} /{path}?{query} HTTP/1.1", *lines, f"Content-Length: {len(content)}", body=content
    )
    written = [(name, value) for name, _, value, _ in fields]
    check_accepted(
        data,
        **{"method": method, "path": f"/{path}", "query": query, "content": content, "length": len(content)},
        fields=(("Host", "a"), *written, ("Content-Length", str(len(content)))),
    )


# Bodies that are good ----------------------------------------------------------------------------------

quoted = st.text(inner, max_size=8).map(lambda text: '"' + re.sub(r'(["\\])', r"\\\1", text) + '"')
extension = st.tuples(
    space, space, token, st.one_of(st.none(), st.tuples(space, space, st.one_of(token, quoted)))
)


def written_extension(parts: tuple[str, str, str, tuple[str, str, str] | None]) -> str:
    before, after, key, given = parts
    return f"{before};{after}{key}" + ("" if given is None else f"{given[0]}={given[1]}{given[2]}")


chunk = st.tuples(st.binary(min_size=1, max_size=40), st.lists(extension.map(written_extension), max_size=2))


@property_of(
    chunks=st.lists(chunk, max_size=6),
    trailers=st.lists(st.tuples(token, value), max_size=4),
    rest=st.binary(max_size=8),
    places=cuts,
)
def test_chunks_with_all_that_may_stand_around_them_decode_to_their_content(
    chunks: list[tuple[bytes, list[str]]], trailers: list[tuple[str, str]], rest: bytes, places: list[int]
) -> None:
    wire = b""
    for data, extensions in chunks:
        wire += b"%x%b\r\n%b\r\n" % (len(data), "".join(extensions).encode("latin-1"), data)
    wire += b"0\r\n" + b"".join(f"{key}: {text}\r\n".encode("latin-1") for key, text in trailers) + b"\r\n"
    body = ChunkedBody(LIMITS)
    out = [body.feed(piece)[0] for piece in pieces_of(wire, places)]
    assert body.done
    assert b"".join(out) == b"".join(data for data, _ in chunks)
    assert body.trailers == trailers
    assert body.feed(rest) == (b"", rest)
    assert ChunkedBody(LIMITS).feed(wire + rest) == (b"".join(out), rest)


@property_of(pieces=st.lists(st.binary(min_size=1, max_size=100), max_size=8), rest=st.binary(max_size=8))
def test_what_is_sent_in_chunks_is_read_from_them(pieces: list[bytes], rest: bytes) -> None:
    wire = b"".join(map(encode_chunk, pieces)) + LAST_CHUNK
    assert ChunkedBody(LIMITS).feed(wire + rest) == (b"".join(pieces), rest)


# Responses ---------------------------------------------------------------------------------------------

anything = st.one_of(st.text(max_size=12), token, value, st.none(), st.binary(max_size=4), st.integers())
LINE = re.compile(rb"[^\r\n\0]+\r\n")


@property_of(
    status=st.one_of(anything, value.map("200 {}".format)),
    headers=st.lists(st.tuples(anything, anything), max_size=4),
)
def test_what_an_application_asks_for_is_refused_or_is_so_many_lines(
    status: Any, headers: list[tuple[Any, Any]]
) -> None:
    try:
        plan = plan_response(status, headers)
    except ApplicationError:
        pass
    else:
        left_out = sum(name.lower() in ("content-length", "connection") for name, _ in headers)
        assert re.fullmatch(rb"(?:[^\r\n\0]+\r\n)*", plan.head)
        assert len(LINE.findall(plan.head)) == 1 + len(headers) - left_out
    try:
        lines = encode_fields(headers)
    except ApplicationError:
        pass
    else:
        assert re.fullmatch(rb"(?:[^\r\n\0]+\r\n)*", lines)
        assert len(LINE.findall(lines)) == len(headers)
