"""eventlet's wsgi.input: interim 100 responses at will, the connection's socket, and its own iteration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...errors import BodyError
from ...gateway.input import Input as PlainInput
from ...gateway.requestbody import RequestBody
from ...http11.body import ChunkedBody, SizedBody
from ...http11.head import Fields

if TYPE_CHECKING:
    from .connection import AnnexeConnection


class ChunkReadError(BodyError):
    """A request body that is malformed, cut short or stalled; a ValueError and an OSError."""


class AnnexeBody(RequestBody):
    """A request body that may ask its client to continue more than once.

    `interim` are the field lines of the next 100 response; `position` counts what was read; `was_asked`
    and `was_told`: whether the client waits for 100 Continue, and has got it.
    """

    __slots__ = ("_limits", "interim", "position", "was_asked", "was_told")

    def __init__(self, conn: AnnexeConnection, fields: Fields) -> None:
        super().__init__(conn, fields)
        self._limits = conn.site.limits
        self.was_asked = fields.expect_continue
        self.was_told = False
        self.interim = b""
        self.position = 0

    def read(self) -> bytes:
        if self.continue_owed:
            self.say_continue()
        try:
            piece = super().read()
        except BodyError as error:
            raise ChunkReadError(error.status, error.reason) from error
        self.position += len(piece)
        return piece

    def say_continue(self) -> None:
        """Sends 100 Continue now.  In a chunked body that is over, another one begins."""
        conn = self._conn
        self.continue_owed = False
        self.was_told = True
        fields, self.interim = self.interim, b""
        conn.outlet.send(b"HTTP/1.1 100 Continue\r\n%b\r\n" % fields)
        if conn.body is None and isinstance(self._decoder, ChunkedBody):
            self._decoder = ChunkedBody(self._limits)
            conn.body = self

    @property
    def chunk_left(self) -> int:
        """Octets that are still to come of the chunk that is being read."""
        return self._decoder._left if isinstance(self._decoder, ChunkedBody) else 0

    @property
    def length(self) -> int:
        """Octets that are still to come of a sized body."""
        return self._decoder.remaining if isinstance(self._decoder, SizedBody) else 0

    def discard(self) -> None:
        """Reads what is left, and drops it.  Raises as read() does."""
        while self.read():
            pass


class Input(PlainInput):
    """wsgi.input and eventlet.input.

    Iterating gives all that is left in one piece.  Every read may raise ChunkReadError.
    """

    __slots__ = ("_body", "_conn", "_length")

    def __init__(self, conn: AnnexeConnection, body: AnnexeBody | None, fields: Fields) -> None:
        super().__init__(body.read if body is not None else bytes)
        self._conn = conn
        self._body = body
        self._length = fields.length

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data

    def __next__(self) -> bytes:
        data = self.read()
        if not data:
            raise StopIteration
        return data

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        lines: list[bytes] = []
        have = 0
        while line := self.readline():
            lines.append(line)
            have += len(line)
            if hint is not None and 0 < hint <= have:
                break
        return lines

    # Interim responses

    def set_hundred_continue_response_headers(
        self, headers: Iterable[tuple[str, Any]], capitalize_response_headers: bool = True
    ) -> None:
        """Fields of the next 100 response.  Raises ApplicationError for one that must not be sent."""
        if self._body is not None:
            self._body.interim = self._conn.encode_interim(headers, capitalize_response_headers)

    def send_hundred_continue_response(self) -> None:
        """Sends 100 Continue, any number of times, to a client that waits for it; nothing to others,
        and nothing once the response has begun."""
        body = self._body
        if body is not None and body.was_asked and not self._conn.head_was_sent:
            body.say_continue()

    # The connection

    def get_socket(self) -> Any:
        """The connection's socket.  What the client has sent after its head may be with the server."""
        return self._conn.protocol.connection

    def read_past_head(self, count: int) -> bytes:
        """So many octets that came behind a head which declares no body: an old handshake has them.

        After it the connection can carry no other request.  Raises OSError if they do not come.
        """
        data = b""
        while len(data) < count:
            piece = self._conn.stream.read(count - len(data))
            if not piece:
                raise ConnectionResetError("the client has left")
            data += piece
        return data

    def discard(self) -> None:
        """Reads the rest of the body, and drops it.  Raises ChunkReadError."""
        self._held, self._at = b"", 0
        if self._body is not None and not self._body.continue_owed:
            self._body.discard()

    # What eventlet's own Input shows

    @property
    def position(self) -> int:
        return self._body.position - (len(self._held) - self._at) if self._body is not None else 0

    @property
    def content_length(self) -> int | None:
        return self._length

    @property
    def chunked_input(self) -> bool:
        return self._conn.request.fields.chunked

    @property
    def chunk_length(self) -> int:
        return self._body.chunk_left if self._body is not None else -1

    @property
    def headers_sent(self) -> bool:
        return self._conn.head_was_sent

    @property
    def should_send_hundred_continue(self) -> bool:
        return self._body is not None and self._body.was_asked

    @property
    def hundred_continue_headers(self) -> bytes:
        return self._body.interim if self._body is not None else b""
