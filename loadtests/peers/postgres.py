"""A PostgreSQL of one's own for the length of a run: a new cluster in a scratch folder, ended with it."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dualwsgi.compare.process import Process, ServerFailed
from loadtests.peers.servers import free_port

PATIENCE = 30.0
USER = "dualwsgi"
CONNECTIONS = 600
"""More than any server opens: a greenlet server may hold one for each of its clients."""

MISSING = "PostgreSQL is not installed (Debian: apt install postgresql)"


def program(name: str) -> str | None:
    """Where it is; Debian keeps it off the PATH."""
    found = shutil.which(name)
    return found or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)


@contextmanager
def running(scratch: Path, cpu: int | None) -> Iterator[str]:
    """The URL of a database that runs as long as the block.  Raises ServerFailed."""
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        raise ServerFailed(MISSING)
    folder, port = scratch / "postgres", free_port()
    folder.mkdir(mode=0o700)
    as_owner: list[str] = []
    if os.geteuid() == 0:
        # It refuses to run as root; who may not become another user cannot have it.
        shutil.chown(folder, "postgres", "postgres")
        scratch.chmod(0o711)
        as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    data = str(folder / "data")
    made = subprocess.run(
        [*as_owner, initdb, "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    if made.returncode != 0:
        raise ServerFailed(f"initdb failed: {made.stderr.strip()[-400:]}")
    server = Process(
        "postgres",
        [
            *(*as_owner, postgres, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"),
            *("-c", f"max_connections={CONNECTIONS}", "-c", "log_min_messages=fatal"),
        ],
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        cwd=folder,
        output=scratch / "postgres.out",
        cpu=cpu,
    )
    try:
        _await(server, folder, port)
        yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
    finally:
        server.stop(grace=10.0)


def _await(server: Process, folder: Path, port: int) -> None:
    """Until it takes queries: it says so in its folder."""
    ready = program("pg_isready")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        server.check()
        if ready is None:
            status = folder / "data" / "postmaster.pid"
            if status.exists() and "ready" in status.read_text():
                return
        elif subprocess.run([ready, "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise ServerFailed(f"PostgreSQL is not ready after {PATIENCE:g} s: {server.tail()}")
