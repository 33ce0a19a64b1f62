"""Many requests on one connection: in order, whole, and none that was not sent."""

from __future__ import annotations

import gc
import os
import resource
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest
from serving import Gate, Served, answering, echo
from table import table
from wire import CHUNKED, CLOSE, Client, chunked, eventually, request

from dualwsgi.gateway.connection import SIP
from dualwsgi.gateway.heads import HEAD_SIZE, Request

Serve = Callable[..., Served]


@pytest.mark.parametrize("count", [25, 1000])
def test_pipelined_requests_are_answered_in_order(serve: Serve, over: str, count: int) -> None:
    client = serve(echo, over=over).client()
    client.send(b"".join(request("GET", f"/{number}") for number in range(count)))
    for number in range(count):
        assert client.response().body == b"GET /%d " % number
    assert client.silent(0.01)


def test_a_head_that_fills_a_read_hides_no_request_behind_it(serve: Serve, over: str) -> None:
    """Polling is edge-triggered: of what is left in the socket it does not tell again."""

    def head(size: int) -> bytes:
        start = request("GET", "/", f"One: {'p' * 5000}", f"Two: {'p' * 5000}", "X-Request-ID: ")
        return start[:-4].ljust(size - 4, b"y") + b"\r\n\r\n"

    client = serve(echo, over=over).client()
    for size in range(10_100, 10_105):  # from now on it is known what these have in common
        client.send(head(size))
        assert client.response().status == 200
    for _ in range(2):
        client.send(head(HEAD_SIZE) + request("GET", "/behind"))
        assert client.response().body == b"GET / "
        assert client.response().body == b"GET /behind "


