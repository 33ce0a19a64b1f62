"""What becomes of a request that has outlived its deadline (deadline.py says when, and who may say so).

Whoever looks after calls comes first, while the call goes on: time_out() answers 504 in its place, or
cuts its response.  The call finds out at its end, by leave().  Or it notices by itself, while it waits
for its client, and ends by end_by_call().
"""

from __future__ import annotations

import traceback
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from ..errors import RequestTimeout
from ..seam import Turn, Verdict
from . import answers
from .site import logger
from .stack import call_stack, is_in_driver

if TYPE_CHECKING:
    from .connection import Connection
    from .exchange import Exchange

LATE_TEXT: Final = "the request took too long"
LATE: Final = "%s: not answered %.3g s after it came, so it was %s; the call was at\n%s"


def time_out(conn: Connection, turn: Turn, frame: FrameType | None) -> bool:
    """Answers 504 in place of a call that is late, or cuts its response; the call goes on.

    By another thread than the call's, or another greenlet.  False if it has ended meanwhile, or
    is in the middle of TLS, which it will leave by itself.
    """
    stream, deadline = conn.stream, conn.deadline
    if stream.lookahead:
        # The call may be about to read, too; what it reads with is taken away before it is looked at.
        read, conn._read = conn._read, _too_late
        if frame is None or is_in_driver(frame):
            conn._read = read
            return False
    seconds, told = turn.now - conn.since, conn.describe()
    stack = call_stack(frame)
    answer = deadline.seize(turn.now)
    if answer is None:
        return False
    if answer:
        _answer(conn, turn)
    else:
        stream.abort()
    deadline.settled = True
    turn.counters.timeouts += 1
    logger.error(LATE, told, seconds, "answered 504" if answer else "cut", stack)
    return True


def _answer(conn: Connection, turn: Turn) -> None:
    octets, size = answers.octets_of(conn, 504, LATE_TEXT, logged=True, now=turn.now)
    status = "504 Gateway Timeout"
    try:
        if conn.stream.write(octets) < len(octets):
            raise BrokenPipeError
        turn.counters.bytes_sent += len(octets)
    except OSError:
        turn.counters.gone += 1
        status, size = answers.CLIENT_CLOSED, 0
        conn.stream.abort()
    conn.stream.shutdown_write()
    calls, conn.turn = conn.turn, turn
    conn._note(conn.request, status, size)
    conn.turn = calls


def leave(conn: Connection, exchange: Exchange | None) -> Verdict:
    """The call has come to its end after time_out() has."""
    conn.deadline.await_settlement()
    conn.outlet.clear()
    conn._read = conn.stream.read
    if exchange is not None:
        exchange.ended = True
        exchange.close_result()
        if exchange.head_sent:
            plan = exchange.plan
            assert plan is not None
            conn._note(conn.request, plan.status, exchange.content_sent)
            return Verdict.CLOSE
    return conn._close_gently(answered=True)


def end_by_call(conn: Connection, exchange: Exchange, error: BaseException) -> Verdict:
    """The call itself has noticed that it is late, while it waited for the client."""
    turn = conn.turn
    turn.counters.timeouts += 1
    answer = not exchange.head_sent
    stack = "".join(traceback.format_tb(error.__traceback__))
    logger.error(LATE, conn.describe(), monotonic() - conn.since, "answered 504" if answer else "cut", stack)
    if answer:
        return answers.answer(conn, turn, 504, LATE_TEXT, logged=True)
    plan = exchange.plan
    assert plan is not None
    conn._note(conn.request, plan.status, exchange.content_sent)
    conn.stream.break_off()
    return Verdict.CLOSE


def _too_late(_: Any) -> Any:
    raise RequestTimeout("the deadline of the request has passed")
