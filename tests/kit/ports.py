"""Ports for servers that cannot be told 0: two that share one, or another's program.

They are none of those that the system gives away by itself, one of which may be any client's, of any
other test, by the time that the server is up.
"""

from __future__ import annotations

import os
import socket
from itertools import count

_FIRST, _EACH = 20_000, 1_000
_next = count(os.getpid())


def free_port() -> int:
    """A port that nothing listens on, and that no other worker of the same run is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
    while True:
        port = _FIRST + worker % 10 * _EACH + next(_next) % _EACH
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def locust_ports() -> dict[str, str]:
    """Variables for locust, whose `--processes` would meet on the same port as another one's beside it."""
    port = str(free_port())
    return {"LOCUST_MASTER_BIND_PORT": port, "LOCUST_MASTER_NODE_PORT": port}