@pytest.mark.parametrize("behind", ["", "/behind"])
@pytest.mark.parametrize("size", [SIP - 1, SIP, SIP + 1, 2 * SIP, HEAD_SIZE - 1])
def test_who_repeats_a_small_request_may_send_a_larger_one(
    serve: Serve, over: str, size: int, behind: str
) -> None:
    """Reads ask for little then, and what comes may fill one, or be known though it did not fit in one."""

    def head(size: int, target: str) -> bytes:
        start = request("GET", target, *(f"Field-{number}: {'p' * 5000}" for number in range(size // 5100)))
        return start[:-2] + b"Last: ".ljust(size - len(start) - 2, b"y") + b"\r\n\r\n"

    client = serve(echo, over=over).client()
    for _ in range(3):
        for _ in range(3):
            assert client.send(head(100, "/small")).response().body == b"GET /small "
        client.send(head(size, "/large") + (head(size, behind) if behind else b""))
        assert client.response().body == b"GET /large "
        if behind:
            assert client.response().body == b"GET /behind "
    client.send(head(100, "/small")).response()
    client.send(head(SIP, "/last"))
    client.half_close()
    assert client.response().body == b"GET /last "
    assert client.ended()


def test_a_head_that_comes_again_has_a_body_and_an_environ_of_its_own(serve: Serve, over: str) -> None:
    """The shortest way takes a head with the octets of the last one, and the body behind it, for known."""
    environs: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        assert "spoilt" not in environ
        environ["spoilt"] = environ["REMOTE_ADDR"] = environ["PATH_INFO"] = "by the application"
        environs.append(environ)
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    served = serve(app, over=over)
    client, other = served.client(), served.client()
    for number in range(100, 120):
        octets = request("POST", "/same", body=b"number %d" % number)
        for each in (client, other):
            assert each.send(octets).response().body == b"number %d" % number
    handles = [environ["dualwsgi.deadline"] for environ in environs]
    assert len(set(handles)) == 2, "one of each connection"
    assert handles[-1] is handles[1]
    assert handles[-1] is not handles[-2]
    # A body in two pieces, and one with a request behind it, in the same octets as far as they go.
    assert client.send(octets[:-4]).silent(0.01)
    assert client.send(octets[-4:]).response().body == b"number 119"
    client.send(octets + request("GET", "/behind"))
    assert [client.response().body for _ in range(2)] == [b"number 119", b""]
    with pytest.raises(ValueError, match="over"):
        environs[-4]["wsgi.input"].read()  # what was kept of it does not read from the next one


def mixed(number: int) -> tuple[bytes, bytes]:
    """A request of one of several kinds, and the body of its answer."""
    kinds = [
        (request("GET", f"/{number}"), b""),
        (request("POST", f"/{number}", body=b"sized %d" % number), b"sized %d" % number),
        (request("POST", f"/{number}", CHUNKED) + chunked(b"in ", b"chunks"), b"in chunks"),
        (request("POST", f"/{number}", body=b""), b""),
        (request("PUT", f"/{number}", body=b"y" * 3000), b"y" * 3000),
        (b"\r\n" + request("GET", f"/{number}"), b""),
        (request("GET", "/same"), b""),
    ]
    return kinds[number % len(kinds)]


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("count", [25, 1000])
def test_pipelined_requests_with_and_without_bodies_are_kept_apart(serve: Serve, count: int) -> None:
    client = serve(echo).client()
    cases = [mixed(number) for number in range(count)]
    sender = Thread(target=client.sock.sendall, args=(b"".join(octets for octets, _ in cases),))
    sender.start()
    for octets, body in cases:
        method, target = octets.split(b"\r\n\r\n")[0].strip().split(b" ")[:2]
        assert client.response().body == b"%b %b %b" % (method, target, body)
    sender.join()


@table("cut", range(1, 75, 3))
def test_a_pipeline_cut_anywhere_is_the_same_pipeline(serve_in_turn: Serve, cut: int) -> None:
    client = serve_in_turn(echo).client()
    new = f"X-Cut: {cut}"  # the server knows none of these heads from the row before
    octets = request("POST", "/1", new, body=b"abc") + request("GET", "/2", new) * 2
    octets += request("POST", "/3", CHUNKED, new) + chunked(b"d") + request("GET", "/4", new)
    client.send(*(octets[at : at + cut] for at in range(0, len(octets), cut)))
    bodies = [answer.body for answer in client.responses(5)]
    assert bodies == [b"POST /1 abc", b"GET /2 ", b"GET /2 ", b"POST /3 d", b"GET /4 "]


def test_nothing_after_connection_close_is_a_request(serve: Serve) -> None:
    calls: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(environ["PATH_INFO"])
        return answering()(environ, start_response)

    client = serve(app).client()
    client.send(request("GET", "/1") + request("GET", "/2", CLOSE) + request("GET", "/3"))
    assert [answer.get("Connection") for answer in client.last_responses()] == [None, "close"]
    assert calls == ["/1", "/2"]


def test_http_10_requests_pipeline_with_keep_alive(serve: Serve) -> None:
    client = serve(echo).client()
    kept = [request("GET", f"/{n}", "Connection: keep-alive", version="1.0") for n in range(24)]
    client.send(b"".join(kept) + request("GET", "/24", version="1.0"))
    answers = client.last_responses()
    assert [answer.body for answer in answers] == [b"GET /%d " % number for number in range(25)]
    assert [answer["Connection"] for answer in answers] == ["keep-alive"] * 24 + ["close"]


def test_a_bad_request_behind_good_ones_ends_the_connection_after_their_answers(serve: Serve) -> None:
    client = serve(answering()).client()
    client.send(request() + request() + b"Header: valueGET / HTTP/1.1\r\n\r\n" + request())
    assert [answer.status for answer in client.last_responses()] == [200, 200, 400]


def test_a_pipelined_request_waits_for_the_answer_before_it(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/slow":
            gate.wait()
        return echo(environ, start_response)

    client = serve(app).client().send(request("GET", "/slow") + request("GET", "/quick"))
    gate.expect()
    assert client.silent(0.05)
    gate.open()
    assert [answer.body for answer in client.responses(2)] == [b"GET /slow ", b"GET /quick "]


@pytest.mark.usefixtures("clear_or_tls")
def test_a_connection_whose_client_left_with_its_request_is_closed_at_once(serve: Serve) -> None:
    served = serve(echo)
    client = served.client()
    client.send(request("GET", "/1")).half_close()
    assert client.response().body == b"GET /1 "
    assert client.ending() == "eof"


@pytest.mark.usefixtures("clear_or_tls")
def test_a_half_closed_client_still_gets_its_answers(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return echo(environ, start_response)

    client = serve(app).client().send(request("GET", "/1") + request("GET", "/2")).half_close()
    gate.open()
    assert [answer.body for answer in client.last_responses()] == [b"GET /1 ", b"GET /2 "]


def test_a_pipelining_client_does_not_starve_the_others(serve: Serve) -> None:
    served = serve(answering(), threads=1)
    greedy = served.client(window=4096)
    sender = Thread(target=greedy.send_if_taken, args=(request() * 20_000,))
    sender.start()
    assert greedy.peek()
    assert served.ask().status == 200
    greedy.reset()
    sender.join()


def test_a_request_that_waits_does_not_delay_another(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/slow":
            gate.wait()
        return answering()(environ, start_response)

    served = serve(app)
    slow = [served.client().send(request("GET", "/slow")) for _ in range(5)]
    gate.expect()
    for _ in range(10):
        assert served.ask().status == 200
    gate.open()
    for client in slow:
        assert client.response().status == 200


def test_fifty_clients_with_eight_requests_each_are_served(serve: Serve, over: str) -> None:
    served = serve(echo, over=over)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with Client(served.address) as client:
                for turn in range(8):
                    body = b"%d %d" % (number, turn)
                    client.send(request("POST", "/", body=body))
                    assert client.response().body == b"POST / " + body
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=run, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_requests_beyond_the_threads_wait_and_beyond_the_queue_are_refused(serve: Serve, kit: Any) -> None:
    gate = kit.gate()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return answering()(environ, start_response)

    served = serve(app, threads=1, concurrency=1, queue_size=1)
    first = served.client().send(request())
    gate.expect()
    second = served.client().send(request())
    served.expect_queued(1)
    third = served.client().send(request())
    answer = third.response()
    assert (answer.status, answer["Retry-After"], answer["Connection"]) == (503, "1", "close")
    assert third.ended()
    gate.open()
    assert first.response().status == second.response().status == 200
    assert served.counter("refused") == 1


def test_a_request_that_waits_too_long_for_its_turn_is_refused(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return answering()(environ, start_response)

    served = serve(app, threads=1, concurrency=1, queue_timeout=0.1)
    first = served.client().send(request())
    gate.expect()
    assert served.ask().status == 503
    gate.open()
    assert first.response().status == 200
    assert served.ask().status == 200


class Marker:
    """Something that lives as long as the environ it is in."""


@pytest.mark.parametrize("content", ["list", "generator"])
@pytest.mark.parametrize("body", [None, b"x", b"x" * 100_000])
def test_an_idle_connection_keeps_neither_environ_nor_head(
    serve: Serve, content: str, body: bytes | None
) -> None:
    markers: list[weakref.ref[Marker]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        marker = environ["marker"] = Marker()
        markers.append(weakref.ref(marker))
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b"x"] if content == "list" else iter([b"x"])

    client = serve(app).client()
    secret = f"secret-{content}-{len(body or b'')}"
    client.send(request("GET", "/", f"Authorization: {secret}", body=body))
    assert client.response().body == b"x"

    def is_gone() -> bool:
        gc.collect()  # what is left of a greenlet's or a thread's stack is not the connection's
        kept = [
            each
            for each in gc.get_objects()
            if type(each) is Request and any(secret in line[1] for line in each.lines)
        ]
        return not kept and markers[0]() is None

    eventually(is_gone)
    assert client.send(request()).response().body == b"x"


@pytest.fixture
def high_numbers() -> Iterator[None]:
    """Every descriptor that is opened from here on has a number beyond 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("the system allows no such numbers")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    taken: list[int] = []
    while not taken or taken[-1] < 1100:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    yield
    for fd in taken:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("high_numbers")
def test_descriptors_beyond_1024_are_like_any_other(serve: Serve) -> None:
    """select() knows none of them; both the waits of a call and those between calls must do."""
    content = b"x" * (4 << 20)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", [("X-Size", str(size))])
        return iter([content])

    client = serve(app).client(window=4096)
    for _ in range(2):
        client.send(request("POST", "/", "Content-Length: 200000"), b"y" * 100_000)
        client.send(b"y" * 100_000)
        answer = client.response()
        assert (answer["X-Size"], answer.body) == ("200000", content)


def test_a_crowd_that_keeps_its_connections_loses_none(serve: Serve) -> None:
    served = serve(echo)

    def ask(number: int) -> int:
        with Client(served.address) as client:
            for turn in range(20):
                body = b"%d" % (number * turn)
                assert (
                    client.send(request("POST", f"/{turn}", body=body)).response().body.endswith(b" " + body)
                )
        return number

    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(ask, range(50))) == list(range(50))
    assert served.counter("connections") == 50
    eventually(lambda: served.counter("requests") == 1000)  # the last is counted a moment after it is out


# What comes behind the last request


def test_what_comes_behind_a_last_request_makes_no_reset_of_its_response(
    serve: Serve, clear_or_tls: str, gate: Gate
) -> None:
    """Some clients put CR LF behind a body."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return echo(environ, start_response)

    client = serve(app).client().send(request("POST", "/", CLOSE, body=b"a=b"))
    gate.expect()
    client.send(b"\r\n")
    gate.open()
    assert client.response().body == b"POST / a=b"
    assert client.ending() == "eof"


@pytest.mark.parametrize("pieces", [1, 5])
def test_what_comes_while_a_last_response_is_under_way_does_not_cut_it(
    serve: Serve, clear_or_tls: str, pieces: int
) -> None:
    content = [b"x" * (300_000 // pieces)] * pieces
    client = serve(answering(lambda: iter(content) if pieces > 1 else content)).client()
    client.send(request("POST", "/", CLOSE, body=b"a=b"))
    client.peek()
    client.send(b"\r\n")
    assert client.response().body == b"".join(content)
    assert client.ending() == "eof"
