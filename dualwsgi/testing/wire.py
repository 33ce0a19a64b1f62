"""Clients that speak HTTP octet by octet, well or badly, and say exactly what came back.

    with Client("http://127.0.0.1:8000") as client:
        client.send(b"GET / HTTP/1.1\\r\\n", b"Host: x\\r\\n\\r\\n")
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"hello")
        assert client.ending() == "eof"

Everything has a deadline and nothing sleeps.  A response that is malformed raises ProtocolError:
what is sent here may be wrong, what comes back may not.  Knows no server and no test framework.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock
from time import monotonic
from typing import Any, TypeVar

from .pki import trusting

PATIENCE = 10.0
"""Seconds that an operation may take before it is a failure; far more than any takes."""

T = TypeVar("T")


class ProtocolError(AssertionError):
    """What came back is no HTTP response, or not the whole of one."""


@dataclass
class Response:
    """One response as it stood on the wire."""

    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    head: bytes
    body: bytes = b""
    framing: str = "none"  # none, sized, chunked, close: what told where the body ends
    chunks: list[int] = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)  # the 1xx responses before it

    def __getitem__(self, name: str) -> str:
        found = self.all(name)
        assert len(found) == 1, f"{name} came {len(found)} times in {self.head!r}"
        return found[0]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def get(self, name: str, default: str | None = None) -> str | None:
        found = self.all(name)
        return found[0] if found else default

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def line(self) -> str:
        return f"{self.version} {self.status} {self.reason}"

    @property
    def octets(self) -> bytes:
        """Head and body without what differs from one second to the next."""
        return re.sub(rb"\r\nDate: [^\r]*", b"", self.head) + self.body


class TlsSocket:
    """TLS on a connected socket, with as much of a socket's manner as a Client needs.

    Unlike ssl.SSLSocket it can say that it will send no more and go on listening.  An end without
    close_notify is a fault of the server: content without a length could not be told from its half.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str | None) -> None:
        self.raw = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._using = Lock()  # a test may send and receive at once
        self._until_done(self.tls.do_handshake)
        self._flush()
        # All that may wait or be set is the socket's own.
        self.settimeout, self.setsockopt, self.fileno = sock.settimeout, sock.setsockopt, sock.fileno
        self.getsockname, self.getsockopt = sock.getsockname, sock.getsockopt

    def _until_done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                with self._using:
                    return step()
            except ssl.SSLWantReadError:
                if not self.tls.version():
                    self._flush()  # of the handshake
                data = self.raw.recv(65536)
                if not data:
                    raise ProtocolError("the connection ended without close_notify") from None
                with self._using:
                    self._incoming.write(data)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.raw.sendall(self._outgoing.read())

    def sendall(self, data: bytes) -> None:
        with self._using:
            while data:
                data = data[self.tls.write(data) :]
        self._flush()

    def recv(self, count: int) -> bytes:
        try:
            return self._until_done(lambda: self.tls.read(count))
        except ssl.SSLZeroReturnError:
            return b""

    def shutdown(self, how: int) -> None:
        """Says that no more will be sent."""
        assert how == socket.SHUT_WR
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the other side has not said it yet
        self._flush()
        self.raw.shutdown(how)

    def close(self) -> None:
        """As a socket does: a reset if there was content to read, which session tickets are not."""
        if self.raw.fileno() < 0:
            return
        try:
            self.raw.setblocking(False)
            self._incoming.write(self.raw.recv(4096))
        except OSError:
            pass
        try:
            unread = self.tls.read(1)
        except ssl.SSLError:
            unread = b""
        if unread:
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()


