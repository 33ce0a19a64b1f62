"""The fixtures of every behaviour test, with the servers that the package ships for others' tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from dualwsgi.testing.serving import Kit


@pytest.fixture
def kit(backend: str, request: pytest.FixtureRequest) -> Iterator[Kit]:
    kit = Kit(backend, lambda: request.getfixturevalue("tmp_path"))
    logger = logging.getLogger("dualwsgi")
    logger.addFilter(kit.log)
    try:
        yield kit
    finally:
        kit.close()
        logger.removeFilter(kit.log)
    kit.check()
