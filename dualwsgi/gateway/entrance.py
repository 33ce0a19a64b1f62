"""What may come before HTTP on a connection: a proxy's header that says whom it speaks for, then TLS.

Knows no request.  Once both are over, the connection lets itself in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BadRequest
from ..seam import Turn, Verdict
from . import answers
from .heads import HEAD_SIZE
from .phase import Phase
from .site import logger

if TYPE_CHECKING:
    from .connection import Connection


class Entrance:
    """The way of one connection to its first request, in the phases PREAMBLE and HANDSHAKE."""

    __slots__ = ("_conn", "_octets")

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._octets = b""  # of a proxy's header

    def advance(self, turn: Turn) -> Verdict:
        """Goes on as far as it can without waiting."""
        if self._conn.phase is Phase.PREAMBLE:
            return self._read_preamble(turn)
        return self._shake_hands(turn, b"")

    def _read_preamble(self, turn: Turn) -> Verdict:
        """The PROXY protocol header."""
        conn = self._conn
        edge = conn.site.edge
        assert edge is not None
        try:
            data = conn.stream.read(HEAD_SIZE)
            if not data:
                return Verdict.CLOSE
            self._octets += data
            found = edge.read_header(self._octets)
        except BlockingIOError:
            return Verdict.WANT_READ
        except BadRequest as error:
            turn.counters.errors += 1
            logger.warning("%s: %s; closed", conn.describe(), error.reason)
            return Verdict.CLOSE
        except OSError:
            return Verdict.CLOSE
        if found is None:
            return Verdict.AGAIN
        environ, size = found
        rest, self._octets = self._octets[size:], b""
        conn.speak_for(environ)
        conn.since = turn.now
        if conn.stream.lookahead:
            conn.phase = Phase.HANDSHAKE
            return self._shake_hands(turn, rest)
        return conn.let_in(turn, rest, more=len(data) == HEAD_SIZE)

    def _shake_hands(self, turn: Turn, data: bytes) -> Verdict:
        """TLS; `data` is what was read of it already."""
        conn = self._conn
        stream = conn.stream
        try:
            if data:
                stream.unread(data)
            verdict = stream.handshake()
        except BadRequest as error:  # the client speaks HTTP, and can be told
            turn.counters.errors += 1
            return answers.reject(conn, turn, error)
        except ConnectionResetError:
            return Verdict.CLOSE
        except OSError as error:
            turn.counters.errors += 1
            logger.info("%s: TLS handshake failed: %s", conn.describe(), error)
            conn.turn = turn
            return conn._close_gently(answered=True)
        return conn.let_in(turn) if verdict is Verdict.RUN else verdict
