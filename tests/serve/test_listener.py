"""Where connections come in: families, unix sockets, descriptors that are passed, several at once."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import Served, answering
from wire import PATIENCE, Client, eventually, request

from dualwsgi import Config, ConfigError
from dualwsgi.config import parse_bind
from dualwsgi.serve.listener import find_owner, open_listener
from dualwsgi.serve.systemd import Watchdog, find_passed, notify, passed_binds

Serve = Callable[..., Served]
STARTING = 40.0
"""Seconds: three interpreters begin, perhaps on a machine that has other things to do."""

HAS_IPV6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="IPv6 is switched off here")


def telling(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]


def told(address: str) -> dict[str, Any]:
    with Client(address) as client:
        return json.loads(client.send(request()).response().body)


@needs_ipv6
def test_several_addresses_of_all_families_are_one_server(serve: Serve, tmp_path: Path) -> None:
    name = f"@dualwsgi-{os.getpid()}-{tmp_path.name}"
    served = serve(telling, bind=("127.0.0.1:0", "[::1]:0", f"unix:{tmp_path / 's'}", f"unix:{name}"))
    four, six, unix, abstract = served.addresses
    assert told(four)["REMOTE_ADDR"] == "127.0.0.1"
    assert (told(six)["REMOTE_ADDR"], told(six)["SERVER_NAME"]) == ("::1", "[::1]")
    assert (unix, abstract) == (f"unix:{tmp_path / 's'}", f"unix:{name}")
    for address in (unix, abstract):
        environ = told(address)
        assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (
            "",
            "localhost",
            "80",
        )


@needs_ipv6
def test_every_interface_means_both_families(serve: Serve) -> None:
    served = serve(telling, bind=(":0",))
    environ = told(f"http://127.0.0.1:{served.port}")
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"]) == ("127.0.0.1", "127.0.0.1")
    assert told(f"http://[::1]:{served.port}")["REMOTE_ADDR"] == "::1"


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell")
def test_a_unix_socket_tells_which_process_is_at_the_other_end(serve: Serve) -> None:
    environ = told(serve(telling, over="unix").address)
    said = (environ["X_REMOTE_PID"], environ["X_REMOTE_UID"], environ["X_REMOTE_GID"])
    assert said == (str(os.getpid()), str(os.getuid()), str(os.getgid()))
    assert "X_REMOTE_PID" not in told(serve(telling).address)


@pytest.mark.parametrize("mode", ["600", "660", "0666", ""])
def test_the_file_of_a_unix_socket_has_its_permissions_and_goes_with_it(
    serve: Serve, tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "s"
    served = serve(
        answering(), bind=(f"unix:{path}",), unix_socket_perms=mode, unix_socket_owner=str(os.getuid())
    )
    umask = os.umask(0o77)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == (int(mode, 8) if mode else 0o777 & ~umask)
    assert served.ask().status == 200
    served.stop()
    assert not path.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_the_file_of_a_unix_socket_is_given_to_its_owner(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "s"
    serve(answering(), bind=(f"unix:{path}",), unix_socket_owner="nobody:1234")
    assert (path.stat().st_uid, path.stat().st_gid) == (find_owner("nobody")[0], 1234)


def test_owners_are_found_by_name_and_number() -> None:
    assert find_owner("root:root") == (0, 0)
    assert find_owner(":5") == (-1, 5)
    assert find_owner("7") == (7, -1)
    with pytest.raises(ConfigError, match="there is no user 'nobody-at-all'; give"):
        find_owner("nobody-at-all")
    with pytest.raises(ConfigError, match="there is no group 'nothing'"):
        find_owner("root:nothing")


def test_what_a_dead_server_left_is_replaced_and_what_lives_is_not(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    served = serve(answering(), bind=(f"unix:{path}",))
    assert served.ask().status == 200
    with pytest.raises(ConfigError, match="is in use by a running server"):
        serve(answering(), bind=(f"unix:{path}",))
    assert served.ask().status == 200


def test_two_servers_share_a_port_if_both_want_to(serve: Serve) -> None:
    first = serve(answering([b"1"]), reuse_port=True)
    second = serve(answering([b"2"]), bind=(f"127.0.0.1:{first.port}",), reuse_port=True)
    assert second.port == first.port
    bodies = {first.ask().body for _ in range(60)}
    assert bodies == {b"1", b"2"}
    with pytest.raises(ConfigError, match="is in use"):
        serve(answering(), bind=(f"127.0.0.1:{first.port}",))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_descriptor_that_listens_is_served(serve: Serve, tmp_path: Path, family: int) -> None:
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s"))
        listener.listen()
        served = serve(telling, bind=(f"fd://{listener.fileno()}",))
        assert told(served.address)["wsgi.url_scheme"] == "http"
        served.stop()
        # It is the launcher's: its file stays, and whoever connects now waits for the next server.
        if family == socket.AF_UNIX:
            assert (tmp_path / "s").exists()


def test_a_descriptor_that_does_not_is_refused_with_the_cure(tmp_path: Path) -> None:
    with (
        (tmp_path / "file").open("w") as file,
        pytest.raises(ConfigError, match="is not a listening socket; give"),
    ):
        open_listener(parse_bind(f"fd://{file.fileno()}"), Config())
    with pytest.raises(ConfigError, match="fd://9999 is not a listening socket"):
        open_listener(parse_bind("fd://9999"), Config())


# systemd


@contextmanager
def activated(
    *arguments: str, sockets: list[socket.socket], **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`dualwsgi run` as systemd starts it: the sockets from descriptor 3 on, their number told to its pid."""
    launcher = (
        "import os, sys\n"
        "passed, command = eval(sys.argv[1]), sys.argv[2:]\n"
        "for at, fd in enumerate(passed): os.dup2(fd, 100 + at)\n"
        "for at in range(len(passed)): os.dup2(100 + at, 3 + at)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': str(len(passed))}\n"
        "os.execv(command[0], command)\n"
    )
    fds = [sock.fileno() for sock in sockets]
    command = [sys.executable, "-m", "dualwsgi", "run", "dualwsgi.example", *arguments]
    process = subprocess.Popen(
        [sys.executable, "-c", launcher, repr(fds), *command],
        **{"pass_fds": fds, "env": {**os.environ, **environ}, "stderr": subprocess.PIPE},
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def test_systemd_style_activation_serves_the_passed_sockets_and_says_so(backend: str, tmp_path: Path) -> None:
    workers = "2" if backend == "green" else "1"  # by one process and by a supervisor's
    said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    said.bind(str(tmp_path / "notify"))
    said.settimeout(STARTING)
    tcp = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "s"))
    unix.listen()
    with said, tcp, unix:
        addresses = [f"http://127.0.0.1:{tcp.getsockname()[1]}", f"unix:{tmp_path / 's'}"]
        early = Client(addresses[0], patience=STARTING).send(request())  # before there is anybody to answer
        arguments = ("--backend", backend, "--workers", workers)
        usual = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with early, activated(*arguments, sockets=[tcp, unix], **usual) as process:
            assert early.response().status == 200
            eventually(lambda: said.recv(100) == b"READY=1", STARTING)
            for address in addresses:
                with Client(address) as client:
                    assert client.send(request()).response().status == 200
            for _ in range(2):
                eventually(lambda: said.recv(100) == b"WATCHDOG=1")
            process.terminate()
            eventually(lambda: said.recv(100) == b"STOPPING=1")
            assert process.wait(STARTING) == 0
        assert (tmp_path / "s").exists()


