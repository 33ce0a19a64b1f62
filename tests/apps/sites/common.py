"""What the four sites have in common: a static file, and a stream that waits for its next visitor."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PLACE = Path(os.environ.get("SITES_PLACE", "."))
"""A directory of the test's own."""

STATIC = PLACE / "static"
PATIENCE = 20.0

SIZE_LIMIT = 64 << 20

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Any]


class Release:
    """Holds a stream after its first piece until another request releases it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def pieces(self) -> Iterator[bytes]:
        yield b"first\n"
        if not self._event.wait(PATIENCE):
            raise RuntimeError("nobody released the stream")
        self._event.clear()
        for number in range(100):
            yield b"piece %d\n" % number

    def release(self) -> None:
        self._event.set()


class Crowd:
    """Counts how many are in a slow page at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self._most = 0

    def stay(self) -> int:
        """Stays a while; returns the largest crowd so far."""
        with self._lock:
            self._now += 1
            self._most = max(self._most, self._now)
        time.sleep(0.2)
        with self._lock:
            self._now -= 1
            return self._most


def summary(name: str, read: Callable[[int], bytes]) -> dict[str, Any]:
    """What an upload was, read in pieces."""
    digest, size = hashlib.sha256(), 0
    while piece := read(65536):
        digest.update(piece)
        size += len(piece)
    return {"name": name, "size": size, "sha256": digest.hexdigest()}
