"""What an application reads from and hands files to: wsgi.input and wsgi.file_wrapper (PEP 3333).

An Input pulls the body's content piece by piece from its connection, which waits, sends
100 Continue and watches deadlines; it only cuts the pieces as the application asks.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, Final


class Input:
    """wsgi.input: the content of one request body, in order, once.

    Every read may raise BodyError: malformed, cut short or stalled.  A short body is never taken
    for a whole one.  After the response it is closed, and reads raise ValueError.
    """

    __slots__ = ("_at", "_held", "_pull")

    def __init__(self, pull: Callable[[], bytes], held: bytes = b"") -> None:
        self._pull: Callable[[], bytes] | None = pull  # the next piece; b"" at the end of the body
        self._held = held
        self._at = 0  # where the unread part of `_held` starts

    def close(self) -> None:
        """The request is over: what the application kept must not read from the next one."""
        self._pull = None

    def _next_piece(self) -> bytes:
        if self._pull is None:
            raise ValueError("read from the input of a request that is over")
        return self._pull()

    def read(self, size: int | None = -1) -> bytes:
        """`size` octets, fewer only at the end of the body; all the rest for -1 or None."""
        at = self._at
        held = self._held
        if size is not None and 0 <= size <= len(held) - at:
            self._at = at + size
            return held[at : at + size]
        pieces = [held[at:]]
        have = len(pieces[0])
        self._held, self._at = b"", 0
        try:
            while size is None or size < 0 or have < size:
                piece = self._next_piece()
                if not piece:
                    break
                pieces.append(piece)
                have += len(piece)
        except BaseException:
            self._held = b"".join(pieces)  # a reader that tries again finds what had come in
            raise
        if size is not None and 0 <= size < have:
            over = have - size
            last = pieces[-1]
            pieces[-1] = last[: len(last) - over]
            self._held, self._at = last, len(last) - over
        return pieces[-1] if len(pieces) == 2 and not pieces[0] else b"".join(pieces)

    def read1(self, size: int | None = -1) -> bytes:
        """What there is, at most `size` octets if that is not negative; waits only for the first.

        b"" means the end.  What reads a protocol of its own after 101 or CONNECT reads by this.
        """
        if size == 0:
            return b""
        if self._at == len(self._held):
            self._held, self._at = self._next_piece(), 0
        end = len(self._held) if size is None or size < 0 else self._at + size
        piece = self._held[self._at : end]
        self._at += len(piece)
        return piece

    def readline(self, size: int | None = -1) -> bytes:
        """Up to and with the next LF, at most `size` octets if that is not negative."""
        limit = -1 if size is None else size
        pieces: list[bytes] = []
        have = 0
        try:
            while limit < 0 or have < limit:
                if self._at == len(self._held):
                    self._held, self._at = self._next_piece(), 0
                    if not self._held:
                        break
                end = self._held.find(b"\n", self._at) + 1 or len(self._held)
                if limit >= 0:
                    end = min(end, self._at + limit - have)
                piece = self._held[self._at : end]
                self._at = end
                pieces.append(piece)
                have += len(piece)
                if piece.endswith(b"\n"):
                    break
        except BaseException:
            self._held, self._at = b"".join(pieces), 0
            raise
        return b"".join(pieces)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """The lines that are left, or so many that they hold `hint` octets if that is positive."""
        lines: list[bytes] = []
        have = 0
        for line in self:
            lines.append(line)
            have += len(line)
            if hint is not None and 0 < hint <= have:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class _NoBody(Input):
    """The input of every request without a body: one for all, since nothing can be read from it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(bytes)

    def close(self) -> None:
        """It has no end to come to."""


NO_BODY: Final = _NoBody()


class FileWrapper:
    """wsgi.file_wrapper: an iterable over a file-like object, which the server may send by sendfile.

    `block_size` is how many octets a read takes where the octets must pass through the process.
    """

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    @property
    def is_plain(self) -> bool:
        """Whether read() gives what the descriptor gives.

        A gzip.GzipFile has a fileno(), too, and what it reads is not what stands in that file.
        """
        file = self.filelike
        if type(file).__module__ == "tempfile":  # importing that only to ask would take a while
            file = getattr(file, "file", None)
        if type(file) in (io.BufferedReader, io.BufferedRandom):
            file = file.raw
        return type(file) is io.FileIO

    def __iter__(self) -> Iterator[bytes]:
        return self  # and no generator: what wraps iter(wrapper) has to find close() there

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data
