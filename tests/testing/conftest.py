"""The fixtures of every behaviour test, with the servers that the package ships for others' tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualwsgi.testing.serving import Kit


@pytest.fixture
def kit(backend: str, tmp_path: Path) -> Iterator[Kit]:
    kit = Kit(backend, tmp_path)
    logger = logging.getLogger("dualwsgi")
    logger.addFilter(kit.log)
    try:
        yield kit
    finally:
        kit.close()
        logger.removeFilter(kit.log)
    kit.check()
