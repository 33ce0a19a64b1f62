"""One request's body on its way in: decoded, collected, read by the application, or passed over.

A body that is small is collected before the application is called, so that no call waits for it; a
larger one is read when the application asks, and then the call may wait, unless all bodies are to be
collected; what the application has left is read and dropped, within a bound, for the sake of the
connection's next request.

The octets are the connection's: what follows the body in its buffer is the next request.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..errors import BadRequest, BodyError, ClientGone, DeadlineExceeded
from ..http11.body import Body, ChunkedBody, SizedBody
from ..http11.head import Fields
from ..http11.response import CONTINUE
from ..seam import Turn
from .spill import Spill

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("dualwsgi")

BODY_READ: Final = 65536
BODY_HELD: Final = 65536
"""Octets of a request body that are collected before the application is called."""
DRAIN_LIMIT: Final = 262144
"""Octets of an unread request body that are read for the sake of keeping the connection."""
READS_A_TURN: Final = 8
"""So that a fast sender does not keep its lane from the other connections."""
TUNNEL_LOOK: Final = 60.0
"""Seconds between two looks at a silent client after 101 or CONNECT."""


class RequestBody:
    """The body of the present request.

    Its connection refers to it as `body` as long as octets of it may come.  `continue_owed`: the
    client waits for 100 Continue; `error`: how it broke, after which nothing more is read of it;
    `spill`: where all of it is collected, if that is wanted.
    """

    __slots__ = (
        "_conn",
        "_content",
        "_decoder",
        "_drained",
        "_left",
        "_pace",
        "continue_owed",
        "error",
        "spill",
    )

    def __init__(self, conn: Connection, fields: Fields) -> None:
        self._conn = conn
        self._decoder: Body
        self._decoder = ChunkedBody(conn.site.limits) if fields.chunked else SizedBody(fields.length or 0)
        self._content = b""  # decoded, and not read by the application
        self._drained = 0
        self._left = conn.site.config.body_timeout  # seconds that the application may still wait for it
        self._pace = conn.site.body_pace
        self.continue_owed = fields.expect_continue
        self.error: BodyError | None = None
        buffers = conn.site.config.request_buffering and not conn.request.may_tunnel
        self.spill = Spill(BODY_HELD) if buffers else None

    # Before the application is called

    @property
    def is_collected(self) -> bool:
        """Whether it is read before the application is called, as far as can be told by the head."""
        if self.spill is not None:
            return True
        decoder = self._decoder
        return not self.continue_owed and not (
            isinstance(decoder, SizedBody) and decoder.remaining > BODY_HELD - len(self._content)
        )

    def collect(self, turn: Turn) -> bool:
        """Reads until it is whole or no small one (True), or the turn is over (False).

        Raises BlockingIOError, OSError as the stream does, BadRequest.
        """
        conn = self._conn
        if self.continue_owed:
            self._tell_to_go_on(turn)
        pieces = [self._content]
        have = len(self._content)
        reads = 0
        try:
            while True:
                if conn.buffer:
                    piece = self._decode()
                    if self.spill is not None:
                        self._put_by(self.spill, piece)
                    else:
                        pieces.append(piece)
                        have += len(piece)
                    if conn.body is None or have > BODY_HELD:
                        return True
                if reads == READS_A_TURN:
                    return False
                reads += 1
                if not conn.read_more():
                    raise BadRequest(400, "the request body was cut short")
                conn.since = min(turn.now, conn.since + len(conn.buffer) * self._pace)
        finally:
            self._content = b"".join(pieces)

    def _tell_to_go_on(self, turn: Turn) -> None:
        """Sends 100 Continue where nobody may wait.  Nothing else is on its way to the client, so there is
        room for it."""
        self.continue_owed = False
        try:
            sent = self._conn.stream.write(CONTINUE)
        except BlockingIOError:
            sent = 0
        turn.counters.bytes_sent += sent
        if sent < len(CONTINUE):
            raise ConnectionResetError("the client takes nothing")

    def _put_by(self, spill: Spill, piece: bytes) -> None:
        try:
            spill.write(piece)
            if self._conn.body is None:
                spill.rewind()
        except OSError as error:
            logger.error("no room for a request body of %d bytes so far: %s", spill.size, error.strerror)
            raise BadRequest(503, "no room for the request body") from None

    # While it runs

    def read(self) -> bytes:
        """The next piece of the content, b"" at its end; may wait.

        Raises BodyError, ClientGone, RequestTimeout.
        """
        if self._content:
            content, self._content = self._content, b""
            return content
        if self.spill is not None:
            return self.spill.read()
        if self.error is not None:
            raise self.error
        conn = self._conn
        if conn.body is None:
            return self._read_tunnel() if conn.is_tunnel else b""
        if self.continue_owed:
            self.continue_owed = False
            conn.outlet.send(CONTINUE)
        try:
            while True:
                if conn.buffer:
                    piece = self._decode()
                    if piece or conn.body is None:
                        return piece
                self._wait_for_more()
        except BadRequest as error:
            self.error = BodyError(error.status, error.reason)
            raise self.error from None

    def _wait_for_more(self) -> None:
        conn = self._conn
        while True:
            try:
                more = conn.read_more()
            except BlockingIOError:
                began = monotonic()
                try:
                    conn.stream.wait_readable(min(self._left, conn.deadline.remaining()))
                except DeadlineExceeded:
                    conn.deadline.check()
                    conn.turn.counters.expired += 1
                    raise BadRequest(408, "the request body stalled or came too slowly") from None
                self._left = max(0.0, self._left - (monotonic() - began))
                continue
            except OSError as error:
                conn.deadline.check_ended()
                raise ClientGone(str(error)) from None
            if not more:
                conn.deadline.check_ended()
                raise BadRequest(400, "the request body was cut short")
            self._left = min(conn.site.config.body_timeout, self._left + len(conn.buffer) * self._pace)
            return

    def _read_tunnel(self) -> bytes:
        """What the client sends after 101 or CONNECT, b"" at its end.  How long it may be silent is the
        application's to say."""
        conn = self._conn
        while True:
            if conn.buffer:
                data, conn.buffer = bytes(conn.buffer), b""
                return data
            try:
                if not conn.read_more():
                    return b""
            except BlockingIOError:
                try:
                    conn.stream.wait_readable(TUNNEL_LOOK)
                except DeadlineExceeded:
                    pass
            except OSError as error:
                raise ClientGone(str(error)) from None

    # After the response

    @property
    def is_worth_draining(self) -> bool:
        """Whether what is left of it may be read, so that another request can follow."""
        # A client that was not told to go on may send the body or not; nobody can know.
        if self.continue_owed or self.error is not None:
            return False
        decoder = self._decoder
        return not (
            isinstance(decoder, SizedBody) and decoder.remaining - len(self._conn.buffer) > DRAIN_LIMIT
        )

    def drain(self, turn: Turn) -> bool:
        """Reads what the application left, until its end or its bound (True), or the turn is over (False).

        Raises BlockingIOError, OSError as the stream does, BadRequest.
        """
        conn = self._conn
        reads = 0
        while True:
            if conn.buffer:
                self._drained += len(conn.buffer)
                self._decode()
                if conn.body is None or self._drained > 2 * DRAIN_LIMIT:
                    return True
            if reads == READS_A_TURN:
                return False
            reads += 1
            if not conn.read_more():
                raise ConnectionResetError("the client left in the middle of a body")
            conn.since = min(turn.now, conn.since + len(conn.buffer) * self._pace)

    def _decode(self) -> bytes:
        """The content in what the connection has read.  At the end, the connection has no body any more."""
        decoder, conn = self._decoder, self._conn
        piece, conn.buffer = decoder.feed(bytes(conn.buffer))
        if decoder.done:
            conn.body = None
        return piece
