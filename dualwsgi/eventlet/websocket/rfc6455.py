"""A WebSocket as RFC 6455 has it, with the compression of RFC 7692 if both sides want it."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

from ..serving.stream import RESET
from .deflate import NAME, Deflate, TooLong
from .drafts import ConnectionClosedError, WebSocket

__all__ = ["DEFAULT_MAX_FRAME_LENGTH", "RFC6455WebSocket"]

DEFAULT_MAX_FRAME_LENGTH = 8 << 20
"""Octets of one frame, and of one message, at most; a longer one ends the connection (1009)."""

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_COMPRESSED = 0x40


class FailedConnectionError(Exception):
    """The client broke the protocol: `status` is what the close frame says (RFC 6455 section 7.4.1)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class RFC6455WebSocket(WebSocket):
    """One WebSocket: `wait` receives a message, `send` sends one.

    `path`, `origin` and `protocol` are the handshake's; `client` True masks what is sent.
    """

    def __init__(
        self,
        sock: Any,
        environ: dict[str, Any],
        version: int = 13,
        protocol: str | None = None,
        client: bool = False,
        extensions: Any = None,
        max_frame_length: int = DEFAULT_MAX_FRAME_LENGTH,
    ) -> None:
        super().__init__(sock, environ, version)
        self.protocol = protocol
        self.is_client = client
        self.extensions: dict[str, dict[str, Any]] = extensions or {}
        self.max_frame_length = max_frame_length
        self._remote_close_data: bytes | None = None  # as it came
        self._deflate: Deflate | None = None

    @property
    def deflate(self) -> Deflate | None:
        """What compresses, if that has been agreed on."""
        if self._deflate is None and NAME in self.extensions:
            self._deflate = Deflate(self.extensions[NAME], self.is_client)
        return self._deflate

    # Receiving

    def wait(self) -> str | bytes | None:
        """The next message: str or bytes as the client sent it; None when the connection is over."""
        if self._closed:
            return None
        try:
            return self._message()
        except ConnectionClosedError:
            self._closed = True
            return None
        except FailedConnectionError as error:
            self.close((error.status, error.message))
            return None
        except OSError as error:
            if error.errno in RESET or error.errno == errno.EBADF:
                self._closed = True
                return None
            raise

    def _message(self) -> str | bytes | None:
        kind: int | None = None
        parts: list[bytes] = []
        size = 0
        is_compressed = False
        while True:
            final, compressed, opcode, data = self._frame(size)
            if opcode == _CLOSE:
                self._was_closed(data)
                return None
            if opcode == _PING:
                self._send_frame(_PONG, data)
            elif opcode != _PONG:
                if (opcode == _CONTINUATION) == (kind is None):
                    raise FailedConnectionError(1002, "a continuation of nothing, or none of what had begun")
                if compressed and (kind is not None or self.deflate is None):
                    raise FailedConnectionError(1002, "reserved bits are set")
                if kind is None:
                    kind, is_compressed = opcode, compressed
                size += len(data)
                if data:  # of empty frames there may be any number
                    parts.append(data)
                if final:
                    whole = b"".join(parts)
                    return self._decoded(kind, self._inflated(whole) if is_compressed else whole)

    def _inflated(self, data: bytes) -> bytes:
        assert self.deflate is not None
        try:
            return self.deflate.decompress(data, self.max_frame_length)
        except TooLong:
            raise FailedConnectionError(
                1009, f"Incoming compressed message is above length limit of {self.max_frame_length} bytes."
            ) from None
        except ValueError:
            raise FailedConnectionError(1007, "compressed data that is none") from None

    @staticmethod
    def _decoded(kind: int, data: bytes) -> str | bytes:
        if kind == _BINARY:
            return data
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise FailedConnectionError(1007, "text that is no UTF-8") from None

    def _frame(self, have: int) -> tuple[bool, bool, int, bytes]:
        """The next frame (RFC 6455 section 5.2).

        Whether it is the last of its message, and begins a compressed one; opcode and data.
        """
        first, second = self._exactly(2)
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x30 or (first & _COMPRESSED and opcode & 8):
            raise FailedConnectionError(1002, "reserved bits are set")
        if opcode not in (_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG):
            raise FailedConnectionError(1002, "an unknown opcode")
        if opcode & 8 and (size > 125 or not first & 0x80):
            raise FailedConnectionError(1002, "a control frame that is long or in parts")
        if bool(second & 0x80) == self.is_client:
            raise FailedConnectionError(
                1002, "a mask where there must be none, or none where there must be one"
            )
        if size == 126:
            size = struct.unpack("!H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._exactly(8))[0]
        if size + have > self.max_frame_length:
            raise FailedConnectionError(
                1009,
                f"Incoming frame of {size} bytes is above length limit of {self.max_frame_length} bytes.",
            )
        mask = self._exactly(4) if second & 0x80 else b""
        data = self._exactly(size)
        data = _masked(data, mask) if mask else data
        return bool(first & 0x80), bool(first & _COMPRESSED), opcode, data

    def _exactly(self, count: int) -> bytes:
        while len(self._buf) < count:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionClosedError
            self._buf += data
        data = bytes(self._buf[:count])
        del self._buf[:count]
        return data

    def _was_closed(self, data: bytes) -> None:
        self._remote_close_data = data
        if len(data) >= 2:
            self.remote_close_data = (struct.unpack("!H", data[:2])[0], data[2:].decode("utf-8", "replace"))
        status = self.remote_close_data[0] if self.remote_close_data else 1000
        self.close((status, ""))

    # Sending

    def send(self, message: str | bytes, **kwargs: Any) -> None:
        """Sends a message: text if it is a str.  ConnectionClosedError after the end."""
        if self._closed:
            raise ConnectionClosedError
        with self._sending:  # also around the compressing, whose order is that of the messages
            self.socket.sendall(self._pack_message(message, masked=self.is_client))

    def _pack_message(self, message: str | bytes, masked: bool = False) -> bytes:
        """A message as one frame."""
        opcode, data = (
            (_TEXT, message.encode("utf-8")) if isinstance(message, str) else (_BINARY, bytes(message))
        )
        if self.deflate is not None:
            opcode, data = opcode | _COMPRESSED, self.deflate.compress(data)
        return _frame_of(opcode, data, masked)

    def _send(self, octets: bytes) -> None:
        with self._sending:
            self.socket.sendall(octets)

    def _send_frame(self, opcode: int, data: bytes) -> None:
        self._send(_frame_of(opcode, data, self.is_client))

    def close(self, close_data: tuple[int, str] | None = None) -> None:
        """Says goodbye with (status, reason), and ends the connection.  May be called twice."""
        if not self._closed:
            self._closed = True
            status, reason = close_data or (1000, "")
            try:
                self._send_frame(_CLOSE, struct.pack("!H", status) + reason.encode("utf-8")[:120])
            except OSError:
                pass  # gone
        self._shut_down()


def _frame_of(opcode: int, data: bytes, masked: bool) -> bytes:
    size = len(data)
    head = bytes([0x80 | opcode])
    flag = 0x80 if masked else 0
    if size < 126:
        head += bytes([flag | size])
    elif size < 65536:
        head += struct.pack("!BH", flag | 126, size)
    else:
        head += struct.pack("!BQ", flag | 127, size)
    if masked:
        mask = os.urandom(4)
        head, data = head + mask, _masked(data, mask)
    return head + data


def _masked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    repeated = mask * (size // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated[:size], "big")).to_bytes(size, "big")
