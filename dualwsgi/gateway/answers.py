"""Answers of the server's own, in the application's place: what is wrong with a request, with the
application or with the server; and how the server is.

All but the last of these end their connection.  Whether an answer is due is not decided here.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from ..errors import BadRequest, ClientGone
from ..http11.head import HEAD_END
from ..http11.response import REASONS, server_answer
from ..seam import Turn, Verdict
from .phase import Phase
from .site import logger

if TYPE_CHECKING:
    from .connection import Connection
    from .health import Check, HealthLane

CLIENT_CLOSED: Final = "499 Client Closed Request"
"""How a response is counted and logged that its client did not wait for."""

RETRY_AFTER: Final = b"Retry-After: 1\r\n"


def reject(conn: Connection, turn: Turn, error: BadRequest, head: bytes | bytearray = b"") -> Verdict:
    """Answers a request that breaks the protocol; nothing after it is read as a request.

    `head` is what came of its head, if that made no request.
    """
    conn._environ = None
    known = conn.phase in (Phase.BODY, Phase.RUNNING)
    if not known:
        logger.info("%s: %d, %s", conn._peer.get("REMOTE_ADDR") or "-", error.status, error.reason)
    content = not head.startswith(b"HEAD ")
    return answer(conn, turn, error.status, error.reason, logged=known, content=content)


def turn_away(conn: Connection, turn: Turn, reason: str, *, logged: bool) -> Verdict:
    """503, to come back later."""
    return answer(conn, turn, 503, reason, fields=RETRY_AFTER, logged=logged)


def apologize(conn: Connection, error: BaseException) -> Verdict:
    text = "the application failed"
    if conn.site.config.debug:
        text = "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace").decode()
    return answer(conn, conn.turn, 500, text, logged=True)


def answer(
    conn: Connection,
    turn: Turn,
    code: int,
    text: str,
    *,
    fields: bytes = b"",
    logged: bool,
    content: bool = True,
) -> Verdict:
    """Sends a whole response of the server's own and ends the connection after it."""
    outlet = conn.outlet
    conn.turn = turn
    octets, size = octets_of(conn, code, text, logged=logged, now=turn.now, fields=fields, content=content)
    status = f"{code} {REASONS[code]}"
    gone = False
    try:
        outlet.send_last(octets, b"")
    except ClientGone:
        gone = True
        status = CLIENT_CLOSED
    conn._note(conn.request if logged else None, status, 0 if gone else size)
    if gone:
        turn.counters.gone += 1
        return Verdict.CLOSE
    if not outlet.is_empty:
        conn._exchange = None
        conn.phase = Phase.FLUSH
        return Verdict.WANT_WRITE
    return conn._close_gently(answered=True)


def octets_of(
    conn: Connection,
    code: int,
    text: str,
    *,
    logged: bool,
    now: float,
    fields: bytes = b"",
    content: bool = True,
) -> tuple[bytes, int]:
    """A response of the server's own, and how many octets of it are content."""
    site = conn.site
    octets = server_answer(
        code,
        text,
        site.date_line(now),
        server_field=site.server_field,
        fields=fields,
        content=content and not (logged and conn.request.line.method == "HEAD"),
    )
    return octets, len(octets) - octets.index(HEAD_END) - len(HEAD_END)


def tell_health(conn: Connection, turn: Turn, health: HealthLane, check: Check) -> Verdict:
    """Answers a question about the server, which the application is not asked and no log tells."""
    outlet, site = conn.outlet, conn.site
    conn.turn = turn
    conn.since = turn.now
    keep_alive = conn.may_keep_alive()
    octets = health.answer(check, conn.request, keep_alive, site.date_line(turn.now))
    try:
        outlet.send_last(octets, b"")
    except ClientGone:
        return Verdict.CLOSE
    if not outlet.is_empty:  # who does not even read this gets no second one
        conn.phase = Phase.FLUSH
        return Verdict.WANT_WRITE
    return conn._next_request() if keep_alive else conn._close_gently()
