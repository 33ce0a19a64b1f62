"""The deadline of a request: 504 or a cut, the stack logged, and what becomes of the call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering, echo
from wire import CLOSE, Client, eventually, request

from dualwsgi import RequestTimeout

Serve = Callable[..., Served]
Said = Callable[[], list[str]]

SHORT = 0.1
"""Seconds."""

LONG = 60.0
DISTANT = {"request_timeout": LONG, "linger_timeout": SHORT}
"""A deadline that comes only to requests that are made older, and is looked for often."""


def stuck(gate: Gate) -> Any:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/stuck":
            gate.wait()
        return answering()(environ, start_response)

    return app


STUCK = request("GET", "/stuck")


def check_504(client: Client) -> None:
    answer = client.response()
    assert (answer.status, answer["Connection"], answer.body) == (
        504,
        "close",
        b"504 Gateway Timeout: the request took too long\n",
    )
    assert client.ended()


@pytest.mark.usefixtures("clear_or_tls")
def test_a_call_that_outlives_its_deadline_is_answered_504_and_its_stack_is_logged(
    serve: Serve, kit: Kit, gate: Gate, said: Said, tmp_path: Path
) -> None:
    served = serve(stuck(gate), **DISTANT, access_log=str(tmp_path / "log"))
    client = served.client().send(STUCK)
    gate.expect()
    served.age(LONG - 10, idle=0)
    assert served.ask().status == 200
    served.age(20, idle=0)
    check_504(client)
    assert served.ask().status == 200
    gate.open()
    assert served.counter("timeouts") == 1
    served.stop()
    (line,) = [line for line in said() if "/stuck" in line]
    assert "GET /stuck: not answered" in line
    assert "so it was answered 504" in line
    assert "gate.wait()" in line
    assert "in run\n" not in line, "the server's own frames are left out"
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split('" ')[1].split(" ")[0] for line in lines] == ["200", "504", "200"]


def test_a_call_within_its_deadline_is_not_touched(serve: Serve) -> None:
    served = serve(echo, request_timeout=30.0)
    client = served.client()
    for _ in range(3):
        assert client.send(request("POST", body=b"x" * 100_000)).response().status == 200
        assert client.send(request()).response().status == 200
    assert client.send(request("GET", "/", CLOSE)).response().status == 200
    assert client.ending() == "eof"
    assert served.counter("timeouts") == 0


def test_without_the_setting_no_call_has_a_deadline(serve: Serve, gate: Gate) -> None:
    left: list[float] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        left.append(environ["dualwsgi.deadline"].remaining())
        return stuck(gate)(environ, start_response)

    client = serve(app, linger_timeout=0.05).client().send(STUCK)
    gate.expect()
    assert client.silent(2 * SHORT)
    gate.open()
    assert client.response().status == 200
    assert left == [inf]


def test_a_connection_that_was_quick_before_is_ended_when_it_is_late(
    serve: Serve, gate: Gate, said: Said
) -> None:
    served = serve(stuck(gate), **DISTANT, keep_alive=1000 * LONG)
    client = served.client()
    for _ in range(30):
        assert client.send(request()).response().status == 200
    served.age(2 * LONG, idle=1)  # time between requests does not count
    assert client.send(request()).response().status == 200
    client.send(STUCK)
    gate.expect()
    served.age(2 * LONG, idle=0)
    check_504(client)
    gate.open()
    assert eventually(said)


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("content", ["generated", "written"])
@pytest.mark.parametrize("framing", ["sized", "chunked", "close"])
def test_a_response_that_has_begun_is_cut_and_never_ends_well(
    serve: Serve, gate: Gate, said: Said, content: str, framing: str
) -> None:
    closed: list[int] = []

    def generate() -> Iterator[bytes]:
        try:
            yield b"x"
            gate.wait()
            yield b"y"
        finally:
            closed.append(1)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("200 OK", [("Content-Length", "2")] if framing == "sized" else [])
        if content == "generated":
            return generate()
        for piece in generate():
            write(piece)
        return []

    served = serve(app, request_timeout=2 * SHORT)
    client = served.client().send(request(version="1.0" if framing == "close" else "1.1"))
    assert client.peek()
    client.until_end()
    assert client.was_reset
    gate.open()
    assert eventually(lambda: closed) == [1]
    assert "so it was cut" in eventually(said)[0]
    assert served.counter("timeouts") == 1


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("waits", ["for the body", "for the client to read"])
def test_a_call_that_waits_for_its_client_ends_by_itself(serve: Serve, said: Said, waits: str) -> None:
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            if waits == "for the body":
                return echo(environ, start_response)
            write = start_response("200 OK", [])
            for _ in range(1000):
                write(b"x" * 100_000)
        except BaseException as error:
            errors.append(error)
            raise
        return []

    served = serve(app, request_timeout=2 * SHORT)
    client = served.client(window=4096)
    if waits == "for the body":
        client.send(request("POST", "/", "Content-Length: 100000") + b"x" * 70_000)
        check_504(client)
    else:
        client.send(request())
        assert client.peek()
        eventually(lambda: errors)
        client.until_end()
        assert client.was_reset
    assert isinstance(eventually(lambda: errors)[0], RequestTimeout)
    (line,) = eventually(said)
    assert ("environ" in line) or ("write(" in line)
    assert served.counter("timeouts") == 1


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("goes_on", ["reading", "writing"])
def test_a_call_that_goes_on_after_its_request_was_ended_sees_why(
    serve: Serve, gate: Gate, said: Said, goes_on: str
) -> None:
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            write = start_response("200 OK", []) if goes_on == "writing" else None
            if write is not None:
                write(b"x")
            gate.wait()
            while True:
                write(b"x" * 100_000) if write is not None else environ["wsgi.input"].read(1000)
        except BaseException as error:
            errors.append(error)
            raise

    client = serve(app, request_timeout=SHORT).client()
    client.send(request("POST", "/", "Content-Length: 100000") + b"x" * 70_000)
    client.until_end()
    gate.open()
    assert isinstance(eventually(lambda: errors)[0], RequestTimeout)
    assert eventually(said)


def test_the_application_sees_its_deadline_and_can_move_it(serve: Serve, gate: Gate, said: Said) -> None:
    left: list[float] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        deadline = environ["dualwsgi.deadline"]
        left.append(deadline.remaining())
        how = environ["QUERY_STRING"]
        deadline.set(None if how == "never" else float(how))
        left.append(deadline.remaining())
        if how != "60":
            gate.wait()
        return answering()(environ, start_response)

    served = serve(app, request_timeout=40.0, linger_timeout=SHORT)
    client = served.client()
    assert client.send(request("GET", "/?60")).response().status == 200
    assert 0 < left[0] <= 40 < left[1] <= 60
    check_504(client.send(request("GET", "/?0.05")))
    late = served.client().send(request("GET", "/?never"))
    eventually(lambda: left[5:])
    assert left[5] == inf
    gate.open()
    assert late.response().status == 200
    assert eventually(said)


@pytest.mark.parametrize("begun", [False, True])
def test_the_application_can_have_a_deadline_where_the_server_sets_none(
    serve: Serve, gate: Gate, said: Said, begun: bool
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/stuck":
            if begun:
                start_response("200 OK", [])(b"x")
            environ["dualwsgi.deadline"].set(SHORT)
            gate.wait()
        return answering()(environ, start_response)

    served = serve(app, linger_timeout=SHORT)
    client = served.client()
    for _ in range(3):
        assert client.send(request()).response().status == 200
    client.send(STUCK)
    if begun:
        client.until_end()
        assert client.was_reset
    else:
        check_504(client)
    gate.open()
    assert eventually(said)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_deadline_that_cannot_be_is_refused(serve: Serve, seconds: float) -> None:
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            environ["dualwsgi.deadline"].set(seconds)
        except ValueError as error:
            errors.append(error)
        return answering()(environ, start_response)

    assert serve(app).ask().status == 200
    assert "positive" in str(errors[0])


def test_a_request_whose_time_is_over_before_it_is_called_gets_503(
    serve: Serve, gate: Gate, said: Said
) -> None:
    served = serve(stuck(gate), threads=1, concurrency=1, request_timeout=SHORT, max_lost_threads=0)
    first = served.client().send(STUCK)
    gate.expect()
    others = [served.client().send(STUCK) for _ in range(3)]
    check_504(first)
    answers = [client.response() for client in others]
    assert {answer.status for answer in answers} <= {503, 504}
    gate.open()
    served.stop()
    assert said()


def test_a_tunnel_has_no_deadline(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("101 Switching Protocols", [("Upgrade", "x"), ("Connection", "Upgrade")])
        write(b"")
        while data := environ["wsgi.input"].read1():
            write(data)
        return []

    client = serve(app, request_timeout=SHORT).client()
    client.send(request("GET", "/", "Connection: Upgrade", "Upgrade: x"))
    assert client.response().status == 101
    for _ in range(4):
        assert client.silent(SHORT)
        assert client.send(b"hello").exactly(5) == b"hello"
    client.half_close()
    assert client.ended()


# What becomes of the call


def test_green_ends_the_call_where_it_waits(serve: Serve, kit: Kit, gate: Gate, said: Said) -> None:
    if kit.backend != "green":
        pytest.skip("threads have to be asked to, see below")
    ended: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            return stuck(gate)(environ, start_response)
        except BaseException as error:
            ended.append(error)
            raise

    check_504(serve(app, request_timeout=SHORT).client().send(STUCK))
    assert isinstance(eventually(lambda: ended)[0], RequestTimeout)
    assert eventually(said)


@pytest.mark.parametrize("swallow", [False, True])
def test_threads_raise_in_the_call_if_asked_to(serve: Serve, kit: Kit, said: Said, swallow: bool) -> None:
    if kit.backend != "threads":
        pytest.skip("green always does, see above")
    begun: list[int] = []
    ended: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        pause = threading.Event()
        deadline = monotonic() + 10
        try:
            if environ["PATH_INFO"] == "/stuck":
                begun.append(1)
            while environ["PATH_INFO"] == "/stuck" and monotonic() < deadline:
                pause.wait(0.001)
        except RequestTimeout as error:
            ended.append(error)
            if not swallow:
                raise
        return answering()(environ, start_response)

    served = serve(app, **DISTANT, late_calls="interrupt", threads=2)
    clients = [served.client().send(STUCK) for _ in range(2)]
    eventually(lambda: len(begun) == 2)
    served.age(2 * LONG, idle=0)
    for client in clients:
        check_504(client)
    assert len(eventually(lambda: ended[1:] and ended)) == 2
    for _ in range(50):
        assert served.ask().status == 200
    assert served.counter("lost") == 0
    assert len(said()) == 2


def test_threads_raise_in_a_step_of_what_the_call_returned_but_not_in_its_close(
    serve: Serve, kit: Kit, said: Said
) -> None:
    if kit.backend != "threads":
        pytest.skip("green always does, see above")
    begun: list[int] = []
    ended: list[str] = []

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            pause = threading.Event()
            yield b"a piece"
            begun.append(1)
            try:
                while not pause.wait(0.001):
                    pass
            except RequestTimeout:
                ended.append("step")
                raise

        def close(self) -> None:
            ended.append("close")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [])
        return Pieces() if environ["PATH_INFO"] == "/stuck" else [b"ok"]

    served = serve(app, **DISTANT, late_calls="interrupt", threads=2)
    client = served.client().send(STUCK)
    eventually(lambda: begun)
    served.age(2 * LONG, idle=0)
    assert client.until_end().endswith(b"a piece\r\n")
    assert eventually(lambda: ended[1:] and ended) == ["step", "close"]
    for _ in range(20):
        assert served.ask().status == 200
    assert served.counter("lost") == 0
    assert len(said()) == 1


# One may come while the interpreter frees something, and says then that it ignores it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_comes_too_late_hits_nobody(serve: Serve, kit: Kit, said: Said) -> None:
    if kit.backend != "threads":
        pytest.skip("a greenlet is only ended while it waits")
    # Calls that end just about when their time does; whoever is ended, the others are not.
    times = iter(range(1_000_000))

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["dualwsgi.deadline"].set(0.002)
        pause = threading.Event()
        end = monotonic() + 0.001 * (next(times) % 5)
        while monotonic() < end:
            pause.wait(0.0005)
        return answering()(environ, start_response)

    served = serve(app, request_timeout=10.0, late_calls="interrupt", threads=4, linger_timeout=0.005)
    statuses: dict[int, int] = {}

    def ask_often() -> None:
        for _ in range(60):
            status = served.ask().status
            statuses[status] = statuses.get(status, 0) + 1

    askers = [threading.Thread(target=ask_often) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert sum(statuses.values()) == 240
    assert set(statuses) <= {200, 504}
    # By whoever ended them, and a moment after the answer.
    told: list[str] = []
    eventually(lambda: told.extend(said()) or len(told) == statuses.get(504, 0))
    assert all("not answered" in line for line in told)


def test_a_thread_that_stays_in_its_call_is_replaced_up_to_a_bound(
    serve: Serve, kit: Kit, gate: Gate, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kit.backend != "threads":
        pytest.skip("a greenlet that waits can be ended; one that does not has the hub")
    monkeypatch.setattr("dualwsgi.backends.threads.latecalls.LOST_AFTER", SHORT)
    served = serve(stuck(gate), **DISTANT, threads=2, max_lost_threads=3, queue_timeout=30.0)

    def come_late(waiting: int) -> None:
        client = served.client().send(STUCK)
        eventually(lambda: gate.waiting == waiting)
        served.age(2 * LONG, idle=0)
        check_504(client)

    for lost in range(1, 4):
        come_late(lost)
        eventually(lambda lost=lost: served.counter("lost") == lost)
        assert served.ask().status == 200
    for more in (4, 5):  # these two are not replaced any more
        come_late(more)
    queued = served.client().send(request())
    served.expect_queued(1)
    served.age(2 * LONG, idle=0)
    refused = queued.response()
    assert (refused.status, refused["Retry-After"]) == (503, "1")
    assert served.counter("lost") == 3
    gate.open()
    eventually(lambda: gate.waiting == 0)
    for _ in range(10):
        eventually(lambda: served.ask().status == 200)
    assert any("its thread is replaced (3 of at most 3)" in line for line in said())
