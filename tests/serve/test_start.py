"""A server that cannot begin: who wants one is told, nothing of it is left, and another may begin there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from serving import Kit, answering

from dualwsgi.green import originals
from dualwsgi.serve import server


def no_site(patched: pytest.MonkeyPatch) -> None:
    """The second of two listeners has none."""
    make, made = server.Site, []

    def fail(*args: Any) -> Any:
        made.append(args)
        if len(made) == 2:
            raise OSError("no descriptors")
        return make(*args)

    patched.setattr(server, "Site", fail)


def no_threads_but(patched: pytest.MonkeyPatch, most: int) -> None:
    start, started = threading.Thread.start, []

    def start_some(self: threading.Thread) -> None:
        started.append(self)
        if len(started) > most:
            raise RuntimeError("can't start new thread")
        start(self)

    def start_none(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    patched.setattr(threading.Thread, "start", start_some)
    patched.setattr(originals, "start_background_thread", start_none)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no site": no_site,
    "no thread": lambda patched: no_threads_but(patched, 0),
    "no second thread": lambda patched: no_threads_but(patched, 1),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_server_that_cannot_begin_leaves_nothing(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free = f"127.0.0.1:{sock.getsockname()[1]}"
    bind = (free, "127.0.0.1:0")
    with monkeypatch.context() as patched:
        fault(patched)
        with pytest.raises((OSError, RuntimeError), match=r"no descriptors|no thread|start new thread"):
            kit.serve(answering(), bind=bind)
    kit.log.take()
    assert kit.serve(answering(), bind=bind).ask().body == b"hello"