class Client:
    """A connection to `address`: "http://host:port", "https://host:port", "unix:/path" or "unix:@name".

    `window` is the size of the receive buffer in octets, for clients that read slowly.  `tls` is the
    context for https, and `name` the one to ask for.  `before` precedes everything, TLS too.
    """

    sock: socket.socket | TlsSocket

    def __init__(
        self,
        address: str,
        *,
        patience: float = PATIENCE,
        window: int | None = None,
        tls: ssl.SSLContext | None = None,
        name: str | None = "localhost",
        before: bytes = b"",
        cut: str = "whole",
    ) -> None:
        self.patience = patience
        self.was_reset = False
        self._buffer = b""
        self._deadline = monotonic() + patience
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            path = address.removeprefix("unix:")
            target: Any = "\0" + path[1:] if path.startswith("@") else path
        else:
            scheme, _, where = address.partition("://")
            host, _, port = where.rpartition(":")
            if scheme == "https":
                tls = tls or trusting()
            self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = (host.strip("[]"), int(port))
        if window is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.sock.settimeout(patience)
        try:
            self.sock.connect(target)
            for at in range(0, len(before), 1 if cut == "by octets" else len(before) or 1):
                self.sock.sendall(before[at : at + (1 if cut == "by octets" else len(before))])
            if tls is not None:
                self.sock = TlsSocket(self.sock, tls, name)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Sending

    def send(self, *pieces: bytes) -> Client:
        """Sends each piece by a call of its own."""
        self._begin()
        for piece in pieces:
            self.sock.settimeout(self._left())
            self.sock.sendall(piece)
        return self

    def send_if_taken(self, piece: bytes) -> bool:
        """Sends to a server that may have had enough; whether it took all."""
        try:
            self.send(piece)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def drip(self, octets: bytes) -> Client:
        """Sends octet by octet."""
        return self.send(*(octets[at : at + 1] for at in range(len(octets))))

    def half_close(self) -> Client:
        """Says that no more will be sent, and goes on listening."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Vanishes: the server's next send or read fails."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.sock.close()

    # Receiving

    def response(self, method: str = "GET") -> Response:
        """One whole response to a request with `method`, the interim ones before it in `.interim`."""
        self._begin()
        interim: list[Response] = []
        while True:
            answer = self._head()
            if answer.status == 101 or answer.status >= 200:
                break
            interim.append(answer)
        answer.interim = interim
        self._body(answer, method)
        return answer

    def interim(self) -> Response:
        """One interim response, before what it precedes."""
        self._begin()
        answer = self._head()
        assert answer.status < 200, f"no interim response: {answer.line}"
        return answer

    def responses(self, count: int, method: str = "GET") -> list[Response]:
        return [self.response(method) for _ in range(count)]

    def last_responses(self) -> list[Response]:
        """All responses to GET until the connection ends."""
        found = []
        while self.peek():
            found.append(self.response())
        return found

    def exactly(self, count: int) -> bytes:
        """The next `count` octets."""
        self._begin()
        while len(self._buffer) < count:
            self._more(f"{count} octets")
        return self._cut(count)

    def until_end(self) -> bytes:
        """All that still comes; the connection ends well or by a reset."""
        self._begin()
        try:
            while True:
                data = self._receive()
                if not data:
                    break
                self._buffer += data
        except ConnectionResetError:
            self.was_reset = True
        return self._cut(len(self._buffer))

    def ending(self) -> str:
        """How the connection ends, with nothing more before it: "eof" or "reset"."""
        self._begin()
        assert not self._buffer, f"unread: {self._buffer[:200]!r}"
        try:
            data = b"" if self.was_reset else self._receive()
        except ConnectionResetError:
            self.was_reset = True
        if self.was_reset:
            return "reset"
        assert not data, f"instead of the end there came {data[:200]!r}"
        return "eof"

    def ended(self) -> bool:
        """Whether the connection ends, in whichever way, with nothing more before it."""
        return self.ending() in ("eof", "reset")

    def peek(self) -> bytes:
        """What has come in, after waiting for the first of it; b"" at the end of the connection."""
        self._begin()
        if not self._buffer:
            try:
                self._buffer = self._receive()
            except ConnectionResetError:
                return b""
        return self._buffer

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes, not even an end, for so long."""
        if self._buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            self._buffer = self.sock.recv(65536)
        except TimeoutError:
            return True
        except ConnectionError:
            pass
        return False

    def leave(self) -> None:
        """Ends this side of the connection, waits for the other's end, dropping what comes, and closes.

        A server counts an answer, logs it and tells hooks of it a moment after it is out, and closes
        the connection after that.  So what this client asked for is over and done with, in the logs too.
        """
        self._begin()
        sock = self.sock.raw if isinstance(self.sock, TlsSocket) else self.sock
        try:
            self.half_close()
            while True:
                sock.settimeout(self._left())
                if not sock.recv(262144):
                    break
        except TimeoutError:
            raise
        except OSError:
            pass  # it has left first
        self.close()

    # Within

    def _begin(self) -> None:
        self._deadline = monotonic() + self.patience

    def _left(self) -> float:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing came within {self.patience} s; so far: {self._buffer[:200]!r}")
        return left

    def _receive(self) -> bytes:
        self.sock.settimeout(self._left())
        return self.sock.recv(262144)

    def _more(self, wanted: str) -> None:
        data = self._receive()
        if not data:
            raise ProtocolError(f"the connection ended instead of {wanted}; before: {self._buffer[:200]!r}")
        self._buffer += data

    def _cut(self, count: int) -> bytes:
        octets, self._buffer = self._buffer[:count], self._buffer[count:]
        return octets

    def _until(self, mark: bytes, wanted: str) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            self._more(wanted)
        return self._cut(at + len(mark))

    def _head(self) -> Response:
        head = self._until(b"\r\n\r\n", "a response head")
        line, *lines = head[:-4].decode("latin-1").split("\r\n")
        match = re.fullmatch(r"(HTTP/1\.[01]) ([1-5][0-9]{2}) ([\t -~\x80-\xff]*)", line)
        if match is None:
            raise ProtocolError(f"no status line: {head[:200]!r}")
        fields = []
        for each in lines:
            name, colon, value = each.partition(":")
            if (
                not colon
                or not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name)
                or set(value) & set("\r\n\0")
            ):
                raise ProtocolError(f"no field line: {each!r}")
            fields.append((name, value.strip(" \t")))
        return Response(match[1], int(match[2]), match[3], fields, head)

    def _body(self, answer: Response, method: str) -> None:
        """RFC 9112 section 6.3."""
        coding, sizes = answer.all("Transfer-Encoding"), answer.all("Content-Length")
        if len(sizes) > 1 or len(coding) > 1 or (sizes and coding):
            raise ProtocolError(f"two framings in {answer.head!r}")
        if method == "HEAD" or answer.status in (101, 204, 304):
            return
        if method == "CONNECT" and answer.status < 300:
            return
        if coding == ["chunked"]:
            answer.framing = "chunked"
            self._chunks(answer)
        elif coding:
            raise ProtocolError(f"unknown coding in {answer.head!r}")
        elif sizes:
            answer.framing = "sized"
            answer.body = self.exactly(int(sizes[0]))
        else:
            answer.framing = "close"
            answer.body = self.until_end()

    def _chunks(self, answer: Response) -> None:
        pieces = []
        while True:
            line = self._until(b"\r\n", "a chunk size")
            size = int(line, 16)
            if not size:
                break
            answer.chunks.append(size)
            pieces.append(self.exactly(size))
            if self.exactly(2) != b"\r\n":
                raise ProtocolError("a chunk without its end")
        if self.exactly(2) != b"\r\n":
            raise ProtocolError("octets after the last chunk")
        answer.body = b"".join(pieces)


# Requests to send


def request(
    method: str = "GET",
    target: str = "/",
    *fields: str,
    body: bytes | None = None,
    version: str = "1.1",
    host: str | None = "test",
) -> bytes:
    """The octets of a request; a body gets a Content-Length."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += fields
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*pieces: bytes, trailer: bytes = b"") -> bytes:
    """A body in these chunks, with its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


CLOSE = "Connection: close"
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"


# Waiting


def eventually(question: Callable[[], T], patience: float = PATIENCE, *, every: float = 0.005) -> T:
    """Asks `every` so many seconds until the answer is true, and returns it.

    Fails with the last answer when `patience` seconds are over.
    """
    pause = Event()
    for _ in _until_deadline(patience):
        if answer := question():
            return answer
        pause.wait(every)
    answer = question()
    assert answer, f"not within {patience} s; the last answer was {answer!r}"
    return answer


def _until_deadline(patience: float) -> Iterator[None]:
    deadline = monotonic() + patience
    while monotonic() < deadline:
        yield
