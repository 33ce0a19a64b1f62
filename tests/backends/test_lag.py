"""The lag of a loop, by a clock of its own; and that it is told while something holds the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from serving import Kit
from wire import eventually, request

from dualwsgi.backends.lag import LIFE, Lag


def test_a_delay_is_told_while_it_lasts_and_for_a_while_after_it() -> None:
    lag = Lag()
    lag.expect(10.0)
    assert lag.seconds(9.0) == 0.0
    assert lag.seconds(12.5) == 2.5
    lag.came(13.0)
    lag.expect(14.0)
    assert lag.seconds(13.5) == 3.0
    lag.came(14.1)
    lag.expect(15.0)
    assert lag.seconds(14.2) == 3.0
    lag.came(13.0 + LIFE + 0.1)
    lag.expect(0.0)
    assert lag.seconds(13.0 + LIFE + 0.2) < 4.0
    assert lag.seconds(100.0) == 0.0, "nothing is late where there is no work"


# On threads another leads meanwhile, and nothing is late.
@pytest.mark.parametrize("backend", ["green"], indirect=True)
def test_a_call_that_computes_without_end_shows_while_it_does(kit: Kit) -> None:
    over = threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        while not over.is_set():
            time.sleep(0)
        start_response("200 OK", [])
        return [b""]

    served = kit.serve(app, max_blocking_time=0)
    client = served.client().send(request())
    try:
        eventually(lambda: (view := served.server.look()) and view.lag > 0.5)
    finally:
        over.set()
    assert client.response().status == 200
