"""Sends requests one by one, and notes what was answered.  Judges nothing: that is answers.py's."""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from typing import Any

from .answers import Answers
from .traffic import Ask

__all__ = ["ask"]

BODY_MAX = 4 * 1024 * 1024


def ask(port: int, asks: Iterable[Ask], answers: Answers, *, times: int, timeout: float) -> None:
    """Sends each request `times` and adds the answers; that there was none is an answer too."""
    for one in asks:
        for _ in range(times):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
            try:
                connection.request(one.method, one.path, one.body or None, dict(one.headers))
                response = connection.getresponse()
                body = _whole(response)
                answers.add(str(one), response.status, response.getheaders(), body)
            except (OSError, http.client.HTTPException) as error:
                answers.add(str(one), f"no answer ({type(error).__name__})", (), None)
                break
            finally:
                connection.close()


def _whole(response: Any) -> bytes | None:
    """The body; None when it is larger than BODY_MAX or does not end, as a stream of events."""
    if "event-stream" in (response.getheader("content-type") or ""):
        return None
    pieces: list[bytes] = []
    left = BODY_MAX
    while left > 0:
        piece: bytes = response.read(min(left, 65536))
        if not piece:
            if response.length:  # read(n) does not tell
                raise http.client.IncompleteRead(b"", response.length)
            return b"".join(pieces)
        pieces.append(piece)
        left -= len(piece)
    return None
