"""The control socket: who may come in, what it answers, and that nobody there can hold up the server."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering
from table import table
from wire import PATIENCE, eventually, request

import dualwsgi
from dualwsgi.serve.observe import control
from dualwsgi.serve.observe.client import Attached, ControlError, attach, find
from dualwsgi.serve.observe.snapshot import VERSION, merge


@pytest.fixture
def served(kit: Kit, tmp_path: Path) -> Served:
    return kit.serve(answering(), control_socket=str(tmp_path / "control.sock"))


def socket_of(served: Served) -> str:
    path = served.server.control_socket
    assert path is not None
    return path


def running(attached: Attached, target: str) -> dict[str, Any]:
    """What a snapshot tells of a request, once it is with the application."""

    def found() -> dict[str, Any] | None:
        flights = attached.ask("snapshot")["in_flight"]
        return next((one for one in flights if (one["target"], one["phase"]) == (target, "running")), None)

    flight = eventually(found)
    assert flight is not None
    return flight


def raw(served: Served) -> socket.socket:
    """A connection without manners, its greeting read."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(socket_of(served))
    greeting = json.loads(sock.makefile("rb").readline())
    assert greeting == {"dualwsgi": dualwsgi.__version__, "protocol": 1, "pid": os.getpid()}
    return sock


# What it answers


def counted(served: Served, requests: int) -> None:
    """Waits until so many are counted: a response is out a moment before it is."""
    eventually(lambda: served.server.counters.requests == requests)


def test_sent_is_answered_is_counted(served: Served) -> None:
    client = served.client()
    for number in range(20):
        client.send(request(target=f"/item/{number}")).response()
    counted(served, 20)
    with attach(socket_of(served)) as attached:
        snapshot = attached.ask("snapshot")
    assert snapshot["snapshot"] == VERSION
    assert snapshot["totals"]["requests"] == 20
    assert snapshot["totals"]["classes"]["2xx"] == 20
    assert snapshot["totals"]["connections"] == 1
    assert snapshot["latency"]["count"] == 20
    assert sum(snapshot["latency"]["buckets"].values()) == 20
    assert snapshot["routes"]["GET /item/*"]["latency"]["count"] == 20
    assert snapshot["recent"][-1]["target"] == "/item/19"
    assert 0 < snapshot["recent"][-1]["seconds"] < PATIENCE
    assert snapshot["addresses"] == [served.address]
    (worker,) = snapshot["workers"]
    assert worker["rss_bytes"] > 1 << 20
    assert worker["cpu_seconds"] > 0
    json.dumps(snapshot, allow_nan=False)


def test_what_the_client_left_and_what_was_refused_is_counted_too(served: Served) -> None:
    served.ask(b"NONSENSE\r\n\r\n")
    counted(served, 1)
    with attach(socket_of(served)) as attached:
        snapshot = attached.ask("snapshot")
    assert snapshot["totals"]["classes"]["4xx"] == 1
    assert snapshot["routes"]["(not a request)"]["latency"]["count"] == 1
    assert snapshot["recent"][0]["target"] == "-"


def test_a_request_in_flight_is_listed_with_its_phase_and_its_stack(
    kit: Kit, gate: Gate, tmp_path: Path
) -> None:
    def the_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return answering()(environ, start_response)

    served = kit.serve(the_app, control_socket=str(tmp_path / "c"), threads=1, concurrency=1)
    first, second, third = served.client(), served.client(), served.client()
    first.send(request(target="/first"))
    gate.expect()
    second.send(request(target="/second"))
    third.send(b"GET /third HT")
    with attach(socket_of(served)) as attached:

        def phases() -> dict[str, str]:
            return {one["target"]: one["phase"] for one in attached.ask("snapshot")["in_flight"]}

        # A snapshot stops nobody: who comes in just then may be told between two phases.
        eventually(lambda: phases() == {"/first": "running", "/second": "queued", "-": "head"})
        snapshot = attached.ask("snapshot")
        (worker,) = snapshot["workers"]
        assert (worker["busy"], worker["queued"], worker["limit"], worker["connections"]) == (1, 1, 1, 3)
        (stack,) = attached.ask("stacks", request=running(attached, "/first")["id"])
        assert stack["what"] == "GET /first"
        assert "the_app" in [frame["function"] for frame in stack["frames"]]
        everything = attached.ask("stacks")
        assert len(everything) > 1
        assert stack["request"] in [one["request"] for one in everything]
        gate.open()
        assert first.response().status == second.response().status == 200
        assert eventually(lambda: not attached.ask("snapshot")["workers"][0]["busy"])
        assert attached.ask("snapshot")["queue_wait"]["count"] == 1


