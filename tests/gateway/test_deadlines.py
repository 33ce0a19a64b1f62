"""Every deadline, with short settings: who is late is told so where it helps, and let go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
from serving import Gate, Served, answering, echo
from wire import CHUNKED, CLOSE, eventually, request

Serve = Callable[..., Served]
Said = Callable[[], list[str]]

SHORT = 0.2
"""Seconds.  The others keep their defaults, which are longer than a client here waits."""

LONG = 60.0
"""Seconds; longer than any client here waits, unless it is made older."""

LONG_BODY = request("POST", "/", "Content-Length: 100000")


LATE = {
    "header_timeout": {
        "nothing was sent": (b"", None),
        "empty lines": (b"\r\n\r\n", None),
        "one octet of a head": (b"G", 408),
        "half a head": (b"GET / HTTP/1.1\r\nHost: x\r\n", 408),
    },
    "body_timeout": {
        "no body": (request("POST", "/", "Content-Length: 5"), 408),
        "half a body": (request("POST", "/", "Content-Length: 5") + b"abc", 408),
        "half a chunk": (request("POST", "/", CHUNKED) + b"5\r\nabc", 408),
        "half a large body": (LONG_BODY + b"x" * 70_000, 408),
    },
}


@pytest.mark.parametrize("setting", LATE)
def test_a_late_request_is_a_408_and_the_end(serve: Serve, over: str, setting: str) -> None:
    served = serve(echo, over=over, **{setting: SHORT})
    began = monotonic()
    clients = {name: served.client().send(sent) for name, (sent, _) in LATE[setting].items()}
    for name, (_, status) in LATE[setting].items():
        client = clients[name]
        if status is not None:
            answer = client.response()
            assert (answer.status, answer["Connection"]) == (status, "close"), name
        assert client.ending() == "eof", name
        assert monotonic() - began >= SHORT * 0.9, name
    eventually(lambda: served.counter("expired") == len(clients))


def test_a_request_that_is_late_behind_a_good_one_is_a_408(serve: Serve) -> None:
    client = serve(echo, header_timeout=SHORT).client().send(request() + b"GET / HT")
    assert client.response().status == 200
    assert client.response().status == 408
    assert client.ended()


def test_a_stray_line_end_after_a_request_is_no_request(serve: Serve) -> None:
    served = serve(echo, header_timeout=SHORT)
    client = served.client().send(request() + b"\r\n")
    assert client.response().status == 200
    assert client.ending() == "eof"
    client = served.client().send(request(), b"\r", b"\n")
    assert client.half_close().response().status == 200
    assert client.ending() == "eof"
    assert served.counter("errors") == 0


def test_octets_that_drip_do_not_prolong_a_head(serve: Serve) -> None:
    client = serve(echo, header_timeout=SHORT).client()
    began = monotonic()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
    while client.silent(0.02):
        client.send(b"X: y\r\n")
        assert monotonic() - began < 5
    assert client.response().status == 408


def test_a_body_may_take_long_as_long_as_it_goes_on(serve: Serve) -> None:
    # Four times as long as the pauses at the least, however busy the machine is otherwise.
    client = serve(echo, body_timeout=4 * SHORT, min_body_rate=0).client()
    client.send(request("POST", "/", "Content-Length: 10"))
    for _ in range(10):
        assert client.silent(SHORT / 2)
        client.send(b"x")
    assert client.response().body == b"POST / xxxxxxxxxx"


@pytest.mark.usefixtures("clear_or_tls")
def test_a_stalled_body_raises_in_the_application(serve: Serve) -> None:
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
        return answering([b"mine"], "503 Mine")(environ, start_response)

    client = serve(app, body_timeout=SHORT).client().send(LONG_BODY)
    answer = client.response()
    assert (answer.status, answer["Connection"]) == (503, "close")
    assert "stalled" in str(errors[0])


def test_an_idle_connection_is_closed_after_its_time_and_a_new_one_is_served(serve: Serve, over: str) -> None:
    served = serve(echo, over=over, keep_alive=LONG, linger_timeout=SHORT)
    client, other = served.client(), served.client()
    for _ in range(3):
        assert client.send(request()).response().status == 200
    served.age(0.9 * LONG, idle=2)
    assert other.send(request()).response().status == 200
    served.age(0.2 * LONG, idle=2)
    assert client.ending() == "eof"
    assert other.send(request()).response().status == 200
    assert served.ask().status == 200


def test_idle_connections_go_one_by_one_and_busy_ones_stay(serve: Serve) -> None:
    served = serve(echo, keep_alive=LONG, linger_timeout=SHORT)
    idle = [served.client().send(request()) for _ in range(5)]
    for client in idle:
        assert client.response().status == 200
    busy = served.client()
    while idle:
        left = [busy, *idle]
        for client in left:
            assert client.send(request()).response().status == 200
        served.age(0.6 * LONG, idle=len(left))
        for client in left[:-1]:
            assert client.send(request()).response().status == 200
        served.age(0.6 * LONG, idle=len(left))
        assert idle.pop().ending() == "eof"


@pytest.mark.parametrize("jump", [1e8, -1e8], ids=["ahead", "back"])
def test_a_wall_clock_that_is_set_moves_no_deadline(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/wait":
            gate.wait()
        return echo(environ, start_response)

    served = serve(app, header_timeout=SHORT, request_timeout=60.0)
    kept, late, running = served.client(), served.client(), served.client()
    assert kept.send(request()).response().status == 200
    running.send(request("GET", "/wait"))
    gate.expect()
    late.send(b"GET / HT")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    assert late.response().status == 408  # and so the server has looked at all the others meanwhile
    gate.open()
    assert running.response().status == 200
    assert kept.send(request()).response().status == 200
    assert served.stop()
    assert kept.ending() == "eof"


def test_a_call_that_takes_long_is_not_ended_by_any_deadline(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] == "POST":
            gate.wait()
        return answering()(environ, start_response)

    served = serve(app, linger_timeout=SHORT)
    idle = served.client()
    assert idle.send(request("HEAD")).response("HEAD").status == 200
    client = served.client().send(request("POST", "/", body=b"x"))
    gate.expect()
    served.age(1000 * LONG, idle=1)
    assert idle.ending() == "eof"  # so whoever looks after deadlines has come by
    assert client.silent(0.01)
    gate.open()
    assert client.response().status == 200


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("content", ["whole", "generated", "written", "file"])
def test_a_client_that_stops_reading_is_let_go(serve: Serve, tmp_path: Any, content: str) -> None:
    piece = b"x" * 1_000_000
    big = tmp_path / "big"
    big.write_bytes(piece * 20)
    closed: list[int] = []

    def generate() -> Iterator[bytes]:
        try:
            for _ in range(20):
                yield piece
        finally:
            closed.append(1)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("200 OK", [("Content-Length", "20000000")])
        if content == "written":
            try:
                for _ in range(20):
                    write(piece)
            finally:
                closed.append(1)
        if content == "file":
            file = open(big, "rb")
            return environ["wsgi.file_wrapper"](Closing(file, closed))
        if content == "whole":
            closed.append(1)
            return [piece * 20]
        return generate()

    served = serve(app, write_timeout=SHORT)
    client = served.client(window=4096).send(request())
    assert client.peek()
    eventually(lambda: served.counter("gone") + served.counter("expired"))
    eventually(lambda: closed)
    assert len(client.until_end()) < 20_000_000
    assert client.was_reset, "a clean end could make the part look whole"
    assert served.ask(request("HEAD", "/", CLOSE), "HEAD").status == 200


class Closing:
    """A file that tells when it is closed."""

    def __init__(self, file: Any, closed: list[int]) -> None:
        self.file, self.closed = file, closed
        self.read = file.read

    def close(self) -> None:
        self.file.close()
        self.closed.append(1)


@pytest.mark.usefixtures("clear_or_tls")
def test_a_slow_reader_that_goes_on_reading_gets_all(serve: Serve) -> None:
    content = b"x" * 3_000_000
    client = serve(answering(lambda: [content]), write_timeout=2.5 * SHORT).client(window=65536)
    client.send(request())
    head = client.peek()
    got = len(client.exactly(len(head)))
    began = monotonic()
    while monotonic() - began < 3.5 * SHORT and got < 2_000_000:
        client.silent(SHORT / 10)
        got += len(client.exactly(len(client.peek())))
    rest = len(content) + head.index(b"\r\n\r\n") + 4 - got
    assert client.exactly(rest) == b"x" * rest
    assert client.send(request("HEAD")).response("HEAD").status == 200


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("sent", [b"bad\r\n\r\n", LONG_BODY.replace(b"100000", b"99999999999")])
def test_a_connection_does_not_linger_longer_than_it_may(serve: Serve, sent: bytes) -> None:
    served = serve(answering(), linger_timeout=SHORT)
    client = served.client().send(sent)
    assert client.response().status in (400, 413)
    began = monotonic()
    while client.send_if_taken(b"x"):  # it goes on sending, and never closes
        client.silent(0.01)
        client.was_reset = False
        assert monotonic() - began < 5
    served.stop()


def test_a_body_that_is_left_must_come_within_its_deadline(serve: Serve) -> None:
    client = serve(answering(), body_timeout=SHORT).client()
    client.send(LONG_BODY + b"x" * 10)
    assert client.response().get("Connection") is None
    assert client.ended()


@pytest.mark.parametrize("clients", [100])
def test_slow_clients_hold_no_thread(serve: Serve, clients: int) -> None:
    served = serve(echo, threads=1, concurrency=1)
    slow = [served.client().send(b"GET / HTTP/1.1\r\nHost: x\r\n") for _ in range(clients)]
    slow += [served.client().send(request("POST", "/", "Content-Length: 9")) for _ in range(clients)]
    assert served.ask().status == 200
    for client in slow[clients:]:
        client.send(b"123456789")
    for client in slow[clients:]:
        assert client.response().body == b"POST / 123456789"
    for client in slow[:clients]:
        assert client.send(b"\r\n").response().status == 200
