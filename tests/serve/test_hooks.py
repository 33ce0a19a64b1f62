"""The operator's own callables: when they are called, with what, and that one that fails hurts nobody."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering
from wire import eventually, request

import dualwsgi
from dualwsgi.errors import ConfigError

Serve = Callable[..., Served]


def test_a_request_is_told_of_at_its_begin_and_after_its_end(serve: Serve, gate: Gate) -> None:
    told: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        told.append(("call", threading.get_ident()))
        start_response("201 Created", [])
        yield b"first"
        gate.wait()
        yield b"last"

    served = serve(
        app,
        request_begun=lambda environ: told.append((environ["PATH_INFO"], threading.get_ident())),
        request_ended=lambda environ, status, seconds: told.append((environ["PATH_INFO"], status, seconds)),
    )
    client = served.client().send(request("GET", "/a"))
    gate.expect()
    assert [word for word, *_ in told] == ["/a", "call"]
    assert told[0][1] == told[1][1]
    gate.open()
    assert client.response().body == b"firstlast"
    path, status, seconds = eventually(lambda: told[2] if len(told) == 3 else None)
    assert (path, status) == ("/a", "201 Created")
    assert 0 < seconds < 60


def test_on_a_thread_one_quick_request_ends_before_the_next_begins(serve: Serve) -> None:
    """So hooks may keep what they need between the two in the thread, as those of other servers do."""
    told: list[tuple[int, str]] = []
    served = serve(
        answering(),
        request_begun=lambda environ: told.append((threading.get_ident(), "begun")),
        request_ended=lambda environ, status, seconds: told.append((threading.get_ident(), "ended")),
    )
    clients = [served.client() for _ in range(16)]
    for _ in range(20):
        for client in clients:
            client.send(request())
        for client in clients:
            client.response()
    eventually(lambda: len(told) == 2 * 16 * 20)
    for thread in {thread for thread, _ in told}:
        words = [word for at, word in told if at == thread]
        assert words == ["begun", "ended"] * (len(words) // 2)


def test_each_begin_has_one_end_and_what_never_came_to_a_call_has_neither(serve: Serve) -> None:
    begun: list[str] = []
    ended: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/bad":
            raise ValueError("as it should")
        return answering()(environ, start_response)

    served = serve(
        app,
        request_begun=lambda environ: begun.append(environ["PATH_INFO"]),
        request_ended=lambda environ, status, seconds: ended.append(f"{environ['PATH_INFO']} {status}"),
    )
    client = served.client()
    for _ in range(3):
        client.send(request("GET", "/a")).response()
    client.leave()
    served.ask(b"NONSENSE\r\n\r\n")
    assert served.ask(request("GET", "/bad")).status == 500
    served.said()
    assert begun == ["/a", "/a", "/a", "/bad"]
    assert ended == ["/a 200 OK", "/a 200 OK", "/a 200 OK", "/bad 500 Internal Server Error"]


def test_the_log_is_written_with_and_without(serve: Serve, tmp_path: Any) -> None:
    log = tmp_path / "log"
    ended: list[str] = []
    served = serve(
        answering(),
        access_log=str(log),
        access_log_format="%(status)s %(request_id)s",
        request_id=True,
        request_ended=lambda environ, status, seconds: ended.append(environ["dualwsgi.request_id"]),
    )
    answer = served.ask()
    assert ended == [answer["X-Request-ID"]]
    eventually(lambda: log.read_text() == f"200 {answer['X-Request-ID']}\n")


def test_a_hook_that_fails_is_logged_and_the_request_goes_on(serve: Serve) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bad hook")

    served = serve(answering(), request_begun=fail, request_ended=fail, worker_stopped=fail)
    assert served.ask().body == b"hello"
    assert served.stop()
    said = [line.partition(" | ")[0] for line in served.said()]
    assert sorted(said) == [
        f"{name} has failed" for name in ("request_begun", "request_ended", "worker_stopped")
    ]


def test_a_worker_is_told_of_before_it_serves_and_after(kit: Kit) -> None:
    told: list[Any] = []

    def started(server: dualwsgi.Server) -> None:
        told.append(("started", server.started, server.config.backend))

    def stopped(server: dualwsgi.Server) -> None:
        told.append(("stopped", server.counters.requests))

    served = kit.serve(answering(), worker_started=started, worker_stopped=stopped)
    assert told == [("started", 0.0, kit.backend)]
    served.ask()
    assert served.stop()
    assert told[1:] == [("stopped", 1)]


def test_a_hook_that_stops_the_server_keeps_it_from_starting(kit: Kit) -> None:
    with pytest.raises(ConfigError, match=r"worker_started: it has called stop\(\)"):
        kit.serve(answering(), worker_started=lambda server: server.stop())


def test_a_hook_that_stops_a_stopping_server_does_no_harm(kit: Kit) -> None:
    stopped: list[bool] = []
    served = kit.serve(answering(), worker_stopped=lambda server: stopped.append(server.stop()))
    assert served.ask().body == b"hello"
    assert served.stop()
    assert served.stop()
    assert stopped == [True]


def test_a_worker_whose_hook_fails_does_not_start(kit: Kit) -> None:
    def fail(_: object) -> None:
        raise ValueError("no database")

    server = dualwsgi.Server(answering(), backend=kit.backend, bind="127.0.0.1:0", worker_started=fail)
    with pytest.raises(
        ConfigError, match=re.escape("worker_started: it failed with ValueError('no database')")
    ):
        server.start()
    assert kit.log.take() == ["worker_started has failed | ValueError('no database')"]


def test_a_hook_may_be_named_and_a_wrong_name_is_refused() -> None:
    server = dualwsgi.Server(answering(), worker_started="platform:node")
    assert server.config.worker_started == "platform:node"
    with pytest.raises(ConfigError, match="it has no attribute 'nodes'"):
        dualwsgi.Server(answering(), request_begun="platform:nodes")
