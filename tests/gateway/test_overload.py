"""More requests than may run: who waits, who is refused with 503 and Retry-After, and by which rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering
from table import table
from wire import Response, eventually, request

from dualwsgi.backends import queueing
from dualwsgi.backends.queueing import Patience

Serve = Callable[..., Served]

BUSY = request("GET", "/busy")


def behind(gate: Gate) -> Any:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/busy":
            gate.wait()
        return answering()(environ, start_response)

    return app


def check_refused(answer: Response) -> None:
    assert (answer.status, answer["Retry-After"], answer["Connection"]) == (503, "1", "close")


@pytest.mark.parametrize("size", [0, 1, 5])
def test_so_many_requests_wait_and_the_next_is_refused(serve: Serve, gate: Gate, size: int) -> None:
    served = serve(behind(gate), threads=1, concurrency=1, queue_size=size)
    first = served.client().send(BUSY)
    gate.expect()
    waiting = [served.client().send(request()) for _ in range(size)]
    served.expect_queued(size)
    for _ in range(3):
        check_refused(served.ask())
    gate.open()
    for client in (first, *waiting):
        assert client.response().status == 200
    assert served.counter("refused") == 3
    eventually(lambda: served.ask().status == 200)  # the call's place is free a moment after its answer


def crowd(serve: Serve, kit: Kit, **settings: Any) -> list[int]:
    """What 40 clients get who wait at once for what takes 10 ms, one after the other."""
    first = kit.gate()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        first.wait()
        pause = kit.gate()
        pause.open_later(0.01)
        pause.wait()
        return answering()(environ, start_response)

    served = serve(app, threads=1, concurrency=1, **settings)
    clients = [served.client().send(request()) for _ in range(40)]
    first.expect()
    eventually(lambda: served.queued + served.counter("refused") == 39)
    first.open()
    statuses = [client.response().status for client in clients]
    eventually(lambda: served.ask().status == 200)  # once the queue is empty, all is well
    return statuses


def test_a_queue_that_stands_is_held_to_its_target(
    serve: Serve, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "STANDING", 0.02)
    statuses = crowd(serve, kit, queue_target=0.05)
    assert set(statuses) == {200, 503}
    assert statuses.count(503) > 10


def test_a_burst_may_wait_longer_than_the_target(
    serve: Serve, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "STANDING", 60.0)
    assert set(crowd(serve, kit, queue_target=0.05)) == {200}


def test_without_a_target_or_far_below_it_all_wait(
    serve: Serve, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "STANDING", 0.02)
    assert set(crowd(serve, kit)) == {200}
    assert set(crowd(serve, kit, queue_target=30.0)) == {200}


def test_who_waited_too_long_is_refused_when_a_call_ends_and_not_only_by_the_clock(
    serve: Serve, gate: Gate
) -> None:
    served = serve(behind(gate), threads=1, concurrency=1, queue_timeout=0.05, linger_timeout=10.0)
    first = served.client().send(BUSY)
    gate.expect()
    late = [served.client().send(request()) for _ in range(3)]
    eventually(lambda: served.queued + served.counter("refused") == 3)
    late[-1].silent(0.1)  # it, too, is late by then
    gate.open()
    assert first.response().status == 200
    for client in late:
        check_refused(client.response())
    assert served.ask().status == 200


@table(
    ("target", "waited", "limit"),
    [(0.0, 0.05, 30.0), (0.0, 5.0, 30.0), (0.5, 0.05, 30.0), (0.5, 0.15, 0.5), (60.0, 5.0, 30.0)],
)
def test_the_patience_of_a_queue(target: float, waited: float, limit: float) -> None:
    patience = Patience(30.0, target)
    patience.begins(100.0)
    assert patience.limit(100.0 + waited) == limit
    patience.begins(200.0)
    assert patience.limit(200.0) == 30.0


def test_a_file_that_waits_for_its_turn_is_not_answered_503_in_its_middle(
    serve: Serve, kit: Kit, gate: Gate, tmp_path: Any
) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * 8_000_000)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/busy":
            return behind(gate)(environ, start_response)
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(big, "rb"))

    served = serve(app, threads=1, concurrency=1, queue_timeout=0.1)
    reader = served.client(window=4096).send(request())
    assert reader.peek()
    busy = served.client().send(BUSY)
    gate.expect()
    # Its rest waits for the only call, in vain: it is cut, and what came is a part of the file.
    octets = reader.until_end()
    assert len(octets) < 8_000_000
    assert not octets.partition(b"\r\n\r\n")[2].strip(b"x")
    gate.open()
    assert busy.response().status == 200
