"""The report of a call that has kept the hub, and with it every other request."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, thread_time
from typing import Any

import pytest
from serving import Kit, Served, answering
from wire import eventually, request

Serve = Callable[..., Served]


@pytest.fixture(params=["green"])
def backend(request: pytest.FixtureRequest) -> str:
    """Only a hub can be held: on threads a call that computes leaves the others served."""
    return str(request.param)


def compute(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    seconds = float(environ["QUERY_STRING"] or 0)
    end = thread_time() + seconds
    while thread_time() < end:
        pass
    return answering()(environ, start_response)


def test_a_call_that_computes_is_named_once_with_its_request_and_its_stack(serve: Serve, kit: Kit) -> None:
    served = serve(compute, max_blocking_time=0.05)
    client = served.client()

    def held_often() -> bool:  # a machine that is busy otherwise may let the watcher sleep through one
        assert client.send(request("POST", "/burn?0.2")).response().status == 200
        return served.counter("hub_held") >= 3

    eventually(held_often)
    (line,) = eventually(kit.log.take)
    assert "127.0.0.1 POST /burn?0.2 has kept the hub" in line
    assert "in compute" in line and "thread_time() < end" in line


def test_calls_that_are_quick_are_not_reported(serve: Serve) -> None:
    served = serve(compute, max_blocking_time=10.0)
    client = served.client()
    for _ in range(20):
        assert client.send(request("GET", "/?0.005")).response().status == 200
    assert served.counter("hub_held") == 0


def test_nothing_is_watched_where_nothing_shall_be_reported(serve: Serve) -> None:
    served = serve(compute, max_blocking_time=0)
    began = monotonic()
    assert served.ask(request("GET", "/?0.2")).status == 200
    assert monotonic() - began >= 0.2
    assert served.counter("hub_held") == 0