def test_a_loop_that_never_waits_is_seen_and_its_stack_told(kit: Kit, tmp_path: Path) -> None:
    over = threading.Event()

    def spinning(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        while not over.is_set():
            pass
        return answering()(environ, start_response)

    served = kit.serve(spinning, control_socket=str(tmp_path / "c"))
    client = served.client()
    client.send(request(target="/spin"))
    with attach(socket_of(served)) as attached:
        try:
            flight = running(attached, "/spin")
            # A thread that was only just made has no stack yet.
            (stack,) = eventually(lambda: attached.ask("stacks", request=flight["id"]))
            assert stack["frames"][-1]["function"] in ("spinning", "is_set")
        finally:
            over.set()
        assert client.response().status == 200


def test_a_call_that_waits_for_a_socket_is_found_by_its_stack(kit: Kit, tmp_path: Path) -> None:
    net: Any = socket
    if kit.backend == "green":
        from dualwsgi.green import socket as net
    theirs, ours = net.socketpair()

    def asking_somebody(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        assert theirs.recv(1) == b"!"
        return answering()(environ, start_response)

    served = kit.serve(asking_somebody, control_socket=str(tmp_path / "c"))
    client = served.client().send(request(target="/upstream"))
    with attach(socket_of(served)) as attached:
        flight = running(attached, "/upstream")

        def place() -> str | None:
            (stack,) = eventually(lambda: attached.ask("stacks", request=flight["id"]))
            assert stack["what"] == "GET /upstream"
            return next(
                (one["code"] for one in stack["frames"] if one["function"] == "asking_somebody"), None
            )

        assert "theirs.recv(1)" in eventually(place)
    os.write(ours.fileno(), b"!")
    assert client.response().status == 200
    theirs.close()
    ours.close()


def test_a_stream_comes_again_and_again_until_something_is_said(served: Served) -> None:
    with attach(socket_of(served)) as attached:
        stream = attached.stream(0.05)
        times = [next(stream)["time"] for _ in range(4)]
        assert times == sorted(times)
        attached._send({"do": "snapshot", "id": "x"})
        for _ in range(1000):
            if attached._read().get("id") == "x":
                break
        else:
            pytest.fail("the stream did not end")


def test_settings_change_while_it_runs(served: Served, kit: Kit) -> None:
    with attach(socket_of(served)) as attached:
        assert attached.ask("set", threads=3, log_level="debug") == {"threads": 3, "log_level": "debug"}
        assert attached.ask("snapshot")["workers"][0]["limit"] == 3
        assert control.logger.isEnabledFor(10)
        attached.ask("set", log_level="error")
        assert not control.logger.isEnabledFor(30)
        attached.ask("set", log_level="info")
    assert served.ask().status == 200


def test_drain_stops_the_server_as_a_signal_does(kit: Kit, tmp_path: Path) -> None:
    server = dualwsgi.Server(
        answering(), backend=kit.backend, bind=("127.0.0.1:0",), control_socket=str(tmp_path / "c")
    )
    server.start()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with attach(str(tmp_path / "c")) as attached:
        assert attached.ask("drain") == {"draining": True}
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not (tmp_path / "c").exists()


# What it refuses


@table(
    ("line", "says"),
    [
        (b"what?", "no JSON"),
        (b"[1]", "send an object"),
        (b'{"do": "dance"}', "do snapshot, fleet, stream"),
        (b"{}", "do snapshot, fleet, stream"),
        (b'{"do": ["snapshot"]}', "is not known"),
        (b'{"do": "stream", "every": 0}', "give 0.05 to 3600 seconds"),
        (b'{"do": "stream", "every": "often"}', "give 0.05 to 3600 seconds"),
        (b'{"do": "set"}', "give log_level, phase_clock, threads or workers"),
        (b'{"do": "set", "bind": "x"}', "give log_level, phase_clock, threads or workers"),
        (b'{"do": "set", "threads": 0}', "out of range"),
        (b'{"do": "set", "threads": 4, "log_level": "loud"}', "give debug, info"),
        (b'{"do": "stacks", "request": 4}', "give an id"),
        (b'{"do": "set", "workers": 2}', "supervisor"),
        (b'{"do": "reload"}', "supervisor"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_connection_goes_on(
    served: Served, line: bytes, says: str
) -> None:
    limit = served.server.look()
    with raw(served) as sock, sock.makefile("rb") as answers:
        sock.sendall(line + b"\n")
        assert says in json.loads(answers.readline())["error"]
        sock.sendall(b'{"do": "snapshot", "id": 7}\n')
        answer = json.loads(answers.readline())
        assert answer["id"] == 7
        assert answer["ok"]["snapshot"] == VERSION
    assert limit is not None
    assert served.server.look().limit == limit.limit  # type: ignore[union-attr]


def test_a_line_without_end_is_cut_off(served: Served) -> None:
    with raw(served) as sock, sock.makefile("rb") as answers:
        try:
            sock.sendall(b"x" * (control.LINE_MAX + 70_000))
        except OSError:
            pass
        assert "at most" in json.loads(answers.readline())["error"]
        try:
            assert answers.readline() == b""
        except ConnectionResetError:
            pass  # it had not read all of it


def test_a_viewer_that_reads_nothing_is_let_go_and_slows_nobody(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.2)
    monkeypatch.setattr(control, "SHORTEST", 0.0001)
    with raw(served) as sock:
        sock.sendall(b'{"do": "stream", "every": 0.0001}\n')
        client = served.client()
        for _ in range(50):
            assert client.send(request()).response().status == 200
        assert served.server._watchers.control is not None
        eventually(lambda: not served.server._watchers.control._clients)  # type: ignore[union-attr]
    with attach(socket_of(served)) as attached:
        counted(served, 50)
        assert attached.ask("snapshot")["totals"]["requests"] == 50


def test_there_is_a_bound_of_viewers(served: Served) -> None:
    here: list[Attached] = [attach(socket_of(served)) for _ in range(control.MOST_CLIENTS)]
    with pytest.raises(ControlError):
        attach(socket_of(served)).ask("snapshot")
    for one in here:
        assert one.ask("snapshot")
        one.close()
    assert eventually(lambda: not served.server._watchers.control._clients)  # type: ignore[union-attr]
    attach(socket_of(served)).close()


# Where it is


def test_the_socket_is_its_owners_alone_and_goes_with_the_server(served: Served) -> None:
    path = Path(socket_of(served))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    served.stop()
    assert not path.exists()
    with pytest.raises(ControlError, match="nobody answers"):
        attach(path)


def test_the_directory_is_private_or_not_used(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    private = control._prepare("auto")
    assert private.parent == tmp_path / "dualwsgi"
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    private.parent.chmod(0o750)
    with pytest.raises(dualwsgi.ConfigError, match="only you can enter"):
        control._prepare("auto")
    private.parent.rmdir()
    private.parent.symlink_to(tmp_path)
    with pytest.raises(dualwsgi.ConfigError):
        control._prepare("auto")


def test_a_path_that_cannot_be_is_refused_with_the_cure(kit: Kit, served: Served, tmp_path: Path) -> None:
    for path, says in [
        (tmp_path / "none" / "c", "there is no directory"),
        (Path(socket_of(served)), "another server listens there"),
        (tmp_path, "cannot listen"),
    ]:
        server = dualwsgi.Server(
            answering(), backend=kit.backend, bind=("127.0.0.1:0",), control_socket=str(path)
        )
        with pytest.raises(dualwsgi.ConfigError, match=says):
            server.start()
        server.stop()


def test_a_socket_left_behind_by_a_dead_server_is_taken_over(kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "c"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    served = kit.serve(answering(), control_socket=str(path))
    with attach(path) as attached:
        assert attached.ask("snapshot")["addresses"] == [served.address]


def test_servers_of_one_directory_are_found_and_their_snapshots_add_up(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    servers = [kit.serve(answering(), control_socket=str(tmp_path / f"{name}.sock")) for name in "xy"]
    for number, served in enumerate(servers, 1):
        for _ in range(number):
            served.ask()
        counted(served, number)
    (tmp_path / "dead.sock").touch()
    paths = find(tmp_path)
    assert len(paths) == 2
    snapshots = []
    for path in paths:
        with attach(path) as attached:
            snapshots.append(attached.ask("snapshot"))
    merged = merge(snapshots)
    assert merged["totals"]["requests"] == 3
    assert merged["latency"]["count"] == 3
    assert merged["routes"]["GET /"]["latency"]["count"] == 3
    assert len(merged["workers"]) == 2
    assert len(merged["addresses"]) == 2
    with pytest.raises(ValueError, match="form 99"):
        merge([snapshots[0], {**snapshots[1], "snapshot": 99}])
