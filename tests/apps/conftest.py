"""Real applications behind real processes: one `dualwsgi run` a backend, for all tests of this folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import BACKENDS

SITES = Path(__file__).parent / "sites"
STATIC_FILE = bytes(range(256)) * 1200
PATIENCE = 30.0  # seconds; far more than any step here takes


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the sites write to and serve static files from."""
    place = tmp_path_factory.mktemp("sites")
    (place / "static").mkdir()
    (place / "static" / "blob.bin").write_bytes(STATIC_FILE)
    return place


@pytest.fixture(scope="session", params=BACKENDS)
def server(request: pytest.FixtureRequest, place: Path) -> Iterator[str]:
    """The URL of all_sites:app as `dualwsgi run` serves it, on each backend in turn.

    At the end it is told to stop, and must have nothing to complain of: no warning (they are errors
    in it), no resource that was left, but what the applications were asked to fail at.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
    home = place / str(request.param)
    home.mkdir()
    (home / "static").symlink_to(place / "static")
    process = subprocess.Popen(
        [
            *(sys.executable, "-X", "dev", "-W", "error"),
            *("-m", "dualwsgi", "run", "all_sites:app", "--backend", request.param),
            *("--app-dir", str(SITES), "--bind", "127.0.0.1:0", "--threads", "16"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=own | {"PYTHONUNBUFFERED": "1", "SITES_PLACE": str(home)},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        yield found[0]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, said
    assert "Warning" not in said, said
    assert "serving a connection failed" not in said, said
