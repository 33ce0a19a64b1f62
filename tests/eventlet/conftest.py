"""The annexe's tests: one process a backend, and the servers that a test has it run."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from annexe import Annexe

APPS = [Path(__file__).parent / name for name in ("apps.py", "by_hand.py")]


@pytest.fixture(scope="session")
def annexes() -> Iterator[Callable[[str], Annexe]]:
    started: dict[str, Annexe] = {}

    def annexe_of(backend: str) -> Annexe:
        if backend not in started:
            started[backend] = Annexe(backend, *APPS)
        return started[backend]

    yield annexe_of
    for annexe in started.values():
        annexe.close()


@pytest.fixture
def annexe(backend: str, annexes: Callable[[str], Annexe]) -> Iterator[Annexe]:
    """dualwsgi.eventlet on this backend; its servers are stopped after the test."""
    annexe = annexes(backend)
    yield annexe
    annexe.clear()


@pytest.fixture(scope="session")
def certificate() -> Iterator[str]:
    """The path of a certificate for localhost with its key."""
    place = Path(__file__).parent.parent / "green" / "certificate.py"
    spec = importlib.util.spec_from_file_location("certificate_of_the_annexe", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.CERTIFICATE
    os.unlink(module.CERTIFICATE)
