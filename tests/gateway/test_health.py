"""The health lane: paths of the main listener, answered by whoever polls, however busy all others are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Gate, Served, answering, echo
from table import table
from wire import CLOSE, eventually, request

from dualwsgi.config import Config
from dualwsgi.errors import ConfigError
from dualwsgi.serve import health

Serve = Callable[..., Served]

PATHS = {"livez_path": "/livez", "readyz_path": "/readyz"}


def test_both_are_answered_while_every_call_is_busy_and_the_queue_is_full(
    serve: Serve, gate: Gate, clear_or_tls: str
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return answering()(environ, start_response)

    served = serve(app, threads=1, concurrency=1, queue_size=1, **PATHS)
    running = served.client().send(request())
    gate.expect()
    waiting = served.client().send(request())
    served.expect_queued(1)
    client = served.client()
    for _ in range(6):  # a head that comes again is remembered, but not one of these
        assert client.send(request("GET", "/livez")).response().body.endswith(b" lives\n")
        answer = client.send(request("GET", "/readyz?verbose")).response()
        assert (answer.status, answer.body) == (200, b"ready\n")
    gate.open()
    for each in (running, waiting):
        assert each.response().status == 200


def test_who_was_turned_away_makes_it_unready_for_a_moment(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return answering()(environ, start_response)

    served = serve(app, threads=1, concurrency=1, queue_size=0, **PATHS)
    running = served.client().send(request())
    gate.expect()
    assert served.ask(request("GET", "/readyz")).status == 200
    assert served.ask().status == 503
    answer = served.ask(request("GET", "/readyz"))
    assert (answer.status, answer.body) == (503, b"overloaded\n")
    assert served.ask(request("GET", "/livez")).status == 200
    monkeypatch.setattr(health, "OVERLOADED", 0.0)
    assert served.ask(request("GET", "/readyz")).status == 200
    gate.open()
    assert running.response().status == 200


def test_a_503_of_the_application_s_own_says_nothing_about_the_server(serve: Serve) -> None:
    served = serve(answering(status="503 Service Unavailable"), **PATHS)
    assert served.ask().status == 503
    assert served.ask(request("GET", "/readyz")).status == 200


def test_a_server_that_drains_is_not_ready_and_lives(serve: Serve) -> None:
    served = serve(answering(), **PATHS)
    client = served.client()
    assert client.send(request("GET", "/readyz")).response().get("Connection") is None
    served.server.announce_drain()
    answer = client.send(request("GET", "/readyz")).response()
    assert (answer.status, answer.body, answer["Connection"]) == (503, b"draining\n", "close")
    assert served.ask(request("GET", "/livez")).status == 200


def test_only_what_asks_for_them_is_answered_and_the_rest_is_the_applications(serve: Serve) -> None:
    served = serve(echo, **PATHS)
    for octets in (
        request("POST", "/livez", body=b"x"),
        request("GET", "/livez", body=b"x"),
        request("DELETE", "/livez"),
        request("GET", "/livez/more"),
    ):
        assert b"/livez" in served.ask(octets).body
    head = served.ask(request("HEAD", "/livez"), "HEAD")
    assert head.status == 200
    assert int(head["Content-Length"]) > 10
    assert (head["Cache-Control"], head["Server"]) == ("no-store", "dualwsgi")
    assert served.ask(request("GET", "/readyz", CLOSE))["Connection"] == "close"
    assert served.ask(b"GET /readyz HTTP/1.0\r\n\r\n").body == b"ready\n"
    pipelined = served.client().send(request("GET", "/readyz") + request("GET", "/app"))
    assert pipelined.response().body == b"ready\n"
    assert pipelined.response().body == b"GET /app "


def test_they_are_off_unless_asked_for(serve: Serve) -> None:
    served = serve(echo)
    assert served.ask(request("GET", "/livez")).body == b"GET /livez "


def test_no_log_and_no_figure_tells_of_them(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    served = serve(echo, access_log=str(log), **PATHS)
    for path in ("/livez", "/readyz", "/app"):
        served.ask(request("GET", path))
    eventually(lambda: "/app" in log.read_text())
    assert "z" not in log.read_text().partition("GET")[2].partition(" HTTP")[0]
    assert len(log.read_text().splitlines()) == 1
    assert served.counter("requests") == 1


@table("path", ["livez", "/a b", "/a?b", "/%61", "/\u00e4", None])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ConfigError, match=r"livez_path: .* is no path; give a path such as /livez"):
        Config(livez_path=path)


def test_one_path_cannot_say_two_things() -> None:
    with pytest.raises(ConfigError, match="readyz_path: '/z' is livez_path, too"):
        Config(livez_path="/z", readyz_path="/z")
