"""The crew of a lane: its threads, and the places for calls that they take.

Under the lock.  Who has which call, who is idle, who stays, what is queued: all of that is the crew's,
and changes under its one lock only.  Each method takes it for a moment, and starts or wakes a thread
outside of it.  Who waits for the lane to be idle, under the lock, sees a connection here or there: the
leader's goes from what is parked into a call or a queue, or back, under it, and a follower's is parked
before its place is left.

Calls.  `busy` counts calls that are not the leader's; with `limit` of them running the leader
calls nothing and queues, so there is always a leader: to answer 503, to watch deadlines, to stop.
A leader's own call is one above `busy`.  So that the limit holds for both together, the leader
publishes its call (lead.py) before it looks whether there is a place, and a follower that takes the
last place looks at the token after: if both see the other, both give way, and the leader looks at the
queue again.

The reserve.  Calls that wait may fill every place, and then the quick ones wait with them.  Once
a quick one had to, one place is kept free of waiting calls for a while.

Lost threads.  One that does not come back from its call is counted out, and another may be made
instead; what it does when it comes back after all is the same, but that no place comes free then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final

from ...counters import Counters, total
from ...seam import Call, Parked, Turn, View
from .guard import CallGuard
from .lead import Lead
from .parking import Parking
from .queues import Queues
from .worker import Job, Worker

__all__ = ["Crew"]

logger = logging.getLogger("dualwsgi")

RESERVE_TIME: Final = 10.0
"""Seconds for which a place is kept for quick calls after one had to wait."""

IDLE_TIME: Final = 20.0
"""Seconds after which a follower with nothing to do goes."""

STOP_WITHIN: Final = 1.0
"""Seconds for the threads to come back from their calls when the crew is stopped."""


class Crew:
    """The leader gives it requests (`take`, `tend_queues`); a follower that has served one asks for the next
    (`next_job`, or `stay` and what comes after it).

    `limit` bounds application calls at once; they can be interrupted if `interrupts`; `summon` has
    the leader tend the queues soon.  What is public is read without the lock, and changed here alone but
    for `lead`, which the leader sets.
    """

    def __init__(
        self, parking: Parking, queues: Queues, summon: Callable[[], None], *, limit: int, interrupts: bool
    ) -> None:
        self.inline_ok = True  # there is a place for the leader's own call
        self.busy = 0
        self.stopping = False
        self.draining = False
        self.queues = queues
        self.lead = Lead(Worker(None, None))  # nobody's yet
        self._parking = parking
        self._summon = summon
        self._limit = limit
        self._interrupts = interrupts
        self._work: Callable[[Worker], None]
        self._complained = -1.0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._running: dict[Worker, Parked] = {}  # what `busy` counts
        self._lost: dict[Worker, Parked] = {}  # those that are not counted any more
        self._idle: list[Worker] = []
        self._staying = 0
        self._workers: set[Worker] = set()
        self._departed = Counters()  # of threads that have gone
        self._reserve_until = 0.0
        self._abandoned = False  # stopped, and some calls have not ended

    # From outside, by any thread

    def start(self, work: Callable[[Worker], None]) -> bool:
        """Has a first thread lead; work(worker) is the life of each.  False if none can be made."""
        self._work = work
        with self._lock:
            worker, is_new = self._pick(None)
        return self._engage(worker, is_new)

    def drain(self) -> None:
        """From now on nobody stays, and who waits for the lane to be idle is told at once."""
        self.draining = True

    def tell(self) -> None:
        """Something else has changed that wait_idle() looks at."""
        with self._changed:
            self._changed.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds until no connection is left; whether none is."""
        deadline = monotonic() + timeout
        with self._changed:
            while self._parking.parked or self._has_work():
                left = deadline - monotonic()
                if left <= 0:
                    return False
                # Who leaves while the lane drains says so; else a leader closes dozens without a word.
                self._changed.wait(min(left, 0.02))
        return True

    def stop(self) -> int:
        """Lets every thread go once its call returns, and waits a moment for that; how many have not."""
        with self._changed:
            self.stopping = True
            self.inline_ok = False
            self._parking.ring()
            self._interrupt_calls()
            for worker in self._idle:
                worker.call()
            self._idle.clear()
            self._changed.wait_for(lambda: not self._workers, timeout=STOP_WITHIN)
            self._interrupt_calls()
            stuck = len(self._workers)
            self._abandoned = stuck > 0
        return stuck

    def _interrupt_calls(self) -> None:
        """Ends the waits of all calls for their clients; under the lock."""
        self._take_lead()  # a leader's own call is then one among the others, and its own to close
        for conn in (*self._running.values(), *self._lost.values()):
            conn.interrupt()

    def set_limit(self, limit: int) -> None:
        """What runs above it goes on; nothing more is begun until it has come down."""
        with self._lock:
            self._limit = limit
            self.inline_ok = self.busy < limit and not self.stopping
        self._summon()

    def counters(self) -> Counters:
        with self._lock:
            return total([self._departed, *(worker.turn.counters for worker in self._workers)])

    def look(self, lag: float) -> View:
        """See dualwsgi.seam.Backend."""
        with self._lock:
            at_it = (*self._running.items(), *self._lost.items())
            calls = [Call(conn, worker.ident, None) for worker, conn in at_it]
            lead = self.lead
            calls += [Call(conn, lead.worker.ident, None) for conn in lead.token]
            queued = self.queues.conns()
            idle = len(self._idle)
        at_work = {call.conn for call in calls}
        parked = list(self._parking.parked.values())
        if at_work:
            parked = [conn for conn in parked if conn not in at_work]
        return View(calls, queued, parked, self._limit, idle, lag)

    # The leader: requests

    def has_work(self) -> bool:
        """Whether there are connections that are not parked."""
        with self._lock:
            return self._has_work()

    def _has_work(self) -> bool:
        return bool(self.busy or self._staying or not self.queues.is_empty())

    def take(self, job: Job, now: float) -> bool:
        """Gives a parked connection's request to a follower, or a queue; False: it is to be refused."""
        conn, route = job
        quick = route is not None and route.quick
        with self._lock:
            if quick:
                self._reserve_until = now + RESERVE_TIME
            if self.busy < self._places(quick, now) and self._has_worker():
                del self._parking.parked[conn.fd]
                worker, is_new = self._pick(job)
            elif self.queues.add(job, now):
                del self._parking.parked[conn.fd]
                return True
            else:
                return False
        return self._engage(worker, is_new) or self._take_back(worker, job, now)

    def tend_queues(self, turn: Turn) -> Iterator[Parked]:
        """Fills places that came free unseen; who has waited too long is parked again, to be refused."""
        while True:
            worker = None
            with self._lock:
                job = self.queues.take_stale(turn.now)
                if job is not None:
                    self._parking.parked[job[0].fd] = job[0]
                else:
                    job = self._next_queued(turn.now) if self._has_worker() else None
                    if job is None:
                        return
                    worker, is_new = self._pick(job)
            if worker is None:
                yield job[0]
                continue
            turn.counters.waits.note(turn.now - job[0].since)
            if not self._engage(worker, is_new):
                if not self._take_back(worker, job, turn.now):
                    yield job[0]
                return

    def _take_back(self, worker: Worker, job: Job, now: float) -> bool:
        """There was a place, but no thread could be made for it; False: it is parked again."""
        conn = job[0]
        with self._lock:
            self._leave_place(worker)
            if len(self._workers) > 1 and self.queues.add(job, now):
                return True  # one of the threads that there are will come to it
            self._parking.parked[conn.fd] = conn
        return False

    # The leader: calls that are late

    def late_calls(self, now: float) -> list[tuple[Worker, Parked]]:
        """Those that have outlived their deadlines."""
        with self._lock:
            return [(worker, conn) for worker, conn in self._running.items() if conn.is_late(now)]

    def is_at(self, worker: Worker, conn: Parked) -> bool:
        """Whether that is the call that it is at, and counted."""
        with self._lock:
            return self._running.get(worker) is conn

    def give_up(self, worker: Worker, conn: Parked, most: int) -> int:
        """Counts a call out for good; how many are now, or 0 if it is over, or there are `most` already."""
        with self._lock:
            if self._running.get(worker) is not conn or len(self._lost) >= most:
                return 0
            self._leave_place(worker)
            self._lost[worker] = conn
            return len(self._lost)

    # The lead

    def wait_until_passed(self) -> None:
        """Once it returns, whoever has taken the token has done all that goes with that."""
        with self._lock:
            pass

    def pass_lead(self) -> None:
        """Appoints another leader, if the present one is still at a call."""
        computing = self.lead.is_runnable()
        with self._lock:
            worker, is_new = self._pick(None)
        if is_new and not self._start_thread(worker, self._work_when_called):
            return
        with self._lock:
            conn = self._take_lead()
            if conn is None and not self.stopping:
                self._idle.append(worker)  # the call has just returned
                return
        route = conn.request.line.route if conn is not None else None
        if route is not None:
            route.kept_leader(computing)
        worker.call()

    def _take_lead(self) -> Parked | None:
        """Makes the leader, if it runs a call, one that has lost the lead; under the lock."""
        lead = self.lead
        try:
            conn = lead.token.pop()
        except IndexError:
            return None
        lead.is_lost = True
        del self._parking.parked[conn.fd]
        self._take_place(lead.worker, conn)
        return conn

    # Followers: what is next

    def next_job(self, me: Worker) -> bool:
        """Its call is over: waits for something to do; False if there will be nothing."""
        with self._lock:
            self._leave_place(me)
            found = self._find_job(me)
        return (found or self._await_call(me)) and not self.stopping

    def may_stay(self) -> bool:
        """Whether nobody waits for a thread, nor may have to: then one can stay with its connection."""
        # Where nobody may wait in a queue, nobody may wait for a staying thread.
        return self.queues.is_empty() and not self.draining and self.queues.size > 0

    def stay(self, me: Worker) -> None:
        """Its call is over, and it stays with its connection."""
        with self._lock:
            self._leave_place(me)
            self._staying += 1

    def call_again(self, me: Worker, conn: Parked, now: float) -> bool:
        """Who stays has the next request of its connection; whether it may call, and stays no more."""
        if not self.queues.is_empty():
            return False
        with self._lock:
            has_place = not self.stopping and self.busy < self._places(False, now)
            if not has_place or not self._claim_place(me, conn):
                return False
            self._staying -= 1
        return True

    def end_stay(self, me: Worker) -> bool:
        """It has given its connection back; as next_job()."""
        with self._lock:
            self._staying -= 1  # only now: until it is parked, this is all that tells of it
            if self.draining:
                self._changed.notify_all()
            found = self._find_job(me)
        return (found or self._await_call(me)) and not self.stopping

    def let_wait(self, conn: Parked) -> None:
        """A request that a follower has come upon waits for its turn, however many do."""
        with self._lock:
            self.queues.push(conn)

    def depart(self, me: Worker) -> None:
        """A thread ends.  The last of those that were left behind closes the parking."""
        with self._changed:
            left_over = self._running.get(me)
            if left_over is not None:  # it was given just as the lane was stopped
                self._leave_place(me)
                left_over.close()
            self._workers.discard(me)
            self._departed.add(me.turn.counters)
            self._changed.notify_all()
            if self._abandoned and not self._workers:
                self._parking.close()

    def _find_job(self, me: Worker) -> bool:
        """Takes a request that waits for a call; else it is idle from now on.  Under the lock."""
        job = None if self.stopping else self._next_queued(me.turn.now)
        if job is not None and not self._claim_place(me, job[0]):
            self.queues.put_back(job)
            job = None
        if job is None:
            self._idle.append(me)
            return False
        me.job = job
        me.turn.counters.waits.note(monotonic() - job[0].since)
        me.job_waited = True
        return True

    def _await_call(self, me: Worker) -> bool:
        """Waits, idle, to be given a job; False if it is not worth waiting any longer."""
        if self.stopping:
            return False
        if me.wait(IDLE_TIME):
            return True
        with self._lock:
            if me in self._idle:
                self._idle.remove(me)
                return False
        me.wait(-1)  # somebody has just called it
        return True

    # Places, under the lock

    def _places(self, quick: bool, now: float) -> int:
        """How many calls may run besides the leader's, for a call of this kind."""
        return self._limit - 1 if not quick and self._limit > 1 and now < self._reserve_until else self._limit

    def _next_queued(self, now: float) -> Job | None:
        """The next request that may run beside the `busy` calls that do."""
        return self.queues.take(self.busy < self._limit, self.busy < self._places(False, now))

    def _take_place(self, worker: Worker, conn: Parked) -> None:
        """Counts a call."""
        self.busy += 1
        self.inline_ok = self.busy < self._limit and not self.stopping
        self._running[worker] = conn

    def _claim_place(self, worker: Worker, conn: Parked) -> bool:
        """Counts a follower's call, unless the leader has the last place for its own."""
        self._take_place(worker, conn)
        if self.inline_ok or not self.lead.token:  # in this order; see the essay
            return True
        self._leave_place(worker)
        self._summon()
        return False

    def _leave_place(self, worker: Worker) -> None:
        if self._lost.pop(worker, None) is None:  # else it was counted out before
            self.busy -= 1
            self.inline_ok = self.busy < self._limit and not self.stopping
            del self._running[worker]
            if self.draining:
                self._changed.notify_all()

    # Threads

    def _has_worker(self) -> bool:
        """Whether there is a thread for one more job, or there may be; under the lock."""
        most = self._limit + len(self._lost)
        return not self.stopping and (bool(self._idle) or len(self._workers) <= most)

    def _pick(self, job: Job | None) -> tuple[Worker, bool]:
        """A worker for a job, and whether its thread has yet to be started; under the lock."""
        if self._idle:
            worker, is_new = self._idle.pop(), False
            worker.job = job
        else:
            worker, is_new = Worker(job, CallGuard() if self._interrupts else None), True
            self._workers.add(worker)
        if job is not None:
            self._take_place(worker, job[0])
        return worker, is_new

    def _engage(self, worker: Worker, is_new: bool) -> bool:
        """Sets a picked worker to its job, outside the lock; False if no thread could be made."""
        if not is_new:
            worker.call()
            return True
        return self._start_thread(worker, self._work)

    def _start_thread(self, worker: Worker, target: Callable[[Worker], None]) -> bool:
        try:
            threading.Thread(target=target, args=(worker,), name="dualwsgi-worker", daemon=True).start()
        except RuntimeError as error:
            now = monotonic()
            if now - self._complained >= 1.0:
                self._complained = now
                calls = max(0, len(self._workers) - 2)  # without this one, and the leader
                logger.error(
                    "cannot start a thread, so at most %d application calls at once (see ulimit -u): %s",
                    calls,
                    error,
                )
            with self._changed:
                self._workers.discard(worker)
                self._changed.notify_all()
            return False
        return True

    def _work_when_called(self, me: Worker) -> None:
        """The life of a thread that is made before it is known whether there is something to do."""
        me.wait(-1)
        self._work(me)
