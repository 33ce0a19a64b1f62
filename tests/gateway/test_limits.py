"""Limits on what one client may take: rates, sizes and numbers, each on both of its sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from time import monotonic
from typing import Any

import pytest
from serving import Served, answering, echo
from table import table
from wire import CHUNKED, Client, chunked, eventually, request

from dualwsgi.serve.census import _block

Serve = Callable[..., Served]

SHORT = 0.3
"""Seconds."""

SLOW = 1
FAST = 1_000_000
"""Minimum rates, in octets a second, that a client here keeps easily or cannot keep."""


def drip(client: Client, octets: bytes) -> bool:
    """Sends an octet every few milliseconds, some hundred a second; whether nothing came in between."""
    for at in range(len(octets)):
        if not client.silent(0.01):
            return False
        client.send_if_taken(octets[at : at + 1])
    return True


# Rates


@pytest.mark.parametrize(("rate", "status"), [(0, 200), (SLOW, 200), (FAST, 408)])
def test_a_head_must_come_at_its_minimum_rate(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, rate: int, status: int
) -> None:
    monkeypatch.setattr("dualwsgi.gateway.connection.RATE_GRACE", SHORT)
    client = serve(echo, min_header_rate=rate, linger_timeout=SHORT).client()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert drip(client, b"X: " + b"y" * 50 + b"\r\n\r\n") is (status == 200)
    assert client.response().status == status
    assert status == 200 or client.ended()


@pytest.mark.parametrize(("rate", "status"), [(SLOW, 200), (FAST, 408)])
@pytest.mark.parametrize(("framing", "size"), [("sized", 100), ("chunked", 100_000)])
def test_a_body_must_come_at_its_minimum_rate(
    serve: Serve, rate: int, status: int, framing: str, size: int
) -> None:
    served = serve(echo, min_body_rate=rate, body_timeout=SHORT)
    client, body = served.client(), b"x" * size
    head, octets = (
        (request("POST", "/", f"Content-Length: {size}"), body)
        if framing == "sized"
        else (request("POST", "/", CHUNKED), chunked(body))
    )
    client.send(head + octets[:-50])
    assert drip(client, octets[-50:]) is (status == 200)
    answer = client.response()
    assert answer.status == status
    if status == 200:
        assert answer.body == b"POST / " + body
    else:
        assert client.ended()


@pytest.mark.parametrize(("rate", "goes_on"), [(SLOW, True), (FAST, False)])
def test_what_is_left_of_a_body_must_come_at_its_minimum_rate(serve: Serve, rate: int, goes_on: bool) -> None:
    client = serve(answering(), min_body_rate=rate, body_timeout=SHORT).client()
    client.send(request("POST", "/", "Content-Length: 70000") + b"x" * 69_950)
    assert client.response().status == 200
    assert drip(client, b"x" * 50) is goes_on
    if goes_on:
        assert client.send(request()).response().status == 200
    else:
        assert client.ended()


@pytest.mark.parametrize("rate", [SLOW, 100 * FAST])
@pytest.mark.parametrize("content", ["whole", "generated"])
def test_a_response_must_be_read_at_its_minimum_rate(serve: Serve, rate: int, content: str) -> None:
    piece, count = b"x" * 100_000, 200
    closed: list[int] = []

    def generate() -> Iterator[bytes]:
        try:
            for _ in range(count):
                yield piece
        finally:
            closed.append(1)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Length", str(len(piece) * count))])
        return generate() if content == "generated" else [piece * count]

    served = serve(app, min_response_rate=rate, write_timeout=SHORT)
    client = served.client(window=65536).send(request())
    began, got, pause = monotonic(), 0, Event()
    while monotonic() - began < 3 * SHORT and served.counter("expired") == 0:
        got += len(client.sock.recv(20_000))
        pause.wait(0.01)  # so it takes two megabytes a second, or less
    if rate > FAST:
        assert got + len(client.until_end()) < len(piece) * count
        assert client.was_reset
        assert served.counter("expired") == 1
        assert content == "whole" or eventually(lambda: closed)
    else:
        assert client.peek()
        assert served.counter("expired") == 0


# Sizes


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_body_of_exactly_its_limit_is_taken_and_one_octet_more_is_not(
    serve: Serve, size: int, framing: str
) -> None:
    served = serve(echo, limit_request_body=size)

    def octets(count: int) -> bytes:
        if framing == "sized":
            return request("POST", body=b"x" * count)
        return request("POST", "/", CHUNKED) + chunked(b"x" * 500, b"x" * (count - 500))

    assert served.ask(octets(size)).body == b"POST / " + b"x" * size
    client = served.client()
    client.send_if_taken(octets(size + 1))
    assert client.response().status == 413
    assert client.ended()


def test_a_limit_of_0_on_bodies_is_none(serve: Serve) -> None:
    assert len(serve(echo, limit_request_body=0).ask(request("POST", body=b"x" * 200_000)).body) > 200_000


# Numbers


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_connection_carries_so_many_requests_and_the_last_one_says_so(serve: Serve, count: int) -> None:
    client = serve(echo, max_keepalive_requests=count).client()
    for number in range(1, count + 1):
        answer = client.send(request()).response()
        assert answer.status == 200
        assert (answer.get("Connection") == "close") is (number == count)
    assert client.ending() == "eof"


def test_an_address_has_so_many_connections_and_more_are_answered_503(serve: Serve) -> None:
    served = serve(echo, limit_per_address=3)
    welcome = [served.client() for _ in range(3)]
    for client in welcome:
        assert client.send(request()).response().status == 200
    for sent in (b"", request(), request("POST", body=b"x" * 100_000)):
        client = served.client()
        client.send_if_taken(sent)
        answer = client.response()
        assert (answer.status, answer["Retry-After"], answer["Connection"]) == (503, "1", "close")
        client.close()
    assert served.counter("refused") == 3
    for client in welcome:
        assert client.send(request()).response().status == 200
    welcome[0].close()
    welcome[1].reset()

    def is_welcome() -> bool:
        with Client(served.address) as client:
            return client.send_if_taken(request()) and client.response().status == 200

    eventually(is_welcome)
    eventually(is_welcome)


def test_connections_are_counted_by_address_and_not_on_unix_sockets(serve: Serve) -> None:
    served = serve(echo, over="unix", limit_per_address=1)
    clients = [served.client() for _ in range(5)]
    for client in clients:
        assert client.send(request()).response().status == 200


@table(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_addresses_are_told_apart_as_far_as_one_customer_goes(one: str, other: str, same: bool) -> None:
    assert (_block(one) == _block(other)) is same
