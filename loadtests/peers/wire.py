"""A small HTTP/1.1 client over plain sockets, for what wrk cannot do: idle crowds, slow heads, uploads."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from types import TracebackType

HOST = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BadReply(Exception):
    """The reply is cut short, or no HTTP."""


class Client:
    """One connection. Closing it sends a reset, so that thousands of them leave no ports in TIME_WAIT."""

    def __init__(self, port: int, timeout: float = 10.0, *, tls: bool = False) -> None:
        self.socket = socket.create_connection((HOST, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._buffer = b""
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # the certificate was made a moment ago, for this run
            context.verify_mode = ssl.CERT_NONE
            try:
                self.socket = context.wrap_socket(self.socket)
            except OSError:
                self.socket.close()
                raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def get(self, path: str = "/", connection: str = "") -> tuple[int, bytes]:
        """One GET: status and body. Raises OSError or BadReply."""
        extra = f"Connection: {connection}\r\n" if connection else ""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{extra}\r\n".encode())
        return self.reply()

    def reply(self) -> tuple[int, bytes]:
        head = self._until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.split("\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }
        try:
            status = int(status_line.split(" ")[1])
        except (IndexError, ValueError):
            raise BadReply(f"not a status line: {status_line!r}") from None
        if "content-length" in fields:
            return status, self._exactly(int(fields["content-length"]))
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return status, self._chunks()
        return status, self._rest()

    def _more(self) -> None:
        if not (data := self.socket.recv(262144)):
            raise BadReply("the connection was closed")
        self._buffer += data

    def _until(self, mark: bytes) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            self._more()
        found, self._buffer = self._buffer[:end], self._buffer[end + len(mark) :]
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._exactly(size)
            self._until(b"\r\n")
        self._until(b"\r\n")
        return body

    def _rest(self) -> bytes:
        try:
            while True:
                self._more()
        except BadReply:
            found, self._buffer = self._buffer, b""
            return found


def keeps_alive(port: int, *, tls: bool = False) -> bool:
    """Whether a second request on one connection gets an answer."""
    with Client(port, tls=tls) as client:
        client.get()
        try:
            return client.get()[0] == 200
        except (OSError, BadReply):
            return False


def latencies(
    port: int, count: int, budget: float, *, fresh: bool = False, timeout: float = 5.0
) -> list[float]:
    """Seconds that each of `count` requests in turn took, at most `budget` seconds in all; a failure counts
    `timeout`.

    `fresh` opens a connection for each, and counts the time that takes: a server whose threads are all held
    may well serve a connection that it already has.
    """
    taken: list[float] = []
    end = time.monotonic() + budget
    client: Client | None = None
    while len(taken) < count and time.monotonic() < end:
        begun = time.perf_counter()
        try:
            if client is None:
                client = Client(port, timeout)
            client.get()
        except (OSError, BadReply):
            taken.append(max(timeout, time.perf_counter() - begun))
            if client is not None:
                client.close()
            client = None
            continue
        taken.append(time.perf_counter() - begun)
        if fresh:
            client.close()
            client = None
    if client is not None:
        client.close()
    return taken


def still_open(clients: Sequence[Client]) -> int:
    """How many of the connections the server has not closed: nothing, not even an end, waits to be read."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ)
        return len(clients) - len(selector.select(0))
