"""What every behaviour test stands on: both backends, and a server that leaves nothing behind."""

from __future__ import annotations

import gc
import importlib.util
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import App, Gate, Kit, Served

HAS_GREEN = importlib.util.find_spec("dualwsgi.backends.green") is not None

BACKENDS = [
    "threads",
    pytest.param(
        "green", marks=pytest.mark.skipif(not HAS_GREEN, reason="the green backend is not built in")
    ),
]


def pytest_collection_finish() -> None:
    """Thousands of tests live until the end: nobody need look for garbage among them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn: one behaviour, twice shown."""
    return str(request.param)


@pytest.fixture
def kit(backend: str, request: pytest.FixtureRequest) -> Iterator[Kit]:
    """Servers on this backend; at the end they are stopped, and must have left nothing behind."""
    kit = Kit(backend, lambda: request.getfixturevalue("tmp_path"))
    logger = logging.getLogger("dualwsgi")
    level = logger.level
    logger.addFilter(kit.log)
    logger.setLevel(logging.INFO)
    try:
        yield kit
    finally:
        try:
            kit.close()
        finally:
            logger.removeFilter(kit.log)
            logger.setLevel(level)
    kit.check()


@pytest.fixture
def serve(kit: Kit) -> Callable[..., Served]:
    """serve(app, **settings): a running server."""
    return kit.serve


@pytest.fixture
def serve_in_turn(kit: Kit) -> Callable[..., Served]:
    """serve_in_turn(app, **settings), for rows of a table: one server, and `app` is what it serves now."""
    servers: dict[str, Served] = {}
    now: list[App] = []

    def app_of_the_row(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return now[0](environ, start_response)

    def serve(app: App, **settings: Any) -> Served:
        now[:] = [app]
        key = repr(sorted(settings.items()))
        if key not in servers:
            servers[key] = kit.serve(app_of_the_row, **settings)
        return servers[key]

    return serve


@pytest.fixture(params=["tcp", "unix", "tls"])
def over(request: pytest.FixtureRequest) -> str:
    """What the connection runs over."""
    return str(request.param)


@pytest.fixture(params=["tcp", "tls"])
def clear_or_tls(request: pytest.FixtureRequest, kit: Kit) -> str:
    """The servers of the test speak TLS or do not, and nothing else differs."""
    kit.over = str(request.param)
    return kit.over


@pytest.fixture
def gate(kit: Kit) -> Gate:
    return kit.gate()


@pytest.fixture
def said(kit: Kit) -> Callable[[], list[str]]:
    """said(): what the server logged at WARNING and above, which the test thereby expects."""
    return kit.log.take
