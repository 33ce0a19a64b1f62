"""docs/deploy/rolling, for real: HAProxy, three servers, and clients who notice nothing."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import PATIENCE, Askers, write_app
from wire import Client, eventually, request

HEALTH = 157
ROLLING = Path(__file__).parents[2] / "docs/deploy/rolling"

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (shutil.which("haproxy") and shutil.which("curl")), reason="needs haproxy and curl"
    ),
]


def free_ports(count: int) -> list[int]:
    """Ports that are free, as those that are HEALTH higher; below those that the system gives to clients,
    one of which would take the place of a server that is being restarted."""
    ports: list[int] = []
    for port in random.sample(range(20_000, 32_000, 2), 6_000):
        try:
            for each in (port, port + HEALTH):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        ports.append(port)
        if len(ports) == count:
            break
    return ports


def answers(address: str) -> bool:
    try:
        with Client(address) as client:
            return client.send(request()).response().status == 200
    except OSError:
        return False


def test_a_rolling_restart_behind_haproxy_loses_nothing(tmp_path: Path, backend: str) -> None:
    front, *ports = free_ports(4)
    write_app(tmp_path, "1")
    environ = os.environ | {
        "FRONT": f"127.0.0.1:{front}",
        **{name: f"127.0.0.1:{port}" for name, port in zip("ABC", ports, strict=True)},
        **{f"{name}_HEALTH": str(port + HEALTH) for name, port in zip("ABC", ports, strict=True)},
        "HEALTH": str(HEALTH),
        "APP": "fleet_app:app",
        "PORTS": " ".join(map(str, ports)),
        "RUN": ".",
        "DELAY": "1s",
        "DUALWSGI": f"{sys.executable} -m dualwsgi",
        "DUALWSGI_BACKEND": backend,
    }

    def do(what: str) -> None:
        with (tmp_path / f"{what}.log").open("w+") as log:
            command = ["sh", str(ROLLING / "rolling-restart.sh"), what]
            code = subprocess.run(
                command, env=environ, cwd=tmp_path, stdout=log, stderr=log, timeout=PATIENCE * 6, check=False
            ).returncode
            log.seek(0)
            assert code == 0, log.read()

    do("start")
    proxy = subprocess.Popen(
        ["haproxy", "-db", "-f", str(ROLLING / "haproxy.cfg")], env=environ, cwd=tmp_path
    )
    try:
        address = f"http://127.0.0.1:{front}"
        eventually(lambda: answers(address), PATIENCE)
        before = pids(tmp_path)
        write_app(tmp_path, "2")
        with Askers(address) as askers:
            do("restart")
            seen = askers.answers
            eventually(lambda: askers.answers > seen + 50, PATIENCE)
        assert askers.failures == []
        assert askers.versions == {"1", "2"}
        assert len(before) == 3
        assert not before & pids(tmp_path)
    finally:
        proxy.terminate()
        proxy.wait(PATIENCE)
        do("stop")


def pids(place: Path) -> set[int]:
    return {int(path.read_text()) for path in place.glob("*.pid")}
