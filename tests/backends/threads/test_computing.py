"""Threads: a call that computes has a thread, and not the server.

On green the same call keeps everybody waiting, and is named for it: tests/backends/green/test_held_hub.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from serving import Served, answering
from wire import PATIENCE, request

Serve = Callable[..., Served]


@pytest.fixture(params=["threads"])
def backend(request: pytest.FixtureRequest) -> str:
    """See above."""
    return str(request.param)


def test_a_call_that_computes_leaves_the_others_served(serve: Serve) -> None:
    enough, over = threading.Event(), []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/compute":
            end = monotonic() + PATIENCE
            while not enough.is_set():  # without ever letting go of the interpreter by itself
                assert monotonic() < end, "nobody else was served"
            over.append(1)
        return answering()(environ, start_response)

    served = serve(app, threads=2)
    quick = served.client()
    for _ in range(100):  # until its route is known to be quick, so that it is the leader's to run
        assert quick.send(request("GET", "/quick")).response().status == 200
    busy = served.client().send(request("GET", "/compute"))
    for _ in range(20):
        assert quick.send(request("GET", "/quick")).response().status == 200
    assert not over
    enough.set()
    assert busy.response().status == 200
