"""Whether two sides answer alike: what is told, what is not compared, and what is not even looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from table import table

from dualwsgi.compare.answers import REQUESTS_MAX, Answers, differences
from dualwsgi.compare.asking import ask
from dualwsgi.compare.traffic import Ask

NAMES = ("green", "threads")
PLAIN = [("Content-Type", "text/plain"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT")]


def said(*answers: tuple[int, list[tuple[str, str]], bytes | None]) -> Answers:
    found = Answers()
    for status, headers, body in answers:
        found.add("GET /", status, headers, body)
    return found


def test_equal_answers_do_not_differ_and_the_date_is_not_looked_at() -> None:
    later = [PLAIN[0], ("Date", "Mon, 01 Jan 2024 00:00:09 GMT")]
    assert differences(said((200, PLAIN, b"a")), said((200, later, b"a")), NAMES) == ([], [])


@table(
    ("ours", "theirs", "told"),
    [
        ((500, PLAIN, b"a"), (200, PLAIN, b"a"), "status is '200' on threads, '500' on green"),
        (
            (200, [("X-A", "1"), *PLAIN], b"a"),
            (200, PLAIN, b"a"),
            "header x-a is '(absent)' on threads, '1' on green",
        ),
        (
            (200, [("content-type", "text/html")], b"a"),
            (200, PLAIN, b"a"),
            "header content-type is 'text/plain'",
        ),
        ((200, PLAIN, b"abc"), (200, PLAIN, b"a"), "body is '1 bytes, SHA-256"),
    ],
)
def test_what_differs_is_told_with_both_values(ours: tuple, theirs: tuple, told: str) -> None:
    differ, vary = differences(said(ours, ours), said(theirs, theirs), NAMES)
    assert len(differ) == 1
    assert told in differ[0]
    assert differ[0].startswith("GET /: ")
    assert vary == []


def test_what_varies_by_itself_is_named_and_not_compared() -> None:
    ours = said((200, [("X-Id", "1")], b"a"), (200, [("X-Id", "2")], b"a"))
    theirs = said((200, [("X-Id", "3")], b"a"), (200, [("X-Id", "4")], b"a"))
    assert differences(ours, theirs, NAMES) == ([], ["GET /: header x-id varies from answer to answer"])


def test_a_header_that_comes_only_sometimes_varies() -> None:
    sometimes = said((200, [], b"a"), (200, [("X-Id", "1")], b"a"))
    assert differences(sometimes, said((200, [], b"a")), NAMES)[1] == [
        "GET /: header x-id varies from answer to answer"
    ]


def test_bodies_that_were_not_read_to_their_end_or_are_compressed_are_not_compared() -> None:
    assert differences(said((200, [], None)), said((200, [], b"a")), NAMES) == ([], [])
    zipped = [("Content-Encoding", "gzip")]
    assert differences(said((200, zipped, b"x")), said((200, zipped, b"y")), NAMES) == ([], [])


def test_what_another_process_saw_is_added() -> None:
    ours, other = said((200, PLAIN, b"a")), said((200, PLAIN, b"b"))
    ours.merge(other.seen)
    assert differences(ours, said((200, PLAIN, b"a")), NAMES) == (
        [],
        ["GET /: body varies from answer to answer"],
    )
    empty = Answers()
    empty.merge(other.seen)
    assert differences(empty, other, NAMES) == ([], [])


def test_requests_beyond_the_bound_are_not_remembered() -> None:
    found = Answers()
    for number in range(REQUESTS_MAX + 5):
        found.add(f"GET /{number}", 200, (), b"")
    assert len(found.seen) == REQUESTS_MAX


def test_requests_that_never_succeed_are_named() -> None:
    assert said((404, [], b"")).bad() == ["GET / is answered 404"]
    assert said((404, [], b""), (200, [], b"")).bad() == []
    assert said((302, [], b"")).bad() == []


# For real


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        elif self.path == "/none":
            pass
        elif self.path == "/events":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Agent: ")
            self.wfile.write(self.headers["X-Who"].encode() + b"\r\n\r\nabc")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def test_a_server_is_asked_and_that_there_is_no_answer_is_an_answer(port: int) -> None:
    found = Answers()
    asks = [Ask("/", headers={"X-Who": "me"}), Ask("/none"), Ask("/cut"), Ask("/events")]
    ask(port, asks, found, times=2, timeout=10)
    assert found.seen["GET /"]["header x-agent"] == ["me"]
    assert found.seen["GET /"]["body"][0].startswith("3 bytes")
    assert found.seen["GET /none"]["status"] == ["no answer (RemoteDisconnected)"]
    assert found.seen["GET /cut"]["status"] == ["no answer (IncompleteRead)"]
    assert "body" not in found.seen["GET /events"]
    assert len(found.bad()) == 2
