"""The small HTTP server that gives metrics, and tells of health.

    /metrics    the figures of the whole fleet, whichever worker is asked
    /livez      200 while the process answers
    /readyz     200 while it wants requests, 503 once it drains and while it turns some away

It is served by native threads, so that a server that is busy can still be scraped.  Where prometheus_client
is installed, it writes the text, also as OpenMetrics, and what the application has in its registry stands in
the same answer (see collector.py); without it families.py does, which needs no library.
"""

from __future__ import annotations

import _socket
import re
from collections.abc import Callable
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ...config import parse_bind
from ...errors import ConfigError
from ...gateway.site import DateField
from ...native import native_sleep, start_native
from ..health import Health
from .families import CONTENT_TYPE, write_metrics
from .subject import Subject

if TYPE_CHECKING:
    from .collector import Collector

__all__ = ["MetricsServer"]

MOST_CLIENTS: Final = 8
PATIENCE: Final = 5.0
HEAD_MAX: Final = 8192


class MetricsServer:
    """Answers at `bind` until close().  Raises ConfigError if it cannot be bound."""

    def __init__(self, server: Subject, bind: str) -> None:
        address = parse_bind(bind, "metrics_bind")
        if address.kind != "tcp":
            raise ConfigError(f"metrics_bind: {bind!r} is no TCP address; give HOST:PORT")
        self._server = server
        self._health = Health(server)
        self._closed = False
        self._threads = [0]  # one entry each
        self._collector: Collector | None = None
        if find_spec("prometheus_client") is not None:
            from .collector import Collector  # here, not in the thread: an import may wait for a hub's lock

            self._collector = Collector(server)
        try:
            found = _socket.getaddrinfo(address.host or "0.0.0.0", address.port, 0, _socket.SOCK_STREAM)
            family, kind, protocol, _, where = found[0]
            self._listener = _socket.socket(family, kind, protocol)
        except OSError as error:
            raise ConfigError(f"metrics_bind: there is no {bind!r}: {error.strerror}") from None
        try:
            self._listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            if server.supervisor:
                # Every worker listens there, and whichever is asked speaks for all.
                self._listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
            self._listener.bind(where)
            self._listener.listen(MOST_CLIENTS)
        except OSError as error:
            self._listener.close()
            raise ConfigError(
                f"metrics_bind: cannot listen at {bind!r}: {error.strerror}; give another HOST:PORT"
            ) from None
        host, port = self._listener.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        start_native(self._accept)

    def close(self) -> None:
        """May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self._listener.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass
        for _ in range(200):
            if not self._threads:
                break
            native_sleep(0.005)

    # In threads of its own

    def _accept(self) -> None:
        listener: Any = self._listener
        while not self._closed:
            try:
                number, _ = listener._accept()
            except OSError:
                native_sleep(0.1)  # it is closed, or there are no descriptors
                continue
            client = _socket.socket(listener.family, listener.type, listener.proto, number)
            if len(self._threads) > MOST_CLIENTS:
                client.close()
                continue
            self._threads.append(0)
            start_native(self._serve, client)
        listener.close()
        self._threads.pop()

    def _serve(self, client: _socket.socket) -> None:
        try:
            head = b""
            due = monotonic() + PATIENCE
            while b"\r\n\r\n" not in head and len(head) < HEAD_MAX:
                # In all, or eight could keep it for themselves.
                client.settimeout(max(0.001, due - monotonic()))
                data = client.recv(4096)
                if not data:
                    return
                head += data
            client.settimeout(PATIENCE)
            client.sendall(self._answer(head))
            client.shutdown(_socket.SHUT_WR)
            client.recv(4096)
        except OSError:
            pass
        finally:
            client.close()
            self._threads.pop()

    def _answer(self, head: bytes) -> bytes:
        words = head.partition(b"\r\n")[0].split(b" ")
        method, target = (words[0], words[1].partition(b"?")[0]) if len(words) == 3 else (b"", b"")
        try:
            status, kind, text = self._say(method, target, _accept(head))
        except Exception as error:  # told to who asked: a log's lock may be a hub's
            status, kind, text = "500 Internal Server Error", "text/plain", f"this failed: {error!r}\n"
        content = text.encode()
        fields = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        if status.startswith("405"):
            fields += "Allow: GET, HEAD\r\n"
        end = f"{fields}Connection: close\r\n".encode() + DateField().line + b"\r\n"
        return end if method == b"HEAD" else end + content

    def _say(self, method: bytes, target: bytes, accept: str) -> tuple[str, str, str]:
        if not method:
            return "400 Bad Request", "text/plain", "this is no request\n"
        if method not in (b"GET", b"HEAD"):
            return "405 Method Not Allowed", "text/plain", "only GET and HEAD are known here\n"
        act: Callable[[], tuple[str, str, str]] | None = {
            b"/metrics": lambda: self._metrics(accept),
            b"/livez": lambda: _plain(self._health.live()),
            b"/readyz": lambda: _plain(self._health.ready()),
        }.get(target)
        return act() if act is not None else ("404 Not Found", "text/plain", "/metrics /livez /readyz\n")

    def _metrics(self, accept: str) -> tuple[str, str, str]:
        if self._collector is not None:
            return "200 OK", *self._collector.write(accept)
        from .fleet import take_fleet

        return "200 OK", CONTENT_TYPE, write_metrics(take_fleet(self._server))


def _plain(answer: tuple[str, str]) -> tuple[str, str, str]:
    status, text = answer
    return status, "text/plain", text


def _accept(head: bytes) -> str:
    """The field Accept, which says whether OpenMetrics is known."""
    found = re.search(rb"\r\naccept:([^\r\n]*)", head, re.IGNORECASE)
    return found[1].decode("latin-1").strip() if found is not None else ""
