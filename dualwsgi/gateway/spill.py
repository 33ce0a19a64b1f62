"""The content of a request body that waits, whole, for its call: in memory while it is small, then in a file.

The file has no name, so that nothing of it is left however this process ends.  Knows no HTTP.
"""

from __future__ import annotations

from typing import IO, Final

PIECE: Final = 65536
"""Octets of the file that are read at once."""


class Spill:
    """`held` octets stay in memory; those beyond are written to a file, where temporary files are.

    Written first, then read, each once.
    """

    __slots__ = ("_file", "_held", "_pieces", "size")

    def __init__(self, held: int) -> None:
        self._held = held
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Raises OSError where there is no room for it."""
        if not piece:  # which read() would take for the end
            return
        self.size += len(piece)
        if self.size <= self._held:
            self._pieces.append(piece)
            return
        if self._file is None:
            import tempfile  # late: it takes a while, and few have to spill

            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # open for as long as the body is wanted
        self._file.write(piece)

    def rewind(self) -> None:
        """All is written, and will be read.  Raises OSError where there is no room for it."""
        self._pieces.reverse()
        if self._file is not None:
            self._file.seek(0)

    def read(self) -> bytes:
        """The next piece; b"" at the end."""
        if self._pieces:
            return self._pieces.pop()
        return self._file.read(PIECE) if self._file is not None else b""

    def __del__(self) -> None:
        # Whoever drops the body drops this, in whatever state: here is the one place that sees them all.
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                pass  # what was not flushed yet found no room
