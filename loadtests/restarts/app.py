"""An application of three kinds of request, of a version that the environment or a file tells."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_VERSION = Path(os.environ["RESTARTS_VERSION"]).read_text() if "RESTARTS_VERSION" in os.environ else "1"
_turn = itertools.count().__next__


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Quick, waiting a little, or large, in turn."""
    kind = _turn() % 10
    if kind == 3:
        time.sleep(0.003)
    body = b"x" * 30_000 if kind == 7 else b"hello"
    head = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    told = [("X-Pid", str(os.getpid())), ("X-Path", environ["PATH_INFO"]), ("X-Version", _VERSION)]
    start_response("200 OK", head + told)
    return [body]


def glutton(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """The same, but the process that is named takes memory for as long as there is any."""
    if environ["PATH_INFO"] == f"/eat/{os.getpid()}":
        eaten = []
        while True:
            eaten.append(b"x" * (4 << 20))
    return app(environ, start_response)


def burn(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Two milliseconds of processor time."""
    until = time.thread_time() + 0.002
    while time.thread_time() < until:
        pass
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"burnt\n"]
