"""eventlet.websocket: WebSocket (RFC 6455) for applications of eventlet.wsgi.

    @websocket.WebSocketWSGI
    def handle(ws):
        while (message := ws.wait()) is not None:
            ws.send(message)

A connection calls itself idle, so that a stopping server closes it.  The drafts that came before the
RFC (75, 76) and compression are not served: such a client is answered 400, or without the extension.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

from . import semaphore
from .serving.stream import RESET, shut_down

__all__ = ["ConnectionClosedError", "RFC6455WebSocket", "WebSocket", "WebSocketWSGI"]

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DEFAULT_MAX_FRAME_LENGTH = 8 << 20
"""Octets of one frame, and of one message, at most; a longer one ends the connection (1009)."""

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


class ConnectionClosedError(Exception):
    """The client has closed the connection, or vanished."""


class FailedConnectionError(Exception):
    """The client broke the protocol: `status` is what the close frame says (RFC 6455 section 7.4.1)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class ProtocolError(ValueError):
    """A handshake that is none."""


class WebSocketWSGI:
    """A WSGI application that calls handler(ws) for each WebSocket that a client opens.

    `max_frame_length` in octets.
    """

    _WSGI_APP_ALWAYS_IDLE = True

    def __init__(
        self, handler: Callable[[Any], Any], max_frame_length: int = DEFAULT_MAX_FRAME_LENGTH
    ) -> None:
        self.handler = handler
        self.protocol_handler = handler
        self.max_frame_length = max_frame_length
        self.support_legacy_versions = False
        self.supported_protocols: list[str] = []

    @classmethod
    def configured(
        cls,
        handler: Callable[[Any], Any] | None = None,
        supported_protocols: list[str] | None = None,
        origin_checker: Callable[[str], bool] | None = None,
        support_legacy_versions: bool = False,
    ) -> Any:
        """The same, with the subprotocols it speaks and a check of Origin; also as a decorator."""

        def decorated(handler: Callable[[Any], Any]) -> WebSocketWSGI:
            app = cls(handler)
            app.supported_protocols = supported_protocols or []
            app.origin_checker = origin_checker
            return app

        return decorated if handler is None else decorated(handler)

    origin_checker: Callable[[str], bool] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        sock = environ["eventlet.input"].get_socket()
        try:
            accept, protocol = self._agree(environ)
        except ProtocolError as error:
            start_response("400 Bad Request", [("Connection", "close"), ("Content-Length", "0")])
            print(f"WebSocket handshake refused: {error}", file=environ["wsgi.errors"])
            return []
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accept,
        ]
        if protocol:
            lines.append(b"Sec-WebSocket-Protocol: " + protocol.encode("latin-1"))
        environ["eventlet.set_idle"]()
        sock.sendall(b"\r\n".join([*lines, b"", b""]))
        self._run(RFC6455WebSocket(sock, environ, protocol=protocol, max_frame_length=self.max_frame_length))
        from . import wsgi

        wsgi.WSGI_LOCAL.already_handled = True
        return []

    def _run(self, ws: RFC6455WebSocket) -> None:
        try:
            self.handler(ws)
        except OSError as error:
            if error.errno not in RESET:
                ws.close((1011, "error in handler"))
                raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            ws.close((1011, "error in handler"))
        finally:
            ws.close()

    def _agree(self, environ: dict[str, Any]) -> tuple[bytes, str | None]:
        """The answer to the client's key, and the subprotocol.  Raises ProtocolError."""
        options = [option.strip() for option in environ.get("HTTP_CONNECTION", "").lower().split(",")]
        if "upgrade" not in options or environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            raise ProtocolError("Connection and Upgrade do not ask for one")
        if environ.get("HTTP_SEC_WEBSOCKET_VERSION") not in ("7", "8", "13"):
            raise ProtocolError("a version other than that of RFC 6455")
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY")
        if key is None:
            raise ProtocolError("no Sec-WebSocket-Key")
        origin = environ.get("HTTP_ORIGIN", environ.get("HTTP_SEC_WEBSOCKET_ORIGIN", ""))
        if self.origin_checker is not None and not self.origin_checker(origin):
            raise ProtocolError("Origin is not welcome")
        offered = [each.strip() for each in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]
        chosen = next((each for each in offered if each and each in self.supported_protocols), None)
        digest = hashlib.sha1(key.encode("latin-1") + _MAGIC, usedforsecurity=False).digest()
        return base64.b64encode(digest), chosen


