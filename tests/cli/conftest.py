"""A command line to invoke in this process, and a server that serves nothing."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command import Result, call

from dualwsgi.config import Config

Invoke = Callable[..., Result]


class FakeServer:
    """What `run` asks of a Server; keeps what it was given."""

    made: list[FakeServer] = []  # noqa: RUF012  # emptied by the fixture
    failure: Exception | None = None

    def __init__(self, app: Any, config: Config) -> None:
        self.app, self.config = app, config
        self.calls: list[str] = []
        self.addresses = tuple(f"http://{text}" for text in config.bind)
        self.made.append(self)

    def serve_forever(self, ready: Callable[[], None]) -> None:
        self.calls.append("serve_forever")
        if self.failure:
            raise self.failure
        ready()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> type[FakeServer]:
    """FakeServer in the place of the real one."""
    module = ModuleType("dualwsgi.serve.server")
    module.Server = FakeServer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dualwsgi.serve.server", module)
    monkeypatch.setattr(FakeServer, "made", [])
    monkeypatch.setattr(sys, "argv", sys.argv)  # which `run` sets
    return FakeServer


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    """Run the command line in an empty directory, with only the given DUALWSGI_* variables."""
    for name in [name for name in os.environ if name.startswith("DUALWSGI_")]:
        monkeypatch.delenv(name)
    for name in ("DUALWSGI_BACKEND", "DUALWSGI_STRICT_PATCH"):  # which a run hands down to its application
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    # Wide, so that no text that a test looks for is cut in two.
    monkeypatch.setenv("COLUMNS", "200")
    logger = logging.getLogger("dualwsgi")
    handlers, level = logger.handlers[:], logger.level

    def run(*arguments: str, **environ: str) -> Result:
        return call(arguments, environ)

    yield run
    logger.handlers[:] = handlers
    logger.setLevel(level)
