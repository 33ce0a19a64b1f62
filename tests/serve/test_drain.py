"""A server that stops loses no request that a client could not know to be too late."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread
from time import monotonic

import pytest
from serving import Gate, Served, answering, echo
from wire import PATIENCE, Client, eventually, request

Serve = Callable[..., Served]


def test_busy_keep_alive_clients_are_told_to_go_and_lose_nothing(serve: Serve) -> None:
    """Every request is answered until an answer says close; none is cut, none is reset."""
    served = serve(echo)
    clients, begun = 16, Barrier(17)
    failures: list[BaseException] = []
    asked: list[int] = []

    def ask_on() -> None:
        count = 0
        try:
            with Client(served.address) as client:
                while True:
                    answer = client.send(request("GET", f"/{count}")).response()
                    assert answer.body == b"GET /%d " % count
                    count += 1
                    if count == 5:
                        begun.wait()
                    if answer.get("Connection") == "close":
                        assert client.ending() == "eof"
                        break
        except BaseException as error:
            failures.append(error)
        asked.append(count)

    threads = [Thread(target=ask_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    begun.wait()
    assert served.server.stop(window=PATIENCE)
    for thread in threads:
        thread.join()
    assert failures == []
    assert min(asked) > 5


def test_a_request_in_the_backlog_when_the_server_stops_is_served(serve: Serve, gate: Gate) -> None:
    def app(environ: dict[str, object], start_response: Callable[..., object]) -> object:
        if environ["PATH_INFO"] == "/slow":
            gate.wait()
        return echo(environ, start_response)

    served = serve(app, threads=1, concurrency=1)
    slow = served.client().send(request("GET", "/slow"))
    gate.expect()
    waiting = [served.client().send(request("GET", f"/{number}")) for number in range(100)]
    stopper = Thread(target=served.stop)
    stopper.start()
    gate.open()
    assert slow.response().body == b"GET /slow "
    for number, client in enumerate(waiting):
        assert client.response().body == b"GET /%d " % number
        assert client.ending() == "eof"
    stopper.join()


def test_an_idle_connection_is_closed_once_it_has_been_silent_for_the_window(serve: Serve) -> None:
    served = serve(answering())
    idle, fresh = served.client(), served.client()
    assert idle.send(request()).response().status == 200
    eventually(lambda: served.counter("connections") == 2)
    began = monotonic()
    assert served.stop()
    assert monotonic() - began < 5
    assert idle.ending() == fresh.ending() == "eof"


@pytest.mark.parametrize("used", [True, False], ids=["used", "fresh"])
def test_an_idle_connection_may_still_ask_within_the_window(serve: Serve, used: bool) -> None:
    served = serve(answering())
    client = served.client()
    if used:
        assert client.send(request()).response().get("Connection") is None
    else:
        eventually(lambda: served.counter("connections") == 1)
    stopper = Thread(target=served.server.stop, kwargs={"window": PATIENCE})
    stopper.start()
    eventually(lambda: refused(served))
    answer = client.send(request()).response()
    assert (answer.status, answer["Connection"]) == (200, "close")
    assert client.ending() == "eof"
    stopper.join()


def test_a_listener_that_is_closed_before_it_is_left_is_no_fault(serve: Serve) -> None:
    """As when the leader or the hub had no processor for so long that nobody waited for it any more."""
    served = serve(answering())
    client = served.client()
    assert client.send(request()).response().status == 200
    for listener in served.server._listeners:
        listener.close()
    assert served.stop()
    assert client.ending() == "eof"


def refused(served: Served) -> bool:
    try:
        Client(served.address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it was still in the backlog when that was closed
    return False
