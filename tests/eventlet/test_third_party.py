"""Programs of others, which import eventlet by its own name, serving through install() on both backends."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = Path(__file__).parent / "programs"
OPENSTACK = ("oslo.service >= 4.8", "swift >= 2.38")


def run(interpreter: str, program: str, backend: str, place: Path) -> None:
    done = subprocess.run(
        [interpreter, str(PROGRAMS / f"{program}.py"), str(place)],
        env={**os.environ, "DUALWSGI_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout.endswith("pass\n"), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("engineio") is None, reason="python-engineio is not installed")
def test_python_engineio_polls_and_talks(backend: str, tmp_path: Path) -> None:
    run(sys.executable, "engine_io", backend, tmp_path)


@pytest.fixture(scope="session")
def openstack(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has them, and eventlet itself, which must not be found; a minute to make."""
    place = tmp_path_factory.mktemp("openstack")
    venv.create(place, with_pip=True)
    interpreter = str(place / "bin/python")
    got = subprocess.run(
        [interpreter, "-m", "pip", "install", "-q", *OPENSTACK], capture_output=True, text=True, check=False
    )
    if got.returncode:
        pytest.skip(f"pip cannot get {' and '.join(OPENSTACK)}: {got.stderr[-300:]}")
    return interpreter


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("program", ["oslo_service_wsgi", "swift_object_server"])
def test_openstack_serves(openstack: str, program: str, backend: str, tmp_path: Path) -> None:
    run(openstack, program, backend, tmp_path)
