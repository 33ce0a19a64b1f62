"""A WebSocket as the drafts before RFC 6455 had it (hixie-75 and -76): text between 0x00 and 0xFF.

No browser of the last ten years speaks them; programs that were written then do.
"""

from __future__ import annotations

import collections
import errno
import hashlib
import re
import struct
from typing import Any

from .. import semaphore
from ..serving.stream import RESET, shut_down

__all__ = ["ConnectionClosedError", "WebSocket", "answer_to"]

MOST = 8 << 20
"""Octets of a message, at most."""


class ConnectionClosedError(Exception):
    """The client has closed the connection, or vanished."""


class WebSocket:
    """One WebSocket: `wait` receives a message, `send` sends one.

    `version` is 75 or 76; `path`, `origin` and `protocol` are the handshake's.
    """

    def __init__(self, sock: Any, environ: dict[str, Any], version: int = 76) -> None:
        self.socket = sock
        self.environ = environ
        self.version = version
        self.origin = environ.get("HTTP_ORIGIN")
        self.protocol = environ.get("HTTP_WEBSOCKET_PROTOCOL")
        self.path = environ.get("PATH_INFO")
        self.log_context = environ
        self.remote_close_data: tuple[int, str] | None = None  # of RFC 6455: status and reason
        self._buf = bytearray()  # from whose front is taken what is whole, without copying the rest
        self._searched = 0  # octets of it in which no message ends
        self._msgs: collections.deque[str | None] = collections.deque()
        self._closed = False
        self._sending = semaphore.Semaphore()

    def wait(self) -> Any:
        """The next message, None when the connection is over.  ValueError for what is no message."""
        while not self._msgs:
            if self._closed:
                return None
            try:
                data = self.socket.recv(8192)
            except OSError as error:
                if error.errno not in RESET and error.errno != errno.EBADF:
                    raise
                data = b""
            if not data:
                return None
            self._buf += data
            self._parse()
        return self._msgs.popleft()

    def _parse(self) -> None:
        """Takes all whole messages out of what came in."""
        while self._buf:
            if self._buf[0] == 0:
                end = self._buf.find(b"\xff", self._searched)
                if end < 0:
                    if len(self._buf) - 1 > MOST:
                        raise ValueError(f"a message of more than {MOST} octets")
                    self._searched = len(self._buf)
                    return
                self._msgs.append(self._buf[1:end].decode("utf-8", "replace"))
                del self._buf[: end + 1]
                self._searched = 0
            elif self._buf[0] == 0xFF:
                if len(self._buf) < 2:
                    return
                if self._buf[1]:
                    raise ValueError("a frame with a length, which nobody has defined")
                self._msgs.append(None)  # it says goodbye
                self._buf.clear()
            else:
                raise ValueError(f"a message that begins with {bytes(self._buf[:1])!r}")

    def send(self, message: Any) -> None:
        """Sends `message` as text."""
        data = message if isinstance(message, bytes) else str(message).encode("utf-8")
        with self._sending:
            self.socket.sendall(b"\x00" + data + b"\xff")

    def close(self, close_data: Any = None) -> None:
        """Says goodbye, and ends the connection.  May be called twice."""
        if not self._closed:
            self._closed = True
            if self.version == 76:
                try:
                    with self._sending:
                        self.socket.sendall(b"\xff\x00")
                except OSError:
                    pass  # gone
        self._shut_down()

    def _shut_down(self) -> None:
        try:
            shut_down(self.socket)
        except OSError:
            pass


def answer_to(key1: str, key2: str, key3: bytes) -> bytes:
    """What proves to a client of draft 76 that its handshake was read.  ValueError for keys that are none."""
    numbers = []
    for key in (key1, key2):
        digits, spaces = re.sub(r"\D", "", key, flags=re.ASCII), key.count(" ")
        if not digits or not spaces or int(digits) % spaces:
            raise ValueError("a key of draft 76 that is none")
        numbers.append(int(digits) // spaces)
    if max(numbers) >> 32:
        raise ValueError("a key of draft 76 that is too large")
    return hashlib.md5(struct.pack("!II", *numbers) + key3, usedforsecurity=False).digest()
