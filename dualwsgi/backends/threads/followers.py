"""What a thread of a lane does with a connection that it was given, or that has cost it the lead.

It runs the request, goes on with the connection while that can, and parks it again; then it asks the
crew what is next.

Staying.  A follower whose call waited stays with its connection for a moment, in a read that
blocks, since the next request of a busy client comes at once: then nobody has to be woken to hand
it over.  The connection is off the set and the follower's alone meanwhile, and no call is counted.
Nobody can call a staying follower; it looks at the queue when the moment is over, and nobody stays
while others wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic, thread_time
from typing import Final

from ...seam import Parked, Turn, Verdict
from .crew import Crew
from .parking import Parking
from .routes import Route
from .worker import Worker

__all__ = ["Followers", "fault"]

logger = logging.getLogger("dualwsgi")

WANT_READ, AGAIN, RUN = Verdict.WANT_READ, Verdict.AGAIN, Verdict.RUN
SEND, STREAM, CLOSE = Verdict.SEND, Verdict.STREAM, Verdict.CLOSE

RUNS_A_TURN: Final = 16
"""Pipelined requests of one connection that a follower runs before it looks at the queue."""

STAY: Final = 0.005
"""Seconds that a follower stays with its connection."""

Left = tuple[Parked, Verdict]
"""What a leader that has lost the lead is at, and what that wants."""


class Followers:
    """The threads of `crew`: work() is the life of one.

    `lead` is called with one that is to lead, and returns what is left to settle when the lead is
    lost, or None when the lane has stopped.
    """

    def __init__(self, crew: Crew, parking: Parking, lead: Callable[[Worker], Left | None]) -> None:
        self._crew = crew
        self._queues = crew.queues
        self._parking = parking
        self._lead = lead

    def work(self, me: Worker) -> None:
        """The life of a thread."""
        route: Route | None
        me.ident = threading.get_ident()
        crew = self._crew
        try:
            while True:
                if me.job is None:
                    left = self._lead(me)
                    if left is None:
                        break
                    conn, verdict = left
                    route = None
                    me.turn.now = monotonic()
                    if verdict is not SEND and verdict is not RUN:
                        conn.since = me.turn.now
                else:
                    conn, route = me.job
                    verdict = RUN
                if me.job_waited:
                    me.job_waited = False
                    verdict = self._reconsider(conn, me.turn)
                    route = route if verdict is RUN else None
                verdict = self._serve(conn, verdict, route, me.turn)
                if verdict is WANT_READ and route is not None and self._worth_staying(conn, route):
                    if not self._stay(conn, route, me):
                        break
                else:
                    self._give_back(conn, verdict, me)
                    if not crew.next_job(me):
                        break
        finally:
            crew.depart(me)

    # Serving

    def _reconsider(self, conn: Parked, turn: Turn) -> Verdict:
        """RUN, if a request that had to wait is still worth a call; else what was done instead."""
        turn.now = monotonic()
        try:
            if self._queues.is_stale(conn, turn.now):
                return conn.refuse(turn, "too busy; try again")
            return conn.forgo(turn) or RUN
        except Exception:
            return fault()

    def _serve(self, conn: Parked, verdict: Verdict, route: Route | None, turn: Turn) -> Verdict:
        """Runs a request, and goes on with its connection while that can, unless others have waited."""
        queues = self._queues
        try:
            if verdict is RUN:
                verdict = self._run(conn, route, turn)
            elif verdict is SEND:
                verdict = conn.send(turn)
            for _ in range(RUNS_A_TURN):
                if verdict is AGAIN:
                    verdict = conn.advance(turn)
                if (verdict is RUN or verdict is STREAM) and queues.is_empty():
                    verdict = self._run(conn, conn.request.line.route if verdict is RUN else None, turn)
                if verdict is not AGAIN:
                    break
        except Exception:
            return fault()
        return verdict

    def _run(self, conn: Parked, route: Route | None, turn: Turn) -> Verdict:
        turn.now = began = monotonic()
        is_measured = route is not None and not route.is_long
        cpu = thread_time() if is_measured else 0.0
        verdict = conn.run(turn)
        turn.now = monotonic()
        if route is None:
            pass
        elif is_measured:
            route.learn(turn.now - began, thread_time() - cpu, self._crew.busy == 1)
        else:
            route.learn_length(turn.now - began)
        if verdict is SEND:
            return conn.send(turn)
        conn.since = turn.now
        return verdict

    def _give_back(self, conn: Parked, verdict: Verdict, me: Worker) -> None:
        """Lets go of a connection, which must not be touched after."""
        kept, me.kept = me.kept, None
        if verdict is CLOSE or self._crew.stopping:
            conn.close()
            return
        if kept is conn:
            conn.stream.forbid_waits()
            if not self._parking.watch(conn):
                conn.close()
                return
        if verdict is RUN or verdict is STREAM:
            self._crew.let_wait(conn)
        else:
            self._parking.put_back(conn, again=verdict is AGAIN)

    # Staying

    def _worth_staying(self, conn: Parked, route: Route) -> bool:
        return route.worth_staying and self._crew.may_stay() and not conn.stream.lookahead

    def _stay(self, conn: Parked, route: Route, me: Worker) -> bool:
        """Waits a moment for the connection's next request, and then for any job; False if none comes."""
        crew, turn = self._crew, me.turn
        if me.kept is not conn:
            self._parking.unwatch(conn)
            conn.stream.allow_waits(STAY)
            me.kept = conn
        crew.stay(me)
        verdict = conn.advance(turn)
        conn.since = turn.now = monotonic()
        route.stayed(verdict is RUN)
        if verdict is RUN and crew.call_again(me, conn, turn.now):
            me.job = (conn, conn.request.line.route)
            return True
        self._give_back(conn, verdict, me)
        return crew.end_stay(me)


def fault() -> Verdict:
    """A fault of this program is about to be handled: it costs one connection, not the server."""
    logger.critical("serving a connection failed; it is closed", exc_info=True)
    return CLOSE
