"""The pytest plugin: fixtures that serve an application on both backends.

    wsgi_server(app, **settings)   a running server (dualwsgi.testing.Served), stopped after the test
    wsgi_backend                   "threads" and "green", one after the other

`--wsgi-backend threads` (or green) keeps to one.  Loaded in every run of pytest where the package is
installed, so nothing but pytest is imported here until a fixture is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .serving import Served

BACKENDS = ("threads", "green")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dualwsgi", "WSGI servers under test (dualwsgi)")
    group.addoption(
        "--wsgi-backend",
        choices=(*BACKENDS, "both"),
        default="both",
        help="What tests with a wsgi_server run on: threads, green, or both one after the other (default).",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "wsgi_backend" not in metafunc.fixturenames:
        return
    for mark in metafunc.definition.iter_markers("parametrize"):
        if mark.args and "wsgi_backend" in mark.args[0]:
            return  # the test says itself what it runs on
    wanted = metafunc.config.getoption("--wsgi-backend")
    backends = BACKENDS if wanted == "both" else (wanted,)
    metafunc.parametrize("wsgi_backend", backends, indirect=True)


@pytest.fixture
def wsgi_backend(request: pytest.FixtureRequest) -> str:
    """The backend that this run of the test is on: "threads" or "green"."""
    return str(request.param)


@pytest.fixture
def wsgi_server(wsgi_backend: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Served]]:
    """wsgi_server(app, **settings): serves `app` on a port of its own; settings are fields of Config.

    What a test starts is stopped after it, gracefully; a request that does not end fails the test.
    """
    from .serving import Kit

    kit = Kit(wsgi_backend, lambda: request.getfixturevalue("tmp_path"), quiet=False)
    logger = logging.getLogger("dualwsgi")
    logger.addFilter(kit.log)
    try:
        yield kit.serve
    finally:
        kit.close()
        logger.removeFilter(kit.log)
