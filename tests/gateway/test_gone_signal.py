"""environ["dualwsgi.client_gone"]: an application that asks, waits or is called when its client leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering
from wire import PATIENCE, Client, eventually, request

import dualwsgi

Serve = Callable[..., Served]
Said = Callable[[], list[str]]


def leave(client: Client, how: str) -> None:
    {"close": client.close, "reset": client.reset, "half close": client.half_close}[how]()


LEAVING = pytest.mark.parametrize("how", ["close", "reset", "half close"])


@LEAVING
def test_an_application_may_ask(serve: Serve, over: str, gate: Gate, how: str) -> None:
    answers: list[bool] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        answers.append(environ["dualwsgi.client_gone"].is_set())
        gate.wait()
        answers.append(environ["dualwsgi.client_gone"].is_set())
        return answering()(environ, start_response)

    served = serve(app, over=over)
    client = served.client().send(request())
    gate.expect()
    leave(client, how)
    gate.open()
    assert eventually(lambda: answers[1:] and answers) == [False, True]
    if how == "half close":
        assert client.response().status == 200  # it was advice; the answer is still sent
    eventually(lambda: served.counter("requests") + served.counter("gone"))


@LEAVING
def test_an_application_may_wait(serve: Serve, over: str, how: str) -> None:
    answers: list[bool] = []
    waiting = threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gone = environ["dualwsgi.client_gone"]
        if environ["PATH_INFO"] == "/wait":
            answers.append(gone.wait(0.01))
            waiting.set()
            answers.append(gone.wait(PATIENCE))
        return answering()(environ, start_response)

    served = serve(app, over=over, threads=2)
    client = served.client()
    assert client.send(request()).response().status == 200
    client.send(request("GET", "/wait"))
    assert waiting.wait(PATIENCE)
    assert served.ask().status == 200  # others are served meanwhile
    leave(client, how)
    assert eventually(lambda: answers[1:] and answers) == [False, True]


@LEAVING
def test_an_application_may_be_called_back(serve: Serve, over: str, gate: Gate, how: str, kit: Kit) -> None:
    called: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gone = environ["dualwsgi.client_gone"]
        gone.call(lambda: called.append("one"))
        gone.call(lambda: called.append("two"))
        if environ["PATH_INFO"] == "/stay":
            gate.wait()
        return answering()(environ, start_response)

    served = serve(app, over=over)
    client = served.client()
    for _ in range(20):
        assert client.send(request()).response().status == 200
    client.send(request("GET", "/stay"))
    gate.expect()
    assert served.ask().status == 200
    assert called == []
    leave(client, how)
    assert eventually(lambda: called[1:] and called) == ["one", "two"]
    gate.open()
    eventually(lambda: gate.waiting == 0)
    assert called == ["one", "two"]


def test_a_callback_after_the_client_has_left_comes_at_once(serve: Serve, gate: Gate, kit: Kit) -> None:
    called = kit.gate()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        environ["dualwsgi.client_gone"].call(called.open)
        called.wait()
        return answering()(environ, start_response)

    client = serve(app).client().send(request())
    gate.expect()
    client.close()
    gate.open()
    called.expect()
    eventually(lambda: called.waiting == 0)


def test_a_callback_may_wait_and_may_fail(serve: Serve, gate: Gate, kit: Kit, said: Said) -> None:
    called: list[int] = []
    end = kit.gate()

    def fail() -> None:
        raise RuntimeError("mine")

    def wait() -> None:
        gate.wait()
        called.append(1)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["dualwsgi.client_gone"].call(fail)
        environ["dualwsgi.client_gone"].call(wait)
        end.wait()
        return answering()(environ, start_response)

    served = serve(app)
    served.client().send(request()).close()
    gate.expect()
    gate.open()
    eventually(lambda: called)
    end.open()
    assert any("mine" in line for line in eventually(said))


def test_a_request_that_is_over_is_not_called_back(serve: Serve) -> None:
    called: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["dualwsgi.client_gone"].call(lambda: called.append(environ["PATH_INFO"]))
        return answering()(environ, start_response)

    served = serve(app)
    client = served.client()
    for _ in range(3):
        assert client.send(request()).response().status == 200
    threading.Event().wait(0.01)
    client.close()
    for _ in range(3):
        assert served.ask().status == 200
    assert called == []


def test_an_application_that_gives_up_is_logged_as_499(serve: Serve, tmp_path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["dualwsgi.client_gone"].wait(PATIENCE):
            raise dualwsgi.ClientGone("nobody waits for this")
        return answering()(environ, start_response)

    served = serve(app, access_log=str(tmp_path / "log"))
    served.client().send(request()).close()
    eventually(lambda: served.counter("gone"))
    served.stop()
    assert '" 499 ' in (tmp_path / "log").read_text()


def test_a_request_whose_client_was_reset_in_the_queue_is_not_called(
    serve: Serve, gate: Gate, tmp_path: Path
) -> None:
    calls: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/stay":
            gate.wait()
        return answering()(environ, start_response)

    served = serve(app, threads=1, concurrency=1, access_log=str(tmp_path / "log"))
    first = served.client().send(request("GET", "/stay"))
    gate.expect()
    impatient = [served.client().send(request("GET", "/impatient")) for _ in range(3)]
    patient = served.client().send(request("GET", "/patient"))
    half = served.client().send(request("GET", "/half")).half_close()
    served.expect_queued(5)
    for client in impatient:
        client.reset()
    gate.open()
    for client in (first, patient, half):
        assert client.response().status == 200
    eventually(lambda: served.counter("gone") == 3)
    assert sorted(calls) == ["/half", "/patient", "/stay"]
    served.stop()
    assert (tmp_path / "log").read_text().count('/impatient HTTP/1.1" 499 ') == 3
