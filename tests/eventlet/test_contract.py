"""What eventlet's server does and its users rely on, and where this one is stricter; on both backends.

Its own tests check the rest; the parts of this file are named as those of the contract.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from annexe import Annexe
from serving import Served
from table import table
from wire import CHUNKED, CLOSE, EXPECT, Client, chunked, eventually, request

# The environ


def environ_of(annexe: Annexe, octets: bytes, **options: object) -> dict[str, str]:
    text = annexe.serve("environ", **options).ask(octets).body.decode("latin-1")
    return dict(line.split("=", 1) for line in text.split("\n"))


def test_the_environ_is_eventlets(annexe: Annexe) -> None:
    octets = request(
        "POST",
        "/a%20b?c=d",
        "X-Any: one",
        "x-any: two",
        "Cookie: a=1",
        "Cookie: b=2",
        "X_Bad: no",
        body=b"xy",
    )
    of_all = {"mine": 1, "wsgi.multithread": False, "REQUEST_METHOD": "NONE"}
    environ = environ_of(annexe, octets, environ=of_all)
    expected = {
        "REQUEST_METHOD": "'POST'",
        "SCRIPT_NAME": "''",
        "RAW_PATH_INFO": "'/a%20b'",
        "PATH_INFO": "'/a b'",
        "QUERY_STRING": "'c=d'",
        "CONTENT_TYPE": "'text/plain'",
        "CONTENT_LENGTH": "'2'",
        "SERVER_PROTOCOL": "'HTTP/1.0'",
        "SERVER_NAME": "'127.0.0.1'",
        "REMOTE_ADDR": "'127.0.0.1'",
        "GATEWAY_INTERFACE": "'CGI/1.1'",
        "HTTP_X_ANY": "'one,two'",
        "HTTP_COOKIE": "'a=1,b=2'",
        "wsgi.version": "(1, 0)",
        "wsgi.url_scheme": "'http'",
        "wsgi.multithread": "False",
        "wsgi.multiprocess": "False",
        "wsgi.run_once": "False",
        "mine": "1",
        "eventlet.posthooks": "[]",
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert "('x-any', 'two')" in environ["headers_raw"] and "('X_Bad', 'no')" in environ["headers_raw"]
    assert not {"HTTP_X_BAD", "HTTP_CONTENT_LENGTH", "wsgi.file_wrapper", "wsgi.input_terminated"} & {
        *environ
    }
    assert environ["wsgi.input"] == environ["eventlet.input"]
    assert "<stderr>" in environ["wsgi.errors"]
    assert all(re.fullmatch(r"'\d+'", environ[key]) for key in ("SERVER_PORT", "REMOTE_PORT"))


def test_no_query_is_no_key_and_a_type_is_the_clients(annexe: Annexe) -> None:
    environ = environ_of(annexe, request("GET", "/", "Content-Type: a/b"))
    assert "QUERY_STRING" not in environ and environ["CONTENT_TYPE"] == "'a/b'"


@table(
    ("line", "method", "raw", "path"),
    [
        ("GET //a%2fb HTTP/1.1", "GET", "/a%2fb", "/a/b"),
        ("GET http://other/a?b HTTP/1.1", "GET", "http://other/a", "http://other/a"),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", "*"),
        ("FROB /%C3%A9 HTTP/1.1", "FROB", "/%C3%A9", "/\xc3\xa9"),
        ("GET / HTTP/1.2", "GET", "/", "/"),
        ("\r\nGET / HTTP/1.1", "GET", "/", "/"),
    ],
)
def test_targets_reach_the_application_as_they_are(
    annexe: Annexe, line: str, method: str, raw: str, path: str
) -> None:
    environ = environ_of(annexe, f"{line}\r\nHost: test\r\n\r\n".encode())
    found = [environ[key] for key in ("REQUEST_METHOD", "RAW_PATH_INFO", "PATH_INFO")]
    assert found == [repr(method), repr(raw), repr(path)]


@pytest.mark.parametrize(
    "octets",
    [
        request(host=None),
        request("POST", "/", CHUNKED, version="1.0") + chunked(b"abc"),
    ],
    ids=["no Host", "chunks in HTTP/1.0"],
)
def test_what_old_clients_send_is_taken(annexe: Annexe, octets: bytes) -> None:
    assert annexe.serve("reads").ask(octets).status == 200


def test_values_lose_spaces_and_tabs_at_their_ends_and_nothing_else(annexe: Annexe) -> None:
    octets = request("GET", "/", "A:  b  c\t", "D: \xc2\xa0", "E: \xe2\x88\x85")
    environ = environ_of(annexe, octets)
    assert [environ[key] for key in ("HTTP_A", "HTTP_D", "HTTP_E")] == [
        repr(value) for value in ("b  c", "\xc2\xa0", "\xe2\x88\x85")
    ]


# Input


def test_reading_by_lines_and_in_one_piece(annexe: Annexe) -> None:
    body = b"one\ntwo\nthree\nfour"
    for octets in (request("POST", body=body), request("POST", "/", CHUNKED) + chunked(body[:5], body[5:])):
        assert (
            annexe.serve("by_lines").ask(octets).body
            == repr([b"one\n", b"two", [b"\n", b"three\n", b"four"], b""]).encode()
        )
        assert annexe.serve("by_iteration").ask(octets).body == repr([body]).encode()


@pytest.mark.parametrize("app", ["reads_part", "reads_nothing"])
def test_what_is_left_unread_is_passed_over(annexe: Annexe, app: str) -> None:
    trap = b"GET /trap HTTP/1.1\r\nHost: x\r\n\r\n"
    with annexe.serve(app).client() as client:
        for _ in range(2):
            client.send(request("POST", body=trap))
            assert client.response().status == 200
            client.send(request("POST", "/", CHUNKED), chunked(trap, trap))
            assert client.response().status == 200
        assert client.silent(0.05)


@table(
    ("body", "names"),
    [
        (b"3;a=b;\0\r\nabc\r\n0\r\n\r\n", None),
        (chunked(b"abc", trailer=b"X-Trailer: 1\r\nTransfer-Encoding: x\r\n"), None),
        (b"cats\r\nabc\r\n0\r\n\r\n", ["ChunkReadError", "ValueError", "OSError"]),
        (b"0x3\r\nabc\r\n0\r\n\r\n", ["ChunkReadError", "ValueError", "OSError"]),
        (b"-1\r\nabc\r\n0\r\n\r\n", ["ChunkReadError", "ValueError", "OSError"]),
        (b"3\r\nabcd\r\n0\r\n\r\n", ["ChunkReadError", "ValueError", "OSError"]),
        (b"5\r\nab", ["ChunkReadError", "ValueError", "OSError"]),
        (b"2\r\nab\r\n", ["ChunkReadError", "ValueError", "OSError"]),
        (b"2\r\nab", ["ChunkReadError", "ValueError", "OSError"]),
    ],
)
def test_a_chunked_body_is_read_whole_or_raises(annexe: Annexe, body: bytes, names: list[str] | None) -> None:
    with annexe.serve("reads").client() as client:
        client.send(request("POST", "/", CHUNKED) + body)
        if names:
            client.half_close()
        said = client.response().body.decode()
        if names is None:
            assert said == repr(b"abc")
            assert client.send(request()).response().body == repr(b"").encode()
        else:
            assert [name for name in names if name not in said.split()] == []
            assert client.ending() in ("eof", "reset")


@table(
    ("octets", "said"),
    [
        (request(), [None, False, False, 0, b"", 0, b"", False]),
        (request("POST", body=b"abcde"), [5, False, False, 0, b"ab", 2, b"", False]),
        (request("POST", "/", EXPECT, body=b"abcde"), [5, False, True, 0, b"ab", 2, b"", False]),
        (
            request("POST", "/", CHUNKED) + chunked(b"abc", b"de"),
            [None, True, False, 0, b"ab", 2, b"", False],
        ),
    ],
    ids=["no body", "sized", "sized, with Expect", "chunked"],
)
def test_what_the_input_tells_and_discards(annexe: Annexe, octets: bytes, said: list[object]) -> None:
    with annexe.serve("inspects").client() as client:
        for _ in range(2):
            assert client.send(octets).response().body == repr(said).encode()


def test_lines_are_read_up_to_a_hint(annexe: Annexe) -> None:
    octets = request("POST", body=b"one\ntwo\nthree\n")
    assert annexe.serve("by_some_lines").ask(octets).body == repr([b"one\n", b"two\n"]).encode()


def test_a_response_that_has_begun_is_followed_by_no_100(annexe: Annexe) -> None:
    with annexe.serve("eager").client() as client:
        client.send(request("PUT", "/", CHUNKED, EXPECT, CLOSE))
        begun = b""
        while not begun.endswith(b"1\r\n \r\n"):
            begun += client.exactly(1)
        assert begun.startswith(b"HTTP/1.1 202 Accepted\r\n")
        assert client.send(chunked(b"abc")).until_end() == b"3\r\nabc\r\n0\r\n\r\n"


def test_a_client_of_http_10_that_expects_100_gets_it(annexe: Annexe) -> None:
    with annexe.serve("reads").client() as client:
        client.send(request("PUT", "/", EXPECT, "Content-Length: 3", version="1.0"))
        assert client.interim().status == 100
        assert client.send(b"abc").response().body == repr(b"abc").encode()


@pytest.mark.parametrize(
    ("body", "what"), [(b"zz\r\nabc", "chunked encoding error"), (b"20\r\nnot 32 octets", "I/O error")]
)
def test_a_body_that_breaks_while_it_is_discarded_is_logged_and_hooks_run(
    annexe: Annexe, body: bytes, what: str
) -> None:
    server = annexe.serve("replaces_hooks")
    with server.client() as client:
        client.send(request("PUT", "/some", CHUNKED) + body).half_close()
        assert client.response().body == b"ok"
        assert client.ending() in ("eof", "reset")
    line = f'{what} while discarding request body. client=127.0.0.1 request="PUT /some HTTP/1.1" error="'
    assert line in server.logs('" 200 ')
    assert annexe.notes() == ["hook"]


def test_an_answer_to_expect_without_reading_says_close(annexe: Annexe) -> None:
    with annexe.serve("reads_nothing").client() as client:
        answer = client.send(request("PUT", "/", EXPECT, "Content-Length: 9")).response()
        assert answer["Connection"] == "close" and not answer.interim
        assert client.ending() == "eof"


def test_pipelined_requests_are_answered_in_turn(annexe: Annexe) -> None:
    with annexe.serve("echo").client() as client:
        client.send(b"".join(request("POST", body=b"%d" % number) for number in range(5)))
        assert [answer.body for answer in client.responses(5)] == [b"%d" % number for number in range(5)]


def test_a_body_cut_short_is_an_error_and_no_whole(annexe: Annexe) -> None:
    for octets in (
        request("POST", "/", "Content-Length: 9") + b"abc",
        request("POST", "/", CHUNKED) + b"5\r\nab",
    ):
        with annexe.serve("echo").client() as client:
            assert client.send(octets).half_close().response().status == 400


# Responses


def names(octets: bytes) -> list[bytes]:
    return [line.partition(b":")[0] for line in octets.partition(b"\r\n\r\n")[0].split(b"\r\n")]


def test_names_are_capitalised_unless_that_is_off(annexe: Annexe) -> None:
    with annexe.serve("odd_headers").client() as client:
        found = names(client.send(request("GET", "/", CLOSE)).until_end())
    assert found[:4] == [b"HTTP/1.1 200 oK", b"X-Weird", b"With-\xdf", b"Etag"]
    assert found[4:] == [b"Content-Length", b"Date", b"Connection"]
    with annexe.serve("odd_headers", capitalize_response_headers=False).client() as client:
        found = names(client.send(request("GET", "/", CLOSE)).until_end())
    assert found[1:4] == [b"x-wEIRd", b"wiTH-\xdf", b"etag"]


def test_small_pieces_are_gathered(annexe: Annexe) -> None:
    server = annexe.serve("in_pieces")
    assert server.ask().chunks == [6000, 10]
    assert server.ask(request("GET", "/?1")).chunks == [3000, 3000, 10]
    assert annexe.serve("in_pieces", minimum_chunk_size=10000).ask().chunks == [6010]


def test_write_is_never_gathered(annexe: Annexe) -> None:
    assert annexe.serve("by_writes").ask().chunks == [3, 3, 5]


def test_start_response_may_be_called_again_before_the_head_is_out(annexe: Annexe) -> None:
    assert annexe.serve("answers_twice").ask().line == "HTTP/1.1 202 Accepted"


def test_the_iterable_is_closed(annexe: Annexe) -> None:
    assert annexe.serve("closes").ask().body == b"data"
    assert eventually(annexe.notes) == ["closed"]


@table("method", ["GET", "HEAD"])
@table("status", ["204 No", "304 Not", "205 Reset"])
def test_content_that_may_not_be_is_not_sent(annexe: Annexe, status: str, method: str) -> None:
    with annexe.serve("with_body").client() as client:
        for _ in range(2):
            answer = client.send(request(method, "/" + status.replace(" ", "+"))).response(method)
            assert answer.line == f"HTTP/1.1 {status}" and not answer.body


def test_head_gets_no_content_and_the_connection_stays_in_step(annexe: Annexe) -> None:
    with annexe.serve("hello_world").client() as client:
        for _ in range(2):
            assert client.send(request("HEAD")).response("HEAD").status == 200
        assert client.send(request()).response().body == b"Hello, World!\r\n"


def test_too_much_is_cut_and_too_little_ends_the_connection(annexe: Annexe) -> None:
    server = annexe.serve("wrong_length")
    with server.client() as client:
        assert client.send(request("GET", "/3")).response().body == b"123"
        assert client.send(request("GET", "/5")).response().body == b"12345"
        client.send(request("GET", "/9"))
        assert client.until_end().endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize("app", ["injects", "not_latin"])
def test_nothing_is_injected_into_a_head(annexe: Annexe, app: str) -> None:
    server = annexe.serve(app, debug=False)
    answer = server.ask()
    assert answer.status == 500 and "X-Injected" not in answer and not answer.body
    assert "Traceback" in server.log


@table(
    ("path", "status", "framing", "body"),
    [
        ("/bytes", 500, "sized", None),
        ("/no-bytes", 200, "sized", b""),
        ("/text", 200, "sized", b"ab"),
        ("/no-ascii", 500, "sized", None),
        ("/empty", 200, "sized", b""),
        ("/nothing", 200, "chunked", b""),
    ],
)
def test_what_an_application_may_return(
    annexe: Annexe, path: str, status: int, framing: str, body: bytes | None
) -> None:
    answer = annexe.serve("returns").ask(request("GET", path))
    assert (answer.status, answer.framing) == (status, framing)
    assert body is None or answer.body == body


def test_what_is_the_servers_to_say_is_not_the_applications(annexe: Annexe) -> None:
    answer = annexe.serve("hops").ask()
    assert ([name for name, _ in answer.fields], answer.body) == (["X-A", "Content-Length", "Date"], b"ok")
    assert annexe.serve("with_body").ask(request("GET", "/103+Early")).status == 500


def test_many_pieces_are_many_chunks(annexe: Annexe) -> None:
    assert annexe.serve("in_big_pieces").ask().chunks == [8192] * 10


def test_a_length_in_small_letters_is_the_only_one(annexe: Annexe) -> None:
    for options in ({}, {"capitalize_response_headers": False}):
        answer = annexe.serve("lower_case", **options).ask()
        assert [value for name, value in answer.fields if name.lower() == "content-length"] == ["2"]


def test_an_environ_that_the_application_has_spoilt_is_not_needed(annexe: Annexe) -> None:
    with annexe.serve("clobbers").client() as client:
        for _ in range(2):
            assert client.send(request("POST", body=b"abc")).response().status == 200


def test_an_application_may_be_called_in_a_real_thread(annexe: Annexe) -> None:
    server = annexe.serve("in_a_real_thread")
    assert [server.ask(request("GET", path)).status for path in ("/", "/other")] == [200, 404]


# Keeping and closing


@table(
    ("octets", "fields"),
    [
        (request(), {}),
        (request("GET", "/", "Connection: keep-alive"), {"Connection": "keep-alive"}),
        (request("GET", "/", "Connection: Keep-Alive", version="1.0"), {"Connection": "keep-alive"}),
        (request("GET", "/", CLOSE), {"Connection": "close"}),
        (request(version="1.0"), {"Connection": "close"}),
    ],
)
def test_what_connection_says(annexe: Annexe, octets: bytes, fields: dict[str, str]) -> None:
    with annexe.serve("hello_world").client() as client:
        answer = client.send(octets).response()
        assert {
            name: value for name, value in answer.fields if name in ("Connection", "Keep-Alive")
        } == fields
        assert answer.version == "HTTP/1.1"
        if fields.get("Connection") == "close":
            assert client.ending() == "eof"
        else:
            assert client.send(octets).response().status == 200


def test_keepalive_as_a_number_is_announced_and_kept(annexe: Annexe) -> None:
    server = annexe.serve("hello_world", keepalive=1.5)
    with server.client() as client:
        answer = client.send(request("GET", "/", "Connection: keep-alive")).response()
        assert answer["Keep-Alive"] == "timeout=1"
    server = annexe.serve("hello_world", keepalive=0.05, socket_timeout=5)
    with server.client() as client:
        assert "Keep-Alive" not in client.send(request("GET", "/", "Connection: keep-alive")).response()
        assert client.ending() == "eof"
    assert "timed out ('127.0.0.1'" in server.logs("timed out")


@pytest.mark.parametrize("keepalive", [False, 0])
def test_without_keepalive_each_response_closes(annexe: Annexe, keepalive: object) -> None:
    with annexe.serve("hello_world", keepalive=keepalive).client() as client:
        assert client.send(request()).response()["Connection"] == "close"
        assert client.ending() == "eof"


def test_a_stalled_client_is_let_go_without_an_answer(annexe: Annexe) -> None:
    server = annexe.serve("echo", socket_timeout=0.1)
    for octets in (b"GET / HT", request()[:-2], request("POST", "/", "Content-Length: 5") + b"ab"):
        with server.client() as client:
            assert client.send(octets).until_end() == b""
    assert eventually(lambda: server.log.count("timed out") == 3)
    assert "Traceback" not in server.log


def test_max_http_version_serves_as_it_says(annexe: Annexe) -> None:
    with annexe.serve("in_pieces", max_http_version="HTTP/1.0").client() as client:
        answer = client.send(request()).response()
        assert (answer.version, answer.framing, answer["Connection"]) == ("HTTP/1.0", "close", "close")


def test_an_applications_close_is_obeyed(annexe: Annexe) -> None:
    with annexe.serve("asked_to_close").client() as client:
        assert client.send(request()).response()["Connection"] == "close"
        assert client.ending() == "eof"


# Failures


@pytest.mark.parametrize("app", ["fails", "times_out"])
@pytest.mark.parametrize("debug", [True, False])
def test_a_failure_is_logged_and_told_to_the_client_only_by_debug(
    annexe: Annexe, app: str, debug: bool
) -> None:
    server = annexe.serve(app, debug=debug)
    with server.client() as client:
        answer = client.send(request()).response()
        assert (answer.status, answer["Connection"]) == (500, "close")
        assert (b"Traceback" in answer.body) == debug
        assert client.ending() == "eof"
    assert "Traceback" in server.log and '" 500 ' in server.logs('"GET')


@pytest.mark.parametrize(
    ("app", "ends"),
    [
        ("fails_late", b"\r\n\r\n4\r\nsome\r\n"),
        ("replaces_late", b"\r\n\r\n4\r\nsome\r\n"),
        ("times_out_late", b"\r\n\r\npartial "),
    ],
)
def test_a_failure_after_the_head_cuts_the_connection(annexe: Annexe, app: str, ends: bytes) -> None:
    server = annexe.serve(app)
    with server.client() as client:
        assert client.send(request()).until_end().endswith(ends)
    assert "Traceback" in server.logs('" 200 ')


@pytest.mark.parametrize("name", ["GreenletExit", "Odd"])
def test_what_is_no_exception_ends_its_connection_without_an_answer(annexe: Annexe, name: str) -> None:
    server = annexe.serve("raises")
    with server.client() as client:
        assert client.send(request("GET", f"/{name}")).until_end() == b""
    assert eventually(annexe.notes) == [name]
    assert server.ask().body == b"ok" and f"/{name}" not in server.log


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "SystemExit"])
def test_an_application_that_exits_ends_the_server_of_the_main_thread(annexe: Annexe, name: str) -> None:
    server = annexe.serve("raises", in_main=True)
    with server.client() as idle, server.client() as client:
        assert idle.send(request()).response().body == b"ok"
        assert client.send(request("GET", f"/{name}")).until_end() == b""
        assert idle.ended()
    assert server.has_returned and annexe.notes() == [name]
    # On threads, the line of a response may come between them, or after.
    assert re.search(r"\nwsgi exiting\n(.*\n)*?\(\d+\) wsgi exited, is_accepting=True\n", server.log)


def test_a_socket_that_was_closed_by_others_is_let_go_in_silence(annexe: Annexe) -> None:
    server = annexe.serve("loses_its_socket")
    with server.client() as client:
        assert client.send(request()).response().body == b"ok"
        assert client.ended()
    log = server.logs('" 200 ')
    assert not [word for word in ("Traceback", "timed out", "reset by peer") if word in log]


@pytest.mark.parametrize("app", ["takes_over", "returns_handled"])
def test_an_application_may_answer_by_itself(annexe: Annexe, app: str) -> None:
    server = annexe.serve(app)
    with server.client() as client:
        assert client.send(request()).response().line == "HTTP/1.1 200 Mine"
        assert client.ending() == "eof"
    assert '"GET / HTTP/1.1" 200 0 ' in server.logs('"GET')


# Refusals

REFUSED = [
    (b"GET /" + b"x" * 8192 + b" HTTP/1.1\r\n", "HTTP/1.0 414 Request URI Too Long", b""),
    (request("GET", "/", "A: " + "b" * 8190), "HTTP/1.0 400 Header Line Too Long", b""),
    (request("GET", "/", *["A: " + "b" * 8000] * 9), "HTTP/1.0 400 Headers Too Large", b""),
    (request("GET", "/", "Content-Length: x"), "HTTP/1.0 400 Bad Request", b""),
    (request("GET", "/", "Content-Length: -1"), "HTTP/1.0 400 Bad Request", b""),
    (request("GET", "/", "Content-Length: +3"), "HTTP/1.0 400 Bad Request", b""),
    (request("GET", "/", "Content-Length: 0_3"), "HTTP/1.0 400 Bad Request", b""),
    (request("GET", "/", "Content-Length:"), "HTTP/1.0 400 Bad Request", b""),
    (request("GET", "/", "Content-Length:  "), "HTTP/1.0 400 Bad Request", b""),
    (
        request("POST", "/", CHUNKED, "Content-Length: 3"),
        "HTTP/1.0 400 Bad Request",
        b"Content-Length and Transfer-Encoding are not allowed together\n",
    ),
    (request("GET", "/", *["A: b"] * 100), "HTTP/1.1 431 Request Header Fields Too Large", None),
    (b"GET / HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400 Bad Request", None),
    (request("GET", "/", "A: b", " folded"), "HTTP/1.1 400 Bad Request", None),
    (request("GET", "/", "Content-Length : 3"), "HTTP/1.1 400 Bad Request", None),
    (request("GET", "/", "Content-Length: 3", "Content-Length: 4"), "HTTP/1.1 400 Bad Request", None),
    (request("GET", "/", "no colon"), "HTTP/1.1 400 Bad Request", None),
    (request("GET", "/", "A: b\0c"), "HTTP/1.1 400 Bad Request", None),
    (request("POST", "/", "Transfer-Encoding: gzip, chunked"), "HTTP/1.1 501 Not Implemented", None),
    (request("POST", "/", "Transfer-Encoding: xchunked"), "HTTP/1.1 400 Bad Request", None),
    (request("POST", "/", CHUNKED, CHUNKED), "HTTP/1.1 400 Bad Request", None),
    (request("GET", "/", "Host: another"), "HTTP/1.1 400 Bad Request", None),
    (request("GET", "/", "Expect: wonders"), "HTTP/1.1 417 Expectation Failed", None),
    (request(version="2.0"), "HTTP/1.1 505 HTTP Version Not Supported", None),
    (b"GET /\r\n\r\n", "HTTP/1.1 400 Bad Request", None),
]


@table(("octets", "line", "body"), REFUSED, ids=[line for _, line, _ in REFUSED])
def test_what_is_refused(annexe: Annexe, octets: bytes, line: str, body: bytes | None) -> None:
    server = annexe.serve("echo")
    with server.client() as client:
        client.send_if_taken(octets)
        answer = client.response()
        assert (answer.line, answer["Connection"]) == (line, "close")
        assert body is None or answer.body == body
        assert client.ending() in ("eof", "reset")
    assert '] "' not in server.log  # no access line
    assert server.ask().status == 200


def test_limits_have_two_sides(annexe: Annexe) -> None:
    server = annexe.serve("hello_world", url_length_limit=100)
    line = len("GET / HTTP/1.1\r\n")
    assert server.ask(request("GET", "/" + "x" * (99 - line))).status == 404
    assert server.ask(request("GET", "/" + "x" * (100 - line))).status == 414
    assert server.ask(request("GET", "/", "A: " + "b" * (8191 - len("A: \r\n")))).status == 200
    assert server.ask(request("GET", "/", "A: " + "b" * (8192 - len("A: \r\n")))).status == 400


def test_the_hatch_lets_both_lengths_pass_and_closes(annexe: Annexe) -> None:
    octets = request("POST", "/", CHUNKED, "Content-Length: 3") + chunked(b"abcdef")
    with annexe.serve("echo", protocol="Tolerant").client() as client:
        answer = client.send(octets).response()
        assert (answer.body, answer["Connection"]) == (b"abcdef", "close")


# Protocols


def test_a_protocol_may_add_to_the_environ_and_log_by_itself(annexe: Annexe) -> None:
    environ = environ_of(annexe, request(), protocol="Own")
    assert environ["own.state"] == "'request'" and environ["QUERY_STRING"] == "''"
    annexe.notes()
    assert annexe.serve("echo", protocol="Own").ask(b"GET / HTTP/9.9\r\n\r\n").status == 505
    assert any("505" in str(note) for note in eventually(annexe.notes))


def test_a_protocol_that_parses_by_itself_does_not_parse_alone(annexe: Annexe) -> None:
    server = annexe.serve("echo", protocol="Parsing")
    with server.client() as client:
        for _ in range(2):
            assert client.send(request("POST", body=b"abc")).response().body == b"abc"
    for field in ("Content-Length : 3", "Transfer-Encoding: xchunked", "A: b\r\n folded"):
        assert server.ask(request("POST", "/", field)).status == 400


def test_a_protocol_may_read_a_line_before_the_first_request(annexe: Annexe) -> None:
    server = annexe.serve("environ", protocol="Proxied")
    body = server.ask(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n" + request()).body
    assert b"REMOTE_ADDR='192.0.2.7'" in body
    assert server.ask(b"GET / HTTP/1.1\r\n\r\n").status == 400


# Logs


def test_the_access_line(annexe: Annexe) -> None:
    server = annexe.serve("hello_world")
    answer = server.ask(request("GET", "/", "X-Forwarded-For: 1.2.3.4, 5.6.7.8"))
    line = server.logs('" 200 ').splitlines()[-1]
    size = len(answer.head) + len(answer.body)
    when = r"\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\]"
    expected = rf'1\.2\.3\.4,5\.6\.7\.8,127\.0\.0\.1 - - {when} "GET / HTTP/1\.1" 200 {size} \d+\.\d{{6}}'
    assert re.fullmatch(expected, line), line


def test_the_access_line_is_the_callers_to_shape(annexe: Annexe) -> None:
    server = annexe.serve(
        "hello_world", log_format="%(client_ip)s %(client_port)s|%(request_line)s", log_x_forwarded_for=False
    )
    server.ask(request("GET", "/", 'X-Forwarded-For: "x"'))
    assert re.search(r"\n127\.0\.0\.1 \d+\|GET / HTTP/1\.1\n", server.logs("GET"))


def test_what_else_is_logged(annexe: Annexe) -> None:
    server = annexe.serve("hello_world")
    server.ask()
    assert server.stop(5)
    log = server.logs("exited")
    assert re.match(r"\(\d+\) wsgi starting up on http://127\.0\.0\.1:\d+\n", log)
    assert re.search(r"\n\(\d+\) accepted \('127\.0\.0\.1', \d+\)\n", log)
    assert re.search(r"\n\(\d+\) wsgi exited, is_accepting=True\n$", log)


def test_hooks_run_before_the_access_line(annexe: Annexe) -> None:
    annexe.serve("with_hook", log="LOGGER").ask()
    said: list[object] = []
    assert eventually(lambda: '" 200 ' in str(said) or said.extend(annexe.notes()))
    told = [each for each in map(str, said) if "hook" in each or '" 200 ' in each]
    assert len(told) == 2 and "hook" in told[0]


def test_debug_off_leaves_the_debug_lines_out(annexe: Annexe) -> None:
    server = annexe.serve("hello_world", debug=False)
    server.ask()
    assert "accepted" not in server.logs('"GET')


def test_log_output_off_says_nothing(annexe: Annexe) -> None:
    server = annexe.serve("fails", log_output=False)
    server.ask()
    server.ask(b"nonsense\r\n\r\n")
    server.stop(5)
    assert server.log == ""


def test_a_logger_is_used_as_one(annexe: Annexe) -> None:
    annexe.serve("hello_world", log="LOGGER").ask()
    said = eventually(lambda: [*annexe.notes(), None])
    kinds = {note[0] for note in said if note}
    assert kinds == {"info", "debug"}


def test_a_forged_forwarded_for_cannot_forge_a_line(annexe: Annexe) -> None:
    server = annexe.serve("hello_world")
    server.ask(request("GET", "/", 'X-Forwarded-For: 1" 200 \x80'))
    assert '1\\"200\\x80,127.0.0.1 - - [' in server.logs('" 200 ')


# Listening


def test_ipv6_has_its_address_in_brackets(annexe: Annexe) -> None:
    try:
        server = annexe.serve("environ", ipv6=True)
    except AssertionError as error:
        if "Cannot assign" in str(error) or "not supported" in str(error):
            pytest.skip("no IPv6 here")
        raise
    assert b"REMOTE_ADDR='::1'" in server.ask().body
    assert f"wsgi starting up on {server.address}\n" in server.log


def test_who_stalls_or_speaks_no_tls_holds_up_nobody(annexe: Annexe, certificate: str) -> None:
    server = annexe.serve("hello_world", tls=certificate)
    context = ssl.create_default_context(cafile=certificate)
    with server.client() as stalled, server.client() as plain:
        assert not plain.send(request()).until_end().startswith(b"HTTP/1.1 200")
        with Client(f"https://127.0.0.1:{server.port}", tls=context) as client:
            assert client.send(request()).response().status == 200
        assert stalled.silent(0.01)


def test_a_connection_has_the_timeout_of_the_server(annexe: Annexe) -> None:
    for seconds in (None, 7.5):
        assert annexe.serve("own_timeout", socket_timeout=seconds).ask().body == repr(seconds).encode()


# Stopping


@pytest.mark.parametrize("by", ["GreenletExit", "KeyboardInterrupt", "SystemExit"])
def test_a_killed_server_closes_what_is_idle(annexe: Annexe, by: str, tmp_path: Path) -> None:
    server = annexe.serve("hello_world", unix=f"{tmp_path}/s")
    with server.client() as first, server.client() as second:
        for client in (first, second):
            assert client.send(request()).response().status == 200
        server.kill(by)
        assert [client.ending() for client in (first, second)] == ["eof", "eof"]
    assert eventually(lambda: server.has_returned)
    assert ("\nwsgi exiting\n" in server.logs("exited")) == (by != "GreenletExit")


def test_a_pool_needs_no_more_than_spawn_and_waitall(annexe: Annexe) -> None:
    server = annexe.serve("hello_world", pool="Pool")
    assert server.ask().status == 200
    assert server.stop(5) and annexe.notes() == [["spawned", 1]]


def test_stop_finishes_what_runs_and_closes_what_waits(annexe: Annexe) -> None:
    annexe.call("close_gate")
    server = annexe.serve("waits")
    with server.client() as idle, server.client() as busy:
        busy.send(request())
        assert eventually(annexe.notes) == ["in"]
        assert not server.has_returned
        annexe.order("stop_soon", number=server._number)
        assert idle.ending() in ("eof", "reset")
        assert not server.has_returned
        annexe.call("open_gate")
        assert busy.response().body == b"waited"
        assert busy.ending() == "eof"
    assert eventually(lambda: server.has_returned)
    with pytest.raises(ConnectionRefusedError):
        server.client()


def test_stop_cuts_what_has_not_ended_in_time(annexe: Annexe) -> None:
    annexe.call("close_gate")
    server = annexe.serve("waits")
    with server.client() as client:
        client.send(request())
        assert eventually(annexe.notes) == ["in"]
        assert server.stop(0.05) is False
        assert client.ending() in ("eof", "reset")
    annexe.call("open_gate")
    assert eventually(lambda: server.has_returned)


def test_a_connection_that_calls_itself_idle_does_not_hold_up_a_stop(annexe: Annexe) -> None:
    annexe.call("close_gate")
    server = annexe.serve("idles")
    with server.client() as client:
        client.send(request())
        assert eventually(annexe.notes) == ["in"]
        annexe.order("stop_soon", number=server._number)
        assert client.ending() in ("eof", "reset")
    annexe.call("open_gate")
    assert eventually(lambda: server.has_returned)


def test_max_size_bounds_the_connections_at_once(annexe: Annexe) -> None:
    annexe.call("open_gate")
    for options in ({"max_size": 1}, {"pool": 1, "max_size": 50}):
        server = annexe.serve("hello_world", **options)
        first = server.client().send(request())
        assert first.response().status == 200
        with server.client() as second:
            second.send(request())
            assert second.silent(0.05)
            first.close()
            assert second.response().status == 200


def test_one_client_that_resets_does_not_end_the_server(annexe: Annexe) -> None:
    server = annexe.serve("hello_world")
    for _ in range(3):
        server.client().reset()
        server.client().send(b"GET /").reset()  # both close
    assert server.ask().status == 200


# What else no test of eventlet's own would notice


def test_a_date_of_the_applications_own_is_the_only_one(annexe: Annexe) -> None:
    answer = annexe.serve("dated").ask()
    assert [value for name, value in answer.fields if name == "Date"] == ["Thu, 01 Jan 1970 00:00:00 GMT"]


def test_what_is_written_is_closed_as_the_client_asked(annexe: Annexe) -> None:
    with annexe.serve("by_writes").client() as client:
        answer = client.send(request("GET", "/", CLOSE)).response()
        assert (answer["Connection"], answer.body) == ("close", b"onetwothree")
        assert client.ending() == "eof"


def test_an_accepted_connect_has_no_length_and_no_chunks(annexe: Annexe) -> None:
    with annexe.serve("reads_nothing").client() as client:
        client.send(b"CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n")
        head = client.until_end().partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length" not in head and b"Transfer-Encoding" not in head


def test_a_client_that_resets_is_told_of(annexe: Annexe) -> None:
    server = annexe.serve("hello_world")
    server.client().send(b"GET / HTTP/1.1\r\n").reset()
    assert "connection reset by peer ('127.0.0.1'" in server.logs("reset by peer")
    assert "Traceback" not in server.log


def test_a_post_hook_that_fails_leaves_the_response_and_ends_the_connection(annexe: Annexe) -> None:
    server = annexe.serve("with_bad_hook")
    with server.client() as client:
        assert client.send(request()).response().body == b"ok"
        assert client.ending() == "eof"
    assert '"GET' not in server.log


def test_a_pool_is_asked_for_what_a_pool_has(annexe: Annexe) -> None:
    assert "custom_pool must have spawn()" in annexe.call("serve_in_no_pool")


def test_is_accepting_ends_the_loop_at_its_next_connection(annexe: Annexe) -> None:
    server = annexe.serve("hello_world")
    annexe.call("accept", False)
    try:
        with server.client():
            assert eventually(lambda: server.has_returned)
        assert "wsgi exited, is_accepting=False" in server.log
    finally:
        annexe.call("accept", True)


# Native serving has none of this


def test_native_serving_keeps_none_of_it(
    serve: Callable[..., Served], said: Callable[[], list[str]], tmp_path: Path
) -> None:
    def app(environ: dict[str, object], start_response: Callable[..., object]) -> object:
        start_response("200 OK", [("x-any", "1")])
        path = environ["PATH_INFO"]
        if path == "/fails":
            raise RuntimeError("intentional")
        if path == "/pieces":
            return iter([b"abc", b"de"])
        if path == "/text":
            return ["text"]
        own = sorted(key for key in environ if "eventlet" in key or key in ("headers_raw", "RAW_PATH_INFO"))
        return [f"{environ['SERVER_PROTOCOL']} {own}".encode()]

    log = tmp_path / "log"
    server = serve(app, access_log=str(log), access_log_format="%(request_line)s %(body_length)s")
    answer = server.ask()
    assert answer.body == b"HTTP/1.1 []" and ("x-any", "1") in answer.fields
    assert server.ask(request("GET", "/pieces")).chunks == [3, 2]
    assert server.ask(request("GET", "/text")).status == 500
    assert b"Traceback" not in server.ask(request("GET", "/fails")).body
    assert all("the application failed" in each for each in said())
    assert server.ask(request("GET", "/", "A: " + "b" * 9000)).status == 431
    server.stop()
    assert {"GET / HTTP/1.1 11", "GET /pieces HTTP/1.1 5"} <= {*log.read_text().splitlines()}
