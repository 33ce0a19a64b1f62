"""The locust suite: users and shapes, made of the tables in work.py.

    MIX=api SHAPE=ramp locust -f loadtests/locustfile.py --host http://127.0.0.1:8000

MIX is a mixture or kinds separated by commas (default: mixed); without SHAPE, locust's own --users and
--spawn-rate say how many there are. README.md beside this file has a line for each way to run it.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, LoadTestShape, User, between, constant
from locust.exception import LocustError

sys.path.insert(0, str(Path(__file__).parents[1]))  # locust puts only this file's own folder there

from loadtests.work import KINDS, SHAPES, Kind, Step, mixture, stage_at

TIMEOUT = 30.0
PAUSES = 3
PAUSE = 0.1
SLOW_READ = 16 * 1024
SLOW_PAUSE = 0.008


# Users over locust's own client


def _send(user: Any, step: Step, headers: dict[str, str]) -> None:
    if step.kind:
        headers["Content-Type"] = step.kind
    with user.client.request(
        step.method, step.path, data=step.body or None, headers=headers, catch_response=True
    ) as answer:
        if answer.status_code == 200 and step.expect not in (answer.content or b""):
            answer.failure(f"the body does not hold {step.expect!r}")


def _visitor(kind: Kind) -> dict[str, Any]:
    headers = {"Connection": "close"} if kind.client == "new" else {}

    def turn(step: Step) -> Callable[[Any], None]:
        def task(user: Any) -> None:
            _send(user, step, dict(headers))

        task.__name__ = f"{step.method} {step.path}"
        return task

    def in_turn(user: Any) -> None:
        user.at = (getattr(user, "at", -1) + 1) % len(steps)
        steps[user.at](user)

    steps = [turn(step) for step in kind.steps]
    return {"tasks": [in_turn], "network_timeout": TIMEOUT, "connection_timeout": TIMEOUT}


# Users over a socket of their own, which locust patches: no HTTP client is slow on purpose


def _raw(kind: Kind) -> dict[str, Any]:
    (step,) = kind.steps
    act = _slowly_send if kind.client == "slow" else _slowly_read

    def task(user: Any) -> None:
        begun, start, length, failure = time.perf_counter(), time.time(), 0, None
        try:
            length = act(user, step)
        except (OSError, LocustError) as error:
            failure = error
        user.environment.events.request.fire(
            request_type=step.method,
            name=f"{step.path} ({kind.client})",
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=length,
            exception=failure,
            context={},
            start_time=start,
            url=step.path,
            response=None,
        )

    return {"tasks": [task]}


def _connect(user: Any, window: int = 0) -> tuple[socket.socket, str]:
    url = urlsplit(user.host or user.environment.host)
    sock = socket.socket(socket.AF_INET6 if ":" in (url.hostname or "") else socket.AF_INET)
    try:
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        sock.settimeout(TIMEOUT)
        sock.connect((url.hostname, url.port or 80))
    except BaseException:
        sock.close()
        raise
    return sock, url.netloc


def _slowly_send(user: Any, step: Step) -> int:
    sock, host = _connect(user)
    with sock:
        head = f"{step.method} {step.path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        for number in range(PAUSES):
            sock.sendall(head[number * 8 : (number + 1) * 8])
            time.sleep(PAUSE)
        sock.sendall(head[PAUSES * 8 :])
        return _read(sock, 65536, 0.0)


def _slowly_read(user: Any, step: Step) -> int:
    sock, host = _connect(user, window=SLOW_READ)
    with sock:
        sock.sendall(
            f"{step.method} {step.path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        return _read(sock, SLOW_READ, SLOW_PAUSE)


def _read(sock: socket.socket, size: int, pause: float) -> int:
    """Reads to the end and returns how much there was.  Raises LocustError where it is no whole 200."""
    data = bytearray()
    while piece := sock.recv(size):
        data += piece
        if pause:
            time.sleep(pause)
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise LocustError(f"answered {head[:40]!r}")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:") and int(line.partition(b":")[2]) != len(body):
            raise LocustError(f"cut off after {len(body)} bytes")
    return len(data)


# The classes that locust finds


def _user(kind: Kind, weight: int) -> type[Any]:
    low, high = kind.wait
    raw = kind.client in ("slow", "reader")
    body = _raw(kind) if raw else _visitor(kind)
    body |= {"weight": weight, "__doc__": kind.title, "__module__": __name__}
    body["wait_time"] = between(low, high) if high else constant(0)
    return type(kind.name, (User if raw else FastHttpUser,), body)


def _shape(name: str) -> type[Any]:
    if name not in SHAPES:
        sys.exit(f"SHAPE: {name!r} is no shape; there are {', '.join(SHAPES)}")
    stages = SHAPES[name]

    def tick(self: Any) -> tuple[int, float] | None:
        return stage_at(stages, self.get_run_time())

    return type(name.capitalize(), (LoadTestShape,), {"tick": tick, "__module__": __name__})


try:
    globals().update(
        {name: _user(KINDS[name], weight) for name, weight in mixture(os.environ.get("MIX", "mixed")).items()}
    )
except ValueError as _error:
    sys.exit(str(_error))
if os.environ.get("SHAPE"):
    Shape = _shape(os.environ["SHAPE"])
