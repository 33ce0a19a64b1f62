"""Responses: RFC 9110 sections 6 to 15 and RFC 9112 sections 4, 6 and 9, from the sender's side."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from table import table

from dualwsgi.errors import ApplicationError
from dualwsgi.http11.body import LAST_CHUNK, encode_chunk
from dualwsgi.http11.grammar import HOP_BY_HOP
from dualwsgi.http11.response import (
    CONTINUE,
    REASONS,
    Frame,
    Framing,
    encode_fields,
    encode_interim,
    frame,
    plan_response,
    server_answer,
)

NONE, SIZED, CHUNKED, CLOSE, RAW = Framing.NONE, Framing.SIZED, Framing.CHUNKED, Framing.CLOSE, Framing.RAW

# The head that an application asks for ---------------------------------------------------------------

STATUSES_GOOD = {
    "200 OK": b"HTTP/1.1 200 OK\r\n",
    "200": b"HTTP/1.1 200 \r\n",
    "200 ": b"HTTP/1.1 200 \r\n",
    "299 ": b"HTTP/1.1 299 \r\n",
    "404 Not  Found\tHere": b"HTTP/1.1 404 Not  Found\tHere\r\n",
    "500 \xc9chec": b"HTTP/1.1 500 \xc9chec\r\n",
    "599 Last": b"HTTP/1.1 599 Last\r\n",
}
STATUSES_BAD: list[Any] = [
    *("", " ", "2", "20", "2000", "2000 OK", "200OK", " 200 OK", "OK", "0 OK", "099 OK", "600 OK", "999 OK"),
    *("-20 OK", "+20 OK", "2_0 OK", "\xb2\xb2\xb2 OK", "٢٠٠ OK", "200\tOK", "200\xa0OK", "200-OK"),
    *(
        "200 O\rK",
        "200 O\nK",
        "200 OK\r\n",
        "200 OK\n",
        "200 O\r\nX: y",
        "200 O\0K",
        "200 O\x7fK",
        "200 O\x0bK",
    ),
    *("200 €", "200 \u2028", "200 \ud800", b"200 OK", 200, None, ("200 OK",)),
]


@table(("status", "line"), STATUSES_GOOD.items())
def test_a_status_is_three_digits_and_a_reason(status: str, line: bytes) -> None:
    plan = plan_response(status, [])
    assert plan.head == line
    assert plan.code == int(status[:3])
    assert plan.status == status


@table("status", STATUSES_BAD, ids=ascii)
def test_a_status_that_is_none_is_refused(status: Any) -> None:
    with pytest.raises(ApplicationError, match="status"):
        plan_response(status, [])


@table("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 X", "101 Switching"])
def test_an_interim_status_ends_no_request(status: str) -> None:
    with pytest.raises(ApplicationError, match="final"):
        plan_response(status, [("Content-Length", "0")])


FIELDS_GOOD = {
    ("X", "y"): b"X: y\r\n",
    ("X", ""): b"X: \r\n",
    ("x-Y_z", "a: b\tc"): b"x-Y_z: a: b\tc\r\n",
    ("X", "caf\xe9\xff\x80"): b"X: caf\xe9\xff\x80\r\n",
    ("!#$%&'*+-.^_`|~aZ09", "y"): b"!#$%&'*+-.^_`|~aZ09: y\r\n",
}
FIELDS_BAD: list[Any] = [
    *(
        ("", "y"),
        ("X:", "y"),
        (" X", "y"),
        ("X ", "y"),
        ("X Y", "y"),
        ("X\t", "y"),
        ("(X)", "y"),
        ("X/Y", "y"),
    ),
    *(("X\r\nY", "y"), ("X\n", "y"), ("X\0", "y"), ("X\xe9", "y"), ("X€", "y"), ("Kelvin\u212a", "y")),
    *(
        ("X", "y\r\nZ: z"),
        ("X", "y\n"),
        ("X", "y\r"),
        ("X", "\ny"),
        ("X", "y\n z"),
        ("X", "y\r\n\tz"),
        ("X", "\0"),
    ),
    *(("X", "y\x0b"), ("X", "y\x1b[0m"), ("X", "y\x7f"), ("X", "€"), ("X", "y\u2028"), ("X", "\ud800")),
    *((b"X", "y"), ("X", b"y"), ("X", 1), ("X", None), (1, "y"), (None, "y")),
    *(("X",), ("X", "y", "z"), (), "X", "X: y", None, 1),
]


@table(("field", "line"), FIELDS_GOOD.items())
def test_a_field_is_sent_as_the_application_spells_it(field: tuple[str, str], line: bytes) -> None:
    head = plan_response("200 OK", [("A", "b"), field, ("C", "d")]).head
    assert head == b"HTTP/1.1 200 OK\r\nA: b\r\n" + line + b"C: d\r\n"
    assert encode_fields([("A", "b"), field]) == b"A: b\r\n" + line


@table("field", FIELDS_BAD, ids=ascii)
def test_a_field_that_is_none_is_refused_and_nothing_is_injected(field: Any) -> None:
    for headers in ([field], [("A", "b"), field], [field, ("Content-Length", "0")]):
        with pytest.raises(ApplicationError):
            plan_response("200 OK", headers)
        with pytest.raises(ApplicationError):
            encode_fields(headers)


@table("octet", [*range(9), *range(10, 32), 127])
def test_no_control_reaches_the_wire(octet: int) -> None:
    control = chr(octet)
    for status, field in [
        (f"200 {control}", ("X", "y")),
        ("200", (f"X{control}", "y")),
        ("200", ("X", control)),
    ]:
        with pytest.raises(ApplicationError):
            plan_response(status, [field])


@table("name", [*sorted(HOP_BY_HOP), "TRANSFER-ENCODING", "Keep-alive"])
def test_a_hop_by_hop_field_is_the_servers_alone(name: str) -> None:
    for value in ("close", "chunked", ""):
        with pytest.raises(ApplicationError, match="hop-by-hop"):
            plan_response("200 OK", [(name, value)])
        with pytest.raises(ApplicationError, match="hop-by-hop"):
            encode_fields([(name, value)])


@table("value", ["", "x", "-1", "+1", "1,1", "1, 1", "1 ", " 1", "0x1", "1_0", "\xb2", "1.0", "9" * 19])
def test_a_content_length_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ApplicationError, match="Content-Length"):
        plan_response("200 OK", [("Content-Length", value)])


def test_a_second_content_length_is_refused_even_if_it_says_the_same() -> None:
    with pytest.raises(ApplicationError, match="Content-Length"):
        plan_response("200 OK", [("Content-Length", "1"), ("content-length", "1")])


def test_the_content_length_is_left_to_the_framing() -> None:
    plan = plan_response("200 OK", [("content-LENGTH", "007"), ("X", "y")])
    assert plan.length == 7
    assert b"length" not in plan.head.lower()


# RFC 9112 section 4: the space after the code stands there even if no reason does.
INTERIM_GOOD = {
    "102 Processing": b"HTTP/1.1 102 Processing\r\n",
    "103 ": b"HTTP/1.1 103 \r\n",
    "103": b"HTTP/1.1 103 \r\n",
    "199 \xe9": b"HTTP/1.1 199 \xe9\r\n",
}
INTERIM_BAD = [
    "100 Continue",
    "101 X",
    "200 OK",
    "99 X",
    "1030 X",
    "103X",
    "103\tX",
    "103 X\r\n",
    "103 \u20ac",
]


@table(("status", "line"), INTERIM_GOOD.items())
def test_an_interim_response_is_a_status_line_and_its_fields(status: str, line: bytes) -> None:
    assert encode_interim(status, []) == line + b"\r\n"
    assert encode_interim(status, [("X", "y"), ("X", "z")]) == line + b"X: y\r\nX: z\r\n\r\n"


@table("status", [*INTERIM_BAD, "", b"103 X", 103, None], ids=ascii)
def test_what_is_no_interim_status_is_refused(status: Any) -> None:
    with pytest.raises(ApplicationError, match="102 to 199"):
        encode_interim(status, [])


def test_an_interim_response_speaks_of_no_content() -> None:
    with pytest.raises(ApplicationError, match="Content-Length"):
        encode_fields([("content-length", "0")])


def test_what_the_application_says_of_date_and_server_stands() -> None:
    plan = plan_response("200 OK", [("dAtE", "now"), ("sErVeR", "mine")], b"Server: ours\r\n")
    assert plan.has_date
    assert plan.head == b"HTTP/1.1 200 OK\r\ndAtE: now\r\nsErVeR: mine\r\n"
    plan = plan_response("200 OK", [], b"Server: ours\r\n")
    assert not plan.has_date
    assert plan.head == b"HTTP/1.1 200 OK\r\nServer: ours\r\n"


def test_repeated_fields_stay_apart_and_in_order() -> None:
    head = plan_response("200 OK", [("Set-Cookie", "a"), ("X", "y"), ("Set-Cookie", "b")]).head
    assert head.endswith(b"Set-Cookie: a\r\nX: y\r\nSet-Cookie: b\r\n")


def test_a_switch_of_protocols_names_the_new_one_and_says_so_once() -> None:
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Content-Length", "0"), ("X", "y")]
    for given in (headers, [headers[0], headers[3]]):
        plan = plan_response("101 Switching Protocols", given)
        assert plan.upgrade
        assert plan.head == b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: y\r\n"
        decided = frame(plan, method="GET", http_11=True, keep_alive=True, length=None)
        assert decided == Frame(b"Connection: Upgrade\r\n", RAW, None, False)


def test_a_426_says_which_protocol_it_wants_and_ends_as_any_other() -> None:
    for given in ([("Upgrade", "x")], [("Connection", "upgrade"), ("Upgrade", "x")]):
        plan = plan_response("426 Upgrade Required", [*given, ("X", "y")])
        assert not plan.upgrade
        assert plan.head == b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nX: y\r\nConnection: Upgrade\r\n"
        decided = frame(plan, method="GET", http_11=True, keep_alive=True, length=2)
        assert decided == Frame(b"Content-Length: 2\r\n", SIZED, 2, True)
    assert b"Connection" not in plan_response("426 Upgrade Required", []).head
    for name, value in [("Connection", "close"), ("Transfer-Encoding", "chunked"), ("Keep-Alive", "max=1")]:
        with pytest.raises(ApplicationError, match="hop-by-hop"):
            plan_response("426 Upgrade Required", [("Upgrade", "x"), (name, value)])


# Framing -------------------------------------------------------------------------------------------

# (method, status, Content-Length of the application, length known): framing, Content-Length sent.
# Without a framing of its own a response is CHUNKED in HTTP/1.1 and CLOSE in HTTP/1.0.
FRAMES: dict[tuple[str, int, int | None, int | None], tuple[Framing, int | None]] = {
    ("GET", 200, None, None): (CHUNKED, None),
    ("GET", 200, None, 0): (SIZED, 0),
    ("GET", 200, None, 5): (SIZED, 5),
    ("GET", 200, 5, None): (SIZED, 5),
    ("GET", 200, 0, None): (SIZED, 0),
    ("GET", 200, 5, 3): (SIZED, 5),
    ("POST", 404, None, None): (CHUNKED, None),
    ("POST", 500, None, 5): (SIZED, 5),
    # RFC 9110 section 9.3.2, and 8.6: only what GET would get may be claimed.
    ("HEAD", 200, None, None): (NONE, None),
    ("HEAD", 200, None, 0): (NONE, None),
    ("HEAD", 200, None, 5): (NONE, 5),
    ("HEAD", 200, 5, None): (NONE, 5),
    ("HEAD", 200, 5, 0): (NONE, 5),
    ("HEAD", 200, 0, 0): (NONE, 0),
    ("HEAD", 404, 5, 5): (NONE, 5),
    # RFC 9110 section 8.6: no Content-Length in a 204, and in a 304 that of a 200.
    ("GET", 204, None, None): (NONE, None),
    ("GET", 204, None, 5): (NONE, None),
    ("GET", 204, 5, 5): (NONE, None),
    ("GET", 204, 0, 0): (NONE, None),
    ("HEAD", 204, 5, None): (NONE, None),
    ("GET", 304, None, None): (NONE, None),
    ("GET", 304, None, 5): (NONE, None),
    ("GET", 304, 5, 0): (NONE, 5),
    ("HEAD", 304, 5, None): (NONE, 5),
    # RFC 9110 section 15.3.6: no content, but framed as such.
    ("GET", 205, None, None): (NONE, 0),
    ("POST", 205, None, 5): (NONE, 0),
    ("POST", 205, 5, 5): (NONE, 0),
    # RFC 9110 section 9.3.6: after a 2xx a tunnel, else an ordinary response.
    ("CONNECT", 200, None, None): (RAW, None),
    ("CONNECT", 200, 5, 5): (RAW, None),
    ("CONNECT", 204, None, None): (RAW, None),
    ("CONNECT", 299, None, 0): (RAW, None),
    ("CONNECT", 300, None, None): (CHUNKED, None),
    ("CONNECT", 403, None, 5): (SIZED, 5),
    # RFC 9110 section 9.1: methods are case-sensitive.
    ("head", 200, None, 5): (SIZED, 5),
    ("connect", 200, None, 5): (SIZED, 5),
}


def status_and_fields(code: int, declared: int | None) -> tuple[str, list[tuple[str, str]]]:
    return f"{code} X", [("Content-Length", str(declared))] if declared is not None else []


@pytest.mark.parametrize("http_11", [True, False], ids=["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("keep", [True, False], ids=["keep-alive", "close"])
@table(("case", "expected"), FRAMES.items(), ids=[repr(case) for case in FRAMES])
def test_the_end_of_a_response_can_be_told(
    case: tuple[str, int, int | None, int | None],
    expected: tuple[Framing, int | None],
    keep: bool,
    http_11: bool,
) -> None:
    method, code, declared, known = case
    framing, length = expected
    if framing is CHUNKED and not http_11:
        framing = CLOSE
    kept = keep and framing not in (CLOSE, RAW)
    decided = frame(
        plan_response(*status_and_fields(code, declared)),
        **{"method": method, "http_11": http_11, "keep_alive": keep, "length": known},
    )
    lines = b"" if length is None else b"Content-Length: %d\r\n" % length
    if framing is CHUNKED:
        lines = b"Transfer-Encoding: chunked\r\n"
    if framing is not RAW and not kept:
        lines += b"Connection: close\r\n"
    elif framing is not RAW and not http_11:
        lines += b"Connection: keep-alive\r\n"
    assert (decided.framing, decided.keep_alive, decided.lines) == (framing, kept, lines)
    if framing is SIZED:
        assert decided.length == length


# After the head of a tunnel h11 leaves all to its caller.
UNTUNNELLED = [case for case, (framing, _) in FRAMES.items() if framing is not RAW]


@table("case", UNTUNNELLED, ids=repr)
def test_a_client_reads_the_response_that_was_meant(case: tuple[str, int, int | None, int | None]) -> None:
    method, code, declared, known = case
    plan = plan_response(*status_and_fields(code, declared))
    decided = frame(plan, method=method, http_11=True, keep_alive=True, length=known)
    size = declared if declared is not None else known if known is not None else 7
    content = b"a" * size
    wire = plan.head + decided.lines + b"\r\n"
    wire += {SIZED: content, CHUNKED: encode_chunk(content or b"b") + LAST_CHUNK}.get(decided.framing, b"")

    client = h11.Connection(h11.CLIENT)
    target = "a:1" if method == "CONNECT" else "/"
    client.send(h11.Request(method=method, target=target, headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == code
    got = bytearray()
    while isinstance(event := client.next_event(), h11.Data):
        got += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert bytes(got) == (content if decided.framing in (SIZED, CHUNKED) else b"")
    assert client.their_state is h11.DONE, "the connection can carry another response"
    assert client.trailing_data[0] == b"", "no octet is left for it to start with"


# Answers of the server's own ---------------------------------------------------------------------------


@table("code", REASONS)
@pytest.mark.parametrize("content", [True, False], ids=["with content", "for HEAD"])
def test_an_answer_of_the_servers_own_is_a_whole_response(code: int, content: bool) -> None:
    octets = server_answer(
        code, "why: ça", b"Date: now\r\n", server_field=b"Server: s\r\n", fields=b"X: y\r\n", content=content
    )
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET" if content else "HEAD", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(octets)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == code
    body = f"{code} {REASONS[code]}: why: ça\n".encode()
    assert dict(response.headers) == {
        b"server": b"s",
        b"date": b"now",
        b"x": b"y",
        b"content-type": b"text/plain; charset=utf-8",
        b"content-length": str(len(body)).encode(),
        b"connection": b"close",
    }
    if content:
        assert client.next_event() == h11.Data(data=body)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    assert client.their_state is h11.MUST_CLOSE


def test_100_continue_is_bare() -> None:
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"