class RFC6455WebSocket:
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
        self.socket = sock
        self.environ = environ
        self.origin = environ.get("HTTP_ORIGIN")
        self.protocol = protocol
        self.path = environ.get("PATH_INFO")
        self.version = version
        self.is_client = client
        self.max_frame_length = max_frame_length
        self.log_context = environ
        self.remote_close_data: tuple[int, str] | None = None
        self._buffer = b""
        self._closed = False
        self._sending = semaphore.Semaphore()

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
        while True:
            final, opcode, data = self._frame(sum(map(len, parts)))
            if opcode == _CLOSE:
                self._was_closed(data)
                return None
            if opcode == _PING:
                self._send_frame(_PONG, data)
            elif opcode != _PONG:
                if (opcode == _CONTINUATION) == (kind is None):
                    raise FailedConnectionError(1002, "a continuation of nothing, or none of what had begun")
                kind = opcode if kind is None else kind
                parts.append(data)
                if final:
                    return self._decoded(kind, b"".join(parts))

    @staticmethod
    def _decoded(kind: int, data: bytes) -> str | bytes:
        if kind == _BINARY:
            return data
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise FailedConnectionError(1007, "text that is no UTF-8") from None

    def _frame(self, have: int) -> tuple[bool, int, bytes]:
        """The next frame (RFC 6455 section 5.2): whether it is the last of its message, opcode, data."""
        first, second = self._exactly(2)
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70:
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
            raise FailedConnectionError(1009, f"more than {self.max_frame_length} octets")
        mask = self._exactly(4) if second & 0x80 else b""
        data = self._exactly(size)
        return bool(first & 0x80), opcode, _masked(data, mask) if mask else data

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionClosedError
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _was_closed(self, data: bytes) -> None:
        if len(data) >= 2:
            self.remote_close_data = (struct.unpack("!H", data[:2])[0], data[2:].decode("utf-8", "replace"))
        status = self.remote_close_data[0] if self.remote_close_data else 1000
        self.close((status, ""))

    # Sending

    def send(self, message: str | bytes, **kwargs: Any) -> None:
        """Sends a message: text if it is a str.  ConnectionClosedError after the end."""
        if self._closed:
            raise ConnectionClosedError
        if isinstance(message, str):
            self._send_frame(_TEXT, message.encode("utf-8"))
        else:
            self._send_frame(_BINARY, bytes(message))

    def _send_frame(self, opcode: int, data: bytes) -> None:
        size = len(data)
        head = bytes([0x80 | opcode])
        flag = 0x80 if self.is_client else 0
        if size < 126:
            head += bytes([flag | size])
        elif size < 65536:
            head += struct.pack("!BH", flag | 126, size)
        else:
            head += struct.pack("!BQ", flag | 127, size)
        if self.is_client:
            mask = os.urandom(4)
            head, data = head + mask, _masked(data, mask)
        with self._sending:
            self.socket.sendall(head + data)

    def close(self, close_data: tuple[int, str] | None = None) -> None:
        """Says goodbye with (status, reason), and ends the connection.  May be called twice."""
        if not self._closed:
            self._closed = True
            status, reason = close_data or (1000, "")
            try:
                self._send_frame(_CLOSE, struct.pack("!H", status) + reason.encode("utf-8")[:120])
            except OSError:
                pass  # gone
        try:
            shut_down(self.socket)
        except OSError:
            pass


WebSocket = RFC6455WebSocket


def _masked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    repeated = mask * (size // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated[:size], "big")).to_bytes(size, "big")
