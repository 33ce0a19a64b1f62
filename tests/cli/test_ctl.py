"""`dualwsgi ctl`: what it prints for people and for scripts, and what it refuses."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Result
from serving import Gate, Kit, answering
from wire import eventually, request

from dualwsgi.serve.observe import client

Invoke = Callable[..., Result]


@pytest.fixture
def ctl(kit: Kit, gate: Gate, tmp_path: Path, invoke: Invoke) -> Callable[..., str]:
    """ctl(arguments): what it prints about a server with one request in flight, one answered before."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/wait_here":
            gate.wait()
        return answering()(environ, start_response)

    path = str(tmp_path / "control.sock")
    served = kit.serve(app, control_socket=path)
    served.ask()
    eventually(lambda: served.server.counters.requests)  # a response is out a moment before it is counted
    client = served.client()
    client.send(request(target="/wait_here?%1b[31m"))
    gate.expect()

    def run(*arguments: str, code: int = 0) -> str:
        result = invoke("ctl", *arguments, "--socket", path)
        assert result.exit_code == code, result.output
        return result.stdout if code == 0 else result.stderr

    yield run
    gate.open()
    assert client.response().status == 200


def test_it_tells_in_words_and_in_json(ctl: Callable[..., str]) -> None:
    assert "1 requests (1 2xx)" in ctl("snapshot")
    assert "GET /wait_here" in ctl("snapshot")
    assert re.search(r"time goes to .*application \d+%.* \(of 1 requests", ctl("snapshot"))
    snapshot = json.loads(ctl("snapshot", "--json"))
    assert snapshot["totals"]["requests"] == 1
    request_id = snapshot["in_flight"][0]["id"]
    (stuck,) = json.loads(ctl("stacks", request_id, "--json"))
    assert "app" in [frame["function"] for frame in stuck["frames"]]
    assert "in app" in ctl("stacks", request_id)
    assert "no such request" in ctl("stacks", "1.1", code=1)
    (listed,) = json.loads(ctl("list", "--json"))
    assert listed["pid"] == snapshot["workers"][0]["pid"]


def test_it_changes_settings_and_refuses_what_cannot_be(ctl: Callable[..., str]) -> None:
    assert "changed" in ctl("set", "--threads", "5")
    assert json.loads(ctl("snapshot", "--json"))["workers"][0]["limit"] == 5
    assert "changed" in ctl("set", "--phase-clock", "all")
    assert json.loads(ctl("snapshot", "--json"))["phase_clock"] == "all"
    assert "give all, sampled" in ctl("set", "--phase-clock", "some", code=1)
    assert "out of range" in ctl("set", "--threads", "0", code=1)
    assert "give debug, info" in ctl("set", "--log-level", "loud", code=1)
    assert "nothing to set" in ctl("set", code=1)
    assert "supervisor" in ctl("reload", code=1)
    assert "supervisor" in ctl("scale", "-1", code=1)


def test_where_no_server_is_it_says_how_to_start_one(invoke: Invoke, tmp_path: Path) -> None:
    for command in (["ctl", "snapshot"], ["top"]):
        result = invoke(*command, XDG_RUNTIME_DIR=str(tmp_path))
        assert result.exit_code == 1
        assert "dualwsgi run" in result.stderr
    (tmp_path / "none.sock").touch()
    result = invoke("ctl", "list", "--socket", str(tmp_path / "none.sock"))
    assert result.exit_code == 1
    assert "nobody answers at" in result.stderr


def test_a_server_that_stands_still_hides_no_other(
    kit: Kit, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    place = tmp_path / "sockets"
    place.mkdir()
    still, told = str(place / "1.sock"), "has not answered for 0.05 s: it is stopped, or compiled code"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(still)
        listener.listen()
        alone = invoke("ctl", "list", "--socket", still)
        assert (alone.exit_code, alone.stdout) == (1, "")
        assert told in alone.stderr
        served = kit.serve(answering(), control_socket=f"{place}/")
        monkeypatch.setattr(client, "PATIENCE", 0.3)
        listed = invoke("ctl", "list", "--socket", str(place))
    assert listed.exit_code == 0
    assert served.address in listed.stdout
    assert f"the server at {still} has not answered for 0.3 s" in listed.stderr


def test_requests_that_wait_at_one_place_share_its_stack(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stack(name: str, line: int) -> dict[str, Any]:
        frames = [{"file": "shop.py", "line": line, "function": "ask", "code": "database.get()"}]
        return {"request": name, "what": "GET /", "thread": 1, "greenlet": 0, "frames": frames}

    found = [stack("7.1", 3), stack("7.2", 4), stack("7.3", 3)]
    monkeypatch.setattr("dualwsgi_cli.ctl._ask", lambda *_, **__: [(7, found)])
    assert invoke("ctl", "stacks").stdout.splitlines() == [
        "7.1  GET /  (thread 0x1)",
        "7.3  GET /  (thread 0x1)",
        "  shop.py:3 in ask",
        "    database.get()",
        "",
        "7.2  GET /  (thread 0x1)",
        "  shop.py:4 in ask",
        "    database.get()",
        "",
    ]
