"""The files that a protocol object and its hooks read a head from, and write to.

Both stand over what the driver uses, so that hooks and driver see one stream of octets.
"""

from __future__ import annotations

from typing import Any

from .stream import SocketStream


class HeadFile:
    """The file that heads are read from: the socket's own, with what was read too far put back."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._ahead = b""
        self._read1 = getattr(file, "read1", None) or file.read

    def put_back(self, data: bytes) -> None:
        self._ahead = data + self._ahead

    def readline(self, limit: int = -1) -> bytes:
        ahead = self._ahead
        if not ahead:
            return self._file.readline(limit)  # type: ignore[no-any-return]
        end = ahead.find(b"\n") + 1
        if 0 <= limit < (end or len(ahead)):
            end = limit
        if end:
            self._ahead = ahead[end:]
            return ahead[:end]
        self._ahead = b""
        return ahead + self._file.readline(limit - len(ahead) if limit >= 0 else -1)  # type: ignore[no-any-return]

    def read1(self, size: int = -1) -> bytes | None:
        ahead = self._ahead
        if ahead:
            end = len(ahead) if size < 0 else size
            self._ahead = ahead[end:]
            return ahead[:end]
        return self._read1(size)  # type: ignore[no-any-return]

    def read(self, size: int = -1) -> bytes:
        ahead = self._ahead
        if not ahead:
            return self._file.read(size)  # type: ignore[no-any-return]
        if 0 <= size <= len(ahead):
            self._ahead = ahead[size:]
            return ahead[:size]
        self._ahead = b""
        return ahead + self._file.read(size if size < 0 else size - len(ahead))  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class OutFile:
    """wfile: what hooks write, beside the driver, goes out whole and at once."""

    closed = False

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) :]
        return len(data)

    def writelines(self, lines: Any) -> None:
        self.write(b"".join(lines))

    def flush(self) -> None: ...

    def close(self) -> None: ...