def test_an_address_that_was_passed_is_taken_and_not_bound_again(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr("dualwsgi.serve.systemd.FIRST", listener.fileno())
        monkeypatch.setenv("LISTEN_FDS", "1")
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert find_passed(parse_bind(address)) == listener.fileno()
        assert find_passed(parse_bind("127.0.0.1:1")) is None
        assert find_passed(parse_bind(f"unix:{tmp_path}/s")) is None
        assert serve(answering(), bind=(address,)).ask().status == 200
        monkeypatch.setenv("LISTEN_PID", "1")  # meant for somebody else
        assert find_passed(parse_bind(address)) is None
        assert passed_binds() == ()


def test_without_systemd_nobody_is_told_and_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    assert notify("READY=1") is False
    assert Watchdog(lambda act: None).patience is None
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert notify("READY=1") is False
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    assert Watchdog(lambda act: None).patience == 1.5
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert Watchdog(lambda act: None).patience is None


@pytest.mark.parametrize("where", ["127.0.0.1:0", "unix:sock"])
def test_a_child_that_outlives_the_server_does_not_hold_its_port(
    serve: Serve, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader, writer = os.pipe()
    children = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: this child calls nothing
            child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        children.append(child)
        return answering()(environ, start_response)

    served = serve(app, bind=(where,))
    with served.client() as client:
        assert client.send(request()).response().status == 200
    with served.client() as client:  # the server listens on
        assert client.send(request()).response().status == 200
    try:
        assert served.stop()
        listener = open_listener(parse_bind(served.address.removeprefix("http://")), Config())
        listener.close()
    finally:
        os.close(writer)
        os.close(reader)
        for child in children:
            os.waitpid(child, 0)
    assert len(children) == 2
