"""Minutes of clients that vanish, stall, half-close and reset, on both backends: nothing is left behind.

pytest -m soak tests/test_soak.py        SOAK_SECONDS (default 60) says how long each takes
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from serving import Kit, Served
from wire import Client, eventually, request

Serve = Callable[..., Served]

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS + 120)]

CHUNKED = "Transfer-Encoding: chunked"


def make_app(backend: str) -> Callable[..., Any]:
    """Waits, computes, streams, reads, fails."""
    if backend == "green":
        from dualwsgi.green import sleep
    else:
        sleep = time.sleep

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        if path == "/wait":
            sleep(random.random() * 0.05)
        if path == "/fail":
            raise RuntimeError("on purpose")
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        if path == "/stream":
            return (b"%d" % number * 2000 for number in range(100))
        if path == "/large":
            return [b"x" * 3_000_000]
        return [b"%d" % len(body)]

    return app


def well_behaved(client: Client) -> None:
    for path in ("/", "/wait", "/stream"):
        assert client.send(request("POST", path, body=b"x" * 100)).response().status == 200


def vanish_in_head(client: Client) -> None:
    client.send(b"GET / HTT")


def vanish_in_body(client: Client) -> None:
    client.send(request("POST", "/", "Content-Length: 100000"), b"x" * random.randrange(90_000))


def vanish_while_it_runs(client: Client) -> None:
    client.send(request("GET", "/wait"))


def vanish_in_response(client: Client) -> None:
    client.send(request("GET", random.choice(["/large", "/stream"]))).exactly(100)


def stall(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost:")
    client.until_end()


def stall_in_body(client: Client) -> None:
    client.send(request("POST", "/", CHUNKED), b"5\r\nab")
    client.until_end()


def half_close(client: Client) -> None:
    client.send(request("GET", "/wait") * 2).half_close()
    client.until_end()


def noise(client: Client) -> None:
    client.send_if_taken(random.randbytes(200))
    client.until_end()


def fail(client: Client) -> None:
    client.send(request("GET", "/fail")).until_end()


KINDS: list[Callable[[Client], None]] = [
    well_behaved,
    vanish_in_head,
    vanish_in_body,
    vanish_while_it_runs,
    vanish_in_response,
    stall,
    stall_in_body,
    half_close,
    noise,
    fail,
]


def test_nothing_is_left_of_clients_that_misbehave(serve: Serve, kit: Kit) -> None:
    served = serve(
        make_app(kit.backend),
        threads=16,
        # More than a client of a busy machine takes from its connection to its request, to read on, and from
        # one request to the next.
        header_timeout=2.0,
        body_timeout=0.5,
        write_timeout=5.0,
        keep_alive=5.0,
        linger_timeout=0.5,
    )
    end = monotonic() + SECONDS
    failures: list[BaseException] = []
    served_well = [0]

    def behave(seed: int) -> None:
        chosen = random.Random(seed)
        while monotonic() < end and not failures:
            kind = chosen.choice(KINDS)
            client = Client(served.address, patience=30)
            try:
                kind(client)
                served_well[0] += kind is well_behaved
            except ConnectionError as error:
                if kind is well_behaved:
                    failures.append(error)
            except BaseException as error:
                failures.append(error)
            finally:
                if chosen.random() < 0.5:
                    client.reset()
                else:
                    client.close()

    clients = [threading.Thread(target=behave, args=(number,)) for number in range(24)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not failures, failures[0]
    assert served_well[0] > SECONDS
    backend: Any = served.server._backend
    assert eventually(lambda: backend.wait_idle(0.1), 20), "connections were left"
    if kit.backend == "green":
        left = backend._parked, backend._running, backend._waiters, backend._queue
        assert not any(left), left
        assert eventually(lambda: backend._hub.timers <= 1, 5), "timers were left"
        hub = backend._hub
        assert eventually(lambda: not hub.greenlets - set(hub._idle), 5), (
            "greenlets were left that are not idle"
        )
    # Every failure of the application was logged, and nothing else.
    complaints = kit.log.take()
    assert complaints
    assert all("the application failed" in line for line in complaints), complaints[:3]
