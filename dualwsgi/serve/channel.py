"""What supervisor, nursery and worker say to each other: lines over a socket pair.

A line is a word and, after a space, what belongs to it; the words are those of `Says`.  The first
thing a new process gets is no line but its job, pickled: it comes from its own parent, and only its
own parent holds the other end.  The end of the channel is the end of whoever was there.

The socket is the C one, so that it stays what it is where a green backend has patched the standard
library, and sending never waits.  Knows no processes and no signals.
"""

from __future__ import annotations

import _socket
import os
import struct
from array import array
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["Channel", "pair"]

_LENGTH: Final = struct.Struct("!Q")
_READ: Final = 65536


class Channel:
    """One end.  `say` may be called by any thread, everything else by its owner alone."""

    def __init__(self, sock: _socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._buffer = b""
        self.closed = False
        """Nothing more will come: whoever was at the other end is gone."""

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def peer(self) -> int:
        """The process that made the pair, which is the supervisor; 0 where the system does not tell."""
        try:
            said = self._sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        except (AttributeError, OSError):
            return 0
        return struct.unpack("=3i", said)[0]  # type: ignore[no-any-return]

    def say(self, word: str, text: object = "", *, descriptor: int = -1) -> bool:
        """Sends a line, with a descriptor if one is given; whether it went out.  Never waits."""
        line = f"{word} {text}".rstrip().replace("\n", "\\n") + "\n"
        octets = line.encode("utf-8", "backslashreplace")
        rights: list[Any] = []
        if descriptor >= 0:
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [descriptor]))]
        try:
            # A line is far shorter than the socket's buffer, so it goes out whole or not at all.
            return self._sock.sendmsg([octets], rights) == len(octets)
        except OSError:
            return False

    def lines(self) -> Iterator[tuple[str, str, int]]:
        """Word, text and descriptor (-1: none) of each line that has come in.  Never waits."""
        descriptors: list[int] = []
        while not self.closed:
            try:
                data, rights, _, _ = self._sock.recvmsg(_READ, _socket.CMSG_LEN(64 * 4))
            except BlockingIOError:
                break
            except OSError:
                data, rights = b"", []
            for level, kind, octets in rights:
                if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                    numbers = array("i")
                    numbers.frombytes(octets[: len(octets) - len(octets) % numbers.itemsize])
                    descriptors += numbers
            if not data:
                self.closed = True
            self._buffer += data
        *whole, self._buffer = self._buffer.split(b"\n")
        for octets in whole:
            word, _, text = octets.decode("utf-8", "replace").partition(" ")
            # Descriptors come in the order of the lines that they belong to.
            yield word, text, descriptors.pop(0) if word == "fork" and descriptors else -1

    def close(self) -> None:
        self._sock.close()

    # The job, before the first line

    def send_job(self, octets: bytes) -> None:
        """Sends a job; waits until it is out.  Raises OSError if the other end is gone."""
        self._sock.setblocking(True)
        self._sock.sendall(_LENGTH.pack(len(octets)) + octets)
        self._sock.setblocking(False)

    def receive_job(self) -> bytes:
        """Waits for the job.  Raises EOFError if the other end is gone."""
        self._sock.setblocking(True)
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        octets = self._exactly(length)
        self._sock.setblocking(False)
        return octets

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._sock.recv(min(count, _READ))
            if not part:
                raise EOFError("the supervisor is gone")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def pair() -> tuple[Channel, _socket.socket]:
    """One end, and the socket of the other, to be given to another process."""
    mine, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    for sock in (mine, theirs):
        os.set_inheritable(sock.fileno(), False)
    return Channel(_socket.socket(fileno=mine.detach())), theirs
