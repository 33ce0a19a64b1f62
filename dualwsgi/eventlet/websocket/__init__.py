"""eventlet.websocket: WebSocket for applications of eventlet.wsgi.

    @websocket.WebSocketWSGI
    def handle(ws):
        while (message := ws.wait()) is not None:
            ws.send(message)

    rfc6455.py   the WebSocket that is spoken today
    deflate.py   its compression
    drafts.py    those before it

A connection calls itself idle, so that a stopping server closes it.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import traceback
from collections.abc import Callable
from typing import Any

from ..serving.stream import RESET
from . import deflate, drafts
from .drafts import ConnectionClosedError, WebSocket
from .rfc6455 import DEFAULT_MAX_FRAME_LENGTH, RFC6455WebSocket

__all__ = ["ConnectionClosedError", "RFC6455WebSocket", "WebSocket", "WebSocketWSGI"]

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ProtocolError(ValueError):
    """A handshake that is none."""


class WebSocketWSGI:
    """A WSGI application that calls handler(ws) for each WebSocket that a client opens.

    `max_frame_length` in octets.  Made by itself it speaks the drafts too; made by `configured`, only if
    that is said.
    """

    _WSGI_APP_ALWAYS_IDLE = True

    def __init__(
        self, handler: Callable[[Any], Any], max_frame_length: int = DEFAULT_MAX_FRAME_LENGTH
    ) -> None:
        self.handler = handler
        self.protocol_handler = handler
        self.max_frame_length = max_frame_length
        self.support_legacy_versions = True
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
            app.support_legacy_versions = support_legacy_versions
            return app

        return decorated if handler is None else decorated(handler)

    origin_checker: Callable[[str], bool] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        try:
            options = [option.strip() for option in environ.get("HTTP_CONNECTION", "").lower().split(",")]
            if "upgrade" not in options or environ.get("HTTP_UPGRADE", "").lower() != "websocket":
                raise ProtocolError("Connection and Upgrade do not ask for one")
            if "HTTP_SEC_WEBSOCKET_VERSION" in environ or not self.support_legacy_versions:
                ws, head = self._agree(environ)
            else:
                ws, head = self._agree_on_draft(environ)
        except ProtocolError as error:
            start_response("400 Bad Request", [("Connection", "close"), ("Content-Length", "0")])
            print(f"WebSocket handshake refused: {error}", file=environ["wsgi.errors"])
            return []
        environ["eventlet.set_idle"]()
        from .. import wsgi

        try:
            ws.socket.sendall(head)
            self._run(ws)
        finally:
            wsgi.WSGI_LOCAL.already_handled = True
        return []

    def _run(self, ws: WebSocket) -> None:
        try:
            self.handler(ws)
        except OSError as error:
            if error.errno not in RESET:
                ws.close((1011, "error in handler"))
                raise
        except Exception:
            if not isinstance(ws, RFC6455WebSocket):
                raise  # there is no frame that would tell
            traceback.print_exc(file=sys.stderr)
            ws.close((1011, "error in handler"))
        finally:
            ws.close()

    def _check_origin(self, environ: dict[str, Any]) -> str:
        origin: str = environ.get("HTTP_ORIGIN", environ.get("HTTP_SEC_WEBSOCKET_ORIGIN", ""))
        if self.origin_checker is not None and not self.origin_checker(origin):
            raise ProtocolError("Origin is not welcome")
        return origin

    def _agree(self, environ: dict[str, Any]) -> tuple[WebSocket, bytes]:
        """The WebSocket of RFC 6455 section 4.2, and the head of the answer.  Raises ProtocolError."""
        if environ.get("HTTP_SEC_WEBSOCKET_VERSION") not in ("7", "8", "13"):
            raise ProtocolError("a version other than that of RFC 6455")
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY")
        if key is None:
            raise ProtocolError("no Sec-WebSocket-Key")
        self._check_origin(environ)
        offered = [each.strip() for each in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]
        protocol = next((each for each in offered if each and each in self.supported_protocols), None)
        digest = hashlib.sha1(key.encode("latin-1") + _MAGIC, usedforsecurity=False).digest()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        ]
        if protocol:
            lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        extensions: dict[str, Any] = {}
        agreed = deflate.agree(environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", ""))
        if agreed is not None:
            extensions[deflate.NAME] = agreed
            lines.append(f"Sec-WebSocket-Extensions: {deflate.told(agreed)}")
        ws = RFC6455WebSocket(
            environ["eventlet.input"].get_socket(),
            environ,
            protocol=protocol,
            extensions=extensions,
            max_frame_length=self.max_frame_length,
        )
        return ws, _head(lines)

    def _agree_on_draft(self, environ: dict[str, Any]) -> tuple[WebSocket, bytes]:
        """The WebSocket of a draft, and the answer.  Raises ProtocolError."""
        origin = self._check_origin(environ)
        target = environ.get("RAW_PATH_INFO", environ.get("PATH_INFO", ""))
        if "QUERY_STRING" in environ:
            target += "?" + environ["QUERY_STRING"]
        scheme = "wss" if environ["wsgi.url_scheme"] == "https" else "ws"
        location = f"{scheme}://{environ.get('HTTP_HOST', '')}{target}"
        body = environ["eventlet.input"]
        key1, key2 = (environ.get(f"HTTP_SEC_WEBSOCKET_KEY{number}") for number in (1, 2))
        if key1 is None and key2 is None:
            if "HTTP_SEC_WEBSOCKET_PROTOCOL" in environ or "HTTP_SEC_WEBSOCKET_KEY" in environ:
                raise ProtocolError("no Sec-WebSocket-Version")
            lines = [
                "HTTP/1.1 101 Web Socket Protocol Handshake",
                "Upgrade: WebSocket",
                "Connection: Upgrade",
            ]
            lines += [f"WebSocket-Origin: {origin}", f"WebSocket-Location: {location}"]
            return WebSocket(body.get_socket(), environ, 75), _head(lines)
        if key1 is None or key2 is None:
            raise ProtocolError("one key of two")
        try:
            proof = drafts.answer_to(key1, key2, body.read_past_head(8))
        except (ValueError, OSError) as error:
            raise ProtocolError(str(error)) from None
        lines = ["HTTP/1.1 101 WebSocket Protocol Handshake", "Upgrade: WebSocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Origin: {origin}")
        protocol = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL")
        if protocol:
            lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        lines.append(f"Sec-WebSocket-Location: {location}")
        ws = WebSocket(body.get_socket(), environ, 76)
        ws.protocol = protocol
        return ws, _head(lines) + proof


def _head(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
