"""A lane: one epoll, one leader, and as many followers as there are calls that wait.

A thread for every connection makes the interpreter's lock a ping-pong ball, and so does a thread
for every request.  Here one thread, the leader, polls, reads, and runs the calls that only compute;
a call that may wait is handed to a follower.  When a call that looked quick keeps the leader, the
watchdog passes the lead on, and the thread that lost it goes on as a follower.

Who may touch what, when

  Ownership.  A connection in `_parked` is the leader's, and there is one leader.  Handing it over
  takes it out of `_parked` first; from then on it is the follower's alone, until the follower puts
  it back as the last thing it does with it.  A follower may close it instead.

  Events.  Descriptors are registered once, edge-triggered, for reading and writing, and never
  touched again until close() drops them from the set.  So nobody changes the set for a request, a
  busy connection cannot spin, and an event costs at worst a read that finds nothing: events are
  hints, and no verdict is drawn from their bits, but that one without the bit for reading is left
  alone where only octets are waited for.  That also disarms reuse: an old event for a
  number that is a new connection by now makes one read more.  Only of an end the connection is told,
  since one that came together with octets makes no edge of its own: it reads once more than it would.

  Lost edges.  An event for a descriptor that is not parked (a follower has it) is noted in
  `_missed`, and `_parked` is looked at again; a follower puts the connection into `_parked`, and
  looks at `_missed` after.  Whatever the order, one of the two sees the other, and takes the note.

  The lead.  While the leader runs a call, its token holds that connection.  Leader and watchdog
  both take it out with list.pop, which only one of them can: if it is the leader, nothing has
  happened; if it is the watchdog, it takes the connection out of `_parked`, counts the call and
  appoints another leader, all under the lock, and for a thread that is already there: should none
  be had, the lead stays where it is.  The loser takes the lock once before it goes on, so that it
  never runs ahead of that.  Each leadership has a token of its own.  The rest of the batch
  of events is the lane's, not the thread's: the next leader goes on where the last one stopped.

  Passes.  A batch of events, in which each descriptor comes once, is read; then what may be called here is
  called, and what that made is sent (holding.py).  Their connections are parked meanwhile, so orders, chores
  and the next poll, which may touch any that is parked, come after.  What is begun is the lane's, too:
  whoever takes the lead over goes on with it first.

  Aside.  Outside of a call the leader runs nothing of the application's, nor waits for a log: that it
  has done by another thread (aside.py).

  Calls.  `_busy` counts calls that are not the leader's; with `_limit` of them running the leader
  calls nothing and queues, so there is always a leader: to answer 503, to watch deadlines, to stop.
  `_busy`, `_idle` and the queues change under the lock only.  A leader's own call is one above
  `_busy`.  So that the limit holds for both together, the leader publishes its call before it looks
  whether there is a place, and a follower that takes the last place looks at the token after: if
  both see the other, both give way, and the leader looks at the queue again.

  Staying.  A follower whose call waited stays with its connection for a moment, in a read that
  blocks, since the next request of a busy client comes at once: then nobody has to be woken to hand
  it over.  The connection is off the set and the follower's alone meanwhile, and no call is counted.
  Nobody can call a staying follower; it looks at the queue when the moment is over, and nobody stays
  while others wait.

  The reserve.  Calls that wait may fill every place, and then the quick ones wait with them.  Once
  a quick one had to, one place is kept free of waiting calls for a while.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic, thread_time
from typing import Final

from ...counters import Counters, total
from ...seam import Call, Door, Parked, Turn, Verdict, View
from ..acceptor import Acceptor
from ..ends import Ends
from ..holding import HOLD
from ..lag import Lag
from ..logs import hand_over
from ..queueing import Patience
from .aside import Aside
from .guard import CallGuard, Stretch
from .routes import Route, Routes
from .stream import ThreadStream
from .watchdog import Watchdog

logger = logging.getLogger("dualwsgi")

WANT_READ, WANT_WRITE, AGAIN = Verdict.WANT_READ, Verdict.WANT_WRITE, Verdict.AGAIN
RUN, SEND, STREAM, CLOSE = Verdict.RUN, Verdict.SEND, Verdict.STREAM, Verdict.CLOSE

EVENTS_A_POLL: Final = 256
RUNS_A_TURN: Final = 16
"""Pipelined requests of one connection that a follower runs before it looks at the queue."""

STAY: Final = 0.005
"""Seconds that a follower stays with its connection."""

RESERVE_TIME: Final = 10.0
"""Seconds for which a place is kept for quick calls after one had to wait."""

IDLE_TIME: Final = 20.0
"""Seconds after which a follower with nothing to do goes."""

SHUT_WITHIN: Final = 10.0
"""Seconds for the leader to come round when listeners are to be closed; a machine may be busy."""

LOST_AFTER: Final = 1.0
"""Seconds after the end of its request until a thread that is still in the call is given up."""

SAMPLE_INTERVAL: Final = 0.1
"""Seconds between two batches whose calls are measured one by one."""

EDGES: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

WRITABLE: Final = select.EPOLLOUT
READY: Final = select.EPOLLIN | WRITABLE
"""What most events tell.  One that is more than these two tells of an end."""

Job = tuple[Parked, Route | None]
"""A connection to run, and the route to learn from it; None where its time says nothing."""


class Worker:
    """A thread of a lane: now leader, now follower."""

    __slots__ = ("_wake", "ident", "job", "job_waited", "kept", "turn")

    def __init__(self, job: Job | None, guard: CallGuard | None) -> None:
        self.job = job  # what to serve when called; None means: lead
        self.job_waited = False  # it comes from a queue
        self.kept: Parked | None = None  # the connection that it has taken off the set, to stay with it
        self.turn = Turn(monotonic())
        self.turn.guard = guard
        self.ident = 0  # the thread's identifier, once it runs
        self._wake = threading.Lock()
        self._wake.acquire()

    def wait(self, timeout: float) -> bool:
        """Waits, idle, until it is called; whether it was."""
        return self._wake.acquire(timeout=timeout)

    def call(self) -> None:
        """Ends its wait()."""
        self._wake.release()


class LateCall:
    """One whose request was ended at `since`, while it goes on; `stretch` while it is to be interrupted."""

    __slots__ = ("conn", "since", "stretch")

    def __init__(self, conn: Parked, since: float, stretch: Stretch | None) -> None:
        self.conn = conn
        self.since = since
        self.stretch = stretch


class Lane:
    """See the essay above.

    `limit` bounds application calls at once; `queue_size` and `queue_timeout` (seconds) the requests
    that wait for one; `shortest` (seconds) is the shortest deadline there is.  Threads that stay in a
    call after its deadline are interrupted, if `interrupts`, and replaced, up to `max_lost` of them.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        *,
        limit: int,
        queue_size: int,
        queue_timeout: float,
        queue_target: float,
        shortest: float,
        interrupts: bool,
        max_lost: int,
    ) -> None:
        self._closing = Aside("dualwsgi-closing")
        self._saying = Aside("dualwsgi-saying")  # apart, as who reads a log may leave it unread for long
        self._ends = Ends(self._adopt_ends, _in_a_thread, select.epoll)
        make_stream = partial(ThreadStream, self._ends)
        self._acceptors = {door.sock.fileno(): Acceptor(door, make_stream) for door in doors}
        self._has_log = any(door.flush is not None for door in doors)
        self._limit = limit
        self._interrupts = interrupts
        self._max_lost = max_lost
        self._queue_size = queue_size
        self._queueing = Patience(queue_timeout, queue_target)
        self._chore_interval = min(1.0, max(shortest / 4, 0.005))
        self._epoll = select.epoll()
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._alarm, select.EPOLLIN | select.EPOLLET)
        for fd in self._acceptors:
            self._epoll.register(fd, select.EPOLLIN)

        # The leader's
        self._parked: dict[int, Parked] = {}
        self._missed: dict[int, int] = {}  # events by descriptor
        self._again: deque[tuple[int, int]] = deque()  # what stands for events that do not come (again)
        self._batch: Iterator[tuple[int, int]] = iter(())
        self._ready: deque[Parked] = deque()  # requests that were read, to be called here
        self._held: deque[Parked] = deque()  # responses that were made, to be sent
        self._orders: deque[Callable[[Turn], None]] = deque()
        self._resting: list[Acceptor] = []  # listeners that are off the set for a moment
        self._next_chores = 0.0
        self._lag = Lag()
        self._next_sweep = 0.0
        self._next_sample = 0.0
        self._sampling = False
        self._routes = Routes()

        # Under the lock
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._busy = 0
        self._running: dict[Worker, Parked] = {}  # what `_busy` counts
        self._late: dict[Worker, LateCall] = {}  # of those, whose request was ended
        self._lost: dict[Worker, Parked] = {}  # those that are not counted any more
        self._inline_ok = True  # `_busy` is below the limit; read without the lock
        self._reserve_until = 0.0
        self._queue: deque[Job] = deque()
        self._quick_queue: deque[Job] = deque()
        self._idle: list[Worker] = []
        self._staying = 0
        self._workers: set[Worker] = set()
        self._departed = Counters()  # of threads that have gone

        # Between leader and watchdog
        self._token: list[Parked] = []
        self._leading = Turn(0.0)
        self._leader: Worker | None = None
        self._leader_id = 0
        self._watchdog = Watchdog(self._glance, self._pass_lead)

        self._draining = False
        self._shut = threading.Event()
        self._stopping = False
        self._abandoned = False  # stopped, and some calls have not ended
        self._complained = -1.0

    # From outside, by any thread

    def start(self) -> None:
        hand_over(logger, _elsewhere)
        with self._lock:
            worker, is_new = self._pick(None)
        if not self._engage(worker, is_new):
            raise RuntimeError("no thread can be started")
        self._watchdog.start()

    def drain(self) -> None:
        """Accept no more; connections end with their next response.

        When it returns, the listeners may be closed.
        """
        self._order(self._stop_accepting)
        self._shut.wait(SHUT_WITHIN)

    def dismiss(self, before: float) -> None:
        """Close the connections that have waited for a request since `before`."""
        self._order(partial(self._close_waiting, before))

    def poke(self, act: Callable[[], object]) -> None:
        """Has the leader call `act` when it comes round."""

        def come_round(turn: Turn) -> None:
            act()

        self._order(come_round)

    def wait_idle(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds until no connection is left; whether none is."""
        deadline = monotonic() + timeout
        with self._changed:
            while self._parked or self._busy or self._queue or self._quick_queue or self._staying:
                left = deadline - monotonic()
                if left <= 0:
                    return False
                # Who leaves while the lane drains says so; else a leader closes dozens without a word.
                self._changed.wait(min(left, 0.02))
        return True

    def close(self) -> None:
        """Cuts every connection, and lets every thread go once its call returns."""
        with self._changed:
            self._stopping = True
            self._inline_ok = False
            self._ring()
            self._interrupt_calls()
            for worker in self._idle:
                worker.call()
            self._idle.clear()
            self._changed.wait_for(lambda: not self._workers, timeout=1.0)
            self._interrupt_calls()
            stuck = len(self._workers)
            self._abandoned = stuck > 0
        self._watchdog.close()
        for conn in [*self._parked.values(), *(job[0] for job in (*self._queue, *self._quick_queue))]:
            conn.close()
        self._parked.clear()
        self._ends.close()
        self._closing.close(1.0)
        self._saying.close(1.0)
        if stuck:
            logger.warning("%d application calls did not end and were left behind", stuck)
        else:
            self._release()

    def _interrupt_calls(self) -> None:
        """Ends the waits of all calls for their clients; under the lock."""
        self._take_lead()  # a leader's own call is then one among the others, and its own to close
        for conn in (*self._running.values(), *self._lost.values()):
            conn.interrupt()

    def _release(self) -> None:
        self._epoll.close()
        os.close(self._alarm)

    def counters(self) -> Counters:
        with self._lock:
            return total([self._departed, *(worker.turn.counters for worker in self._workers)])

    def set_limit(self, limit: int) -> None:
        """What runs above it goes on; nothing more is begun until it has come down."""
        with self._lock:
            self._limit = limit
            self._inline_ok = self._busy < limit and not self._stopping
        self._order(self._tend_queues)

    def look(self) -> View:
        """See dualwsgi.seam.Backend."""
        with self._lock:
            at_it = (*self._running.items(), *self._lost.items())
            calls = [Call(conn, worker.ident, None) for worker, conn in at_it]
            leader = self._leader
            calls += [Call(conn, leader.ident, None) for conn in self._token if leader is not None]
            queued = [job[0] for job in (*self._quick_queue, *self._queue)]
            idle = len(self._idle)
        at_work = {call.conn for call in calls}
        parked = list(self._parked.values())
        if at_work:
            parked = [conn for conn in parked if conn not in at_work]
        return View(calls, queued, parked, self._limit, idle, self._lag.seconds(monotonic()))

    def _order(self, act: Callable[[Turn], None]) -> None:
        self._orders.append(act)
        self._ring()

    def _ring(self) -> None:
        """Wakes the leader.  Each write is an edge, so nobody has to read the alarm."""
        if not self._epoll.closed:
            os.eventfd_write(self._alarm, 1)

    # The leader

    def _lead(self, me: Worker) -> tuple[Parked, Verdict] | None:
        """Leads until the lane stops (None) or the lead is lost: then what is left to settle."""
        turn = me.turn
        turn.now = monotonic()
        self._leading = turn
        self._leader = me
        self._leader_id = threading.get_native_id()
        self._token = []
        turn.aside = self._closing.do
        _leading[me.ident] = self
        left: tuple[Parked, Verdict] | None = None
        self._look_through_ready(turn)
        while left is None:
            # What is begun comes before what is new, also what another leader has begun.
            if self._held:
                left = self._send_held(turn)
            elif self._ready:
                left = self._call_ready(turn)
            elif not self._read_batch(turn):
                while self._orders:
                    self._orders.popleft()(turn)
                if self._stopping:
                    break
                self._poll(turn)
        return left

    def _look_through_ready(self, turn: Turn) -> None:
        """Hands over what another leader has read for routes that have cost it the lead since."""
        for _ in range(len(self._ready)):
            conn = self._ready.popleft()
            route = conn.request.line.route
            if route.quick:
                self._ready.append(conn)
            else:
                self._hand_over((conn, route), turn)

    def _poll(self, turn: Turn) -> None:
        """Waits for the next batch of events."""
        batch = self._epoll.poll(self._patience(turn), EVENTS_A_POLL)
        turn.now = now = monotonic()
        if self._again:
            batch = self._with_again(batch)
        if self._watchdog.sleeps and batch:
            self._watchdog.rouse()
        self._batch = iter(batch)
        if now >= self._next_chores:
            self._do_chores(turn)
        self._sampling = now >= self._next_sample
        if self._sampling:
            self._next_sample = now + SAMPLE_INTERVAL

    def _with_again(self, batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The kernel's events, and what stands for others; each descriptor once, as no second one may come to
        a connection whose request was read, and whose response is not sent."""
        found = dict(batch)
        while self._again:
            fd, events = self._again.popleft()
            found[fd] = found.get(fd, 0) | events | READY
        return list(found.items())

    def _read_batch(self, turn: Turn) -> bool:
        """Sees to the rest of the batch; whether some of it are to be called before the rest of that."""
        parked, ready = self._parked, self._ready
        for fd, events in self._batch:
            conn = parked.get(fd)
            if conn is None:
                self._take_other(fd, events, turn)
                continue
            if events != READY:
                if events == WRITABLE and conn.awaits_octets:
                    continue  # it is new, and its request still on its way
                if events > READY:
                    conn.hung_up()
            try:
                verdict = conn.advance(turn)
            except Exception:
                verdict = _fault()
            if verdict is RUN:
                route = conn.request.line.route or self._find_route(conn)
                if route.quick:
                    ready.append(conn)
                else:
                    self._hand_over((conn, route), turn)
            elif verdict is not WANT_READ:
                self._follow(conn, verdict, turn)
        return bool(ready)

    def _call_ready(self, turn: Turn) -> tuple[Parked, Verdict] | None:
        """Makes the calls that are expected to be quick, until it is time to send; as _lead(), if the lead
        is lost over one."""
        ready, held, sampling = self._ready, self._held, self._sampling
        publish, withdraw, watchdog = self._token.append, self._token.pop, self._watchdog
        hold_until = monotonic() + HOLD
        while ready:
            conn = ready.popleft()
            verdict = RUN
            publish(conn)
            if watchdog.sleeps:  # all that was read has taken so long that it saw nothing go on
                watchdog.rouse()
            if self._inline_ok:
                try:
                    verdict = self._run_measured(conn, turn) if sampling else conn.run(turn)
                except Exception:
                    verdict = _fault()
            try:
                withdraw()
            except IndexError:
                return self._lose(conn, verdict)
            if verdict is SEND:
                held.append(conn)
            else:
                if verdict is not RUN:  # else it was not called, and still waits for that
                    conn.since = turn.now
                if verdict is not WANT_READ:
                    self._follow(conn, verdict, turn)
            if held and monotonic() >= hold_until:
                break
        return None

    def _send_held(self, turn: Turn) -> tuple[Parked, Verdict] | None:
        """Sends the responses that are held; as _lead(), if the lead is lost over one."""
        held, token, has_log, of_the_batch = self._held, self._token, self._has_log, turn.now
        turn.now = monotonic()
        while held:
            conn = held.popleft()
            if has_log:
                token.append(conn)  # it may wait for a disk
                if self._watchdog.sleeps:
                    self._watchdog.rouse()
            try:
                verdict = conn.send(turn)
            except Exception:
                verdict = _fault()
            if has_log:
                try:
                    token.pop()
                except IndexError:
                    return self._lose(conn, verdict)
            if verdict is not WANT_READ:
                self._follow(conn, verdict, turn)
        turn.now = of_the_batch  # since then the rest of it has waited
        return None

    def _lose(self, conn: Parked, verdict: Verdict) -> tuple[Parked, Verdict]:
        """The watchdog has taken the token: the lead is lost, and this is left to settle."""
        with self._lock:  # so that the watchdog has done what it does to win
            return conn, verdict

    def _patience(self, turn: Turn) -> float:
        """Seconds that the leader may sleep; without limit if there is nothing to watch."""
        if self._again or self._orders or self._stopping:
            return 0
        if self._parked or self._busy or self._queue or self._quick_queue or self._resting or self._staying:
            return max(0.0, self._next_chores - turn.now)
        self._tick(monotonic())  # what is held back would else be held back for long
        self._next_chores = self._next_sweep = 0.0  # nobody expects them at a certain time now
        self._lag.expect(0.0)
        return -1

    def _find_route(self, conn: Parked) -> Route:
        route = conn.request.line.route = self._routes.find(conn.request.line.route_name())
        return route

    def _run_measured(self, conn: Parked, turn: Turn) -> Verdict:
        """run(), now and then with the clocks read, to find routes that have begun to wait a little."""
        route = conn.request.line.route
        wall, cpu = monotonic(), thread_time()
        verdict = conn.run(turn)
        route.learn(monotonic() - wall, thread_time() - cpu, not self._busy)
        return verdict

    def _follow(self, conn: Parked, verdict: Verdict, turn: Turn) -> None:
        """What a parked connection wants, other than to be read again."""
        if verdict is CLOSE:
            del self._parked[conn.fd]
            conn.close()
            if self._draining and not self._parked:
                with self._changed:
                    self._changed.notify_all()
        elif verdict is AGAIN:
            self._again.append((conn.fd, 0))
        elif verdict is RUN:
            self._hand_over((conn, conn.request.line.route or self._find_route(conn)), turn)
        elif verdict is STREAM:
            self._hand_over((conn, None), turn)
        # WANT_READ and WANT_WRITE: it is parked, and every edge is watched.

    def _take_other(self, fd: int, events: int, turn: Turn) -> None:
        """An event that is not for a parked connection."""
        if fd in self._acceptors:
            self._accept(self._acceptors[fd], turn)
        elif fd == self._alarm:
            pass  # it has woken the leader, who looks at the orders after the batch
        elif fd == self._ends.fd:
            self._ends.collect()
        else:
            self._missed[fd] = self._missed.get(fd, 0) | events
            if fd in self._parked:
                self._recall(fd)

    def _adopt_ends(self, fd: int) -> None:
        self._epoll.register(fd, select.EPOLLIN)

    def _accept(self, acceptor: Acceptor, turn: Turn) -> None:
        self._take_in(acceptor, turn, len(self._parked) + self._busy)
        if acceptor.resting_until:
            self._epoll.unregister(acceptor.fd)
            self._resting.append(acceptor)
            self._next_chores = min(self._next_chores, acceptor.resting_until)

    def _take_in(self, acceptor: Acceptor, turn: Turn, load: int) -> int:
        """Parks those who wait at a door, a turn's worth at most; how many."""
        count = 0
        for count, conn in enumerate(acceptor.accept(turn, load), 1):  # noqa: B007  # the last is the count
            self._missed.pop(conn.fd, None)
            self._parked[conn.fd] = conn
            try:
                # Being writable, it has its first event at once, and by then often its request.
                self._epoll.register(conn.fd, EDGES)
            except OSError as error:  # the system bounds what may be watched, too
                logger.error("a connection cannot be watched and is closed: %s", error.strerror)
                self._follow(conn, CLOSE, turn)
        return count

    def _stop_accepting(self, turn: Turn) -> None:
        for acceptor in () if self._draining else self._acceptors.values():
            if not acceptor.resting_until:
                try:
                    self._epoll.unregister(acceptor.fd)
                except OSError:
                    pass  # closed already: the leader comes too late, and the kernel has forgotten it
            # Those whom the kernel has told that they are connected, though nobody's share is larger.
            acceptor.resting_until = 0.0
            while not acceptor.resting_until and self._take_in(acceptor, turn, -1):
                pass
            acceptor.door.drain()
        self._resting.clear()
        self._draining = True
        self._shut.set()

    def _close_waiting(self, before: float, turn: Turn) -> None:
        for conn in list(self._parked.values()):
            verdict = conn.dismiss(turn, before)
            if verdict is not WANT_READ:
                self._follow(conn, verdict, turn)

    # Chores

    def _do_chores(self, turn: Turn) -> None:
        """What must be done about once a second while there is work, and what is due earlier."""
        now = turn.now
        if now >= self._next_sweep:
            self._lag.came(now)
            self._next_sweep = now + self._chore_interval
            self._lag.expect(self._next_sweep)
            self._sweep(turn)
        self._next_chores = self._next_sweep
        for acceptor in self._resting[:]:
            if now >= acceptor.resting_until:
                acceptor.resting_until = 0.0
                self._resting.remove(acceptor)
                self._epoll.register(acceptor.fd, select.EPOLLIN)
            else:
                self._next_chores = min(self._next_chores, acceptor.resting_until)

    def _sweep(self, turn: Turn) -> None:
        now = turn.now
        self._tick(now)
        for conn in list(self._parked.values()):
            # A follower may have put it there just now, and an earlier one in this list handed it on.
            if conn.overdue(now) and self._parked.get(conn.fd) is conn:
                verdict = conn.expire(turn)
                if verdict is not WANT_READ:
                    self._follow(conn, verdict, turn)
        self._end_late_calls(turn)
        self._tend_queues(turn)

    def _tick(self, now: float) -> None:
        for acceptor in self._acceptors.values():
            acceptor.door.tick(now)
            if acceptor.door.flush is not None:
                self._saying.do(acceptor.door.flush, once=True)

    def _end_late_calls(self, turn: Turn) -> None:
        """Ends requests whose calls have outlived their deadlines, and gives up threads that stay there."""
        now = turn.now
        with self._lock:
            late = [(worker, conn) for worker, conn in self._running.items() if conn.is_late(now)]
        frames = sys._current_frames() if late else {}
        for worker, conn in late:
            guard = worker.turn.guard
            stretch = guard.stretch if isinstance(guard, CallGuard) else None
            if conn.time_out(turn, frames.get(worker.ident)):
                with self._lock:
                    self._late[worker] = LateCall(conn, now, stretch)
        if self._late:
            self._interrupt_late_calls()
            self._give_up_threads(turn)

    def _interrupt_late_calls(self) -> None:
        for worker, late in self._late.items():
            guard = worker.turn.guard
            if late.stretch is not None and isinstance(guard, CallGuard) and guard.interrupt(late.stretch):
                late.stretch = None

    def _give_up_threads(self, turn: Turn) -> None:
        given_up = []
        with self._lock:
            for worker, late in list(self._late.items()):
                conn = late.conn
                if self._running.get(worker) is not conn:
                    del self._late[worker]
                elif turn.now - late.since > LOST_AFTER and len(self._lost) < self._max_lost:
                    del self._late[worker]
                    self._leave_place(worker)
                    self._lost[worker] = conn
                    given_up.append((conn, len(self._lost)))
        for conn, count in given_up:
            turn.counters.lost += 1
            logger.error(
                "%s: the call did not end after its deadline; its thread is replaced (%d of at most %d)",
                conn.describe(),
                count,
                self._max_lost,
            )

    def _tend_queues(self, turn: Turn) -> None:
        """Refuses requests that have waited too long, and fills places that came free unseen."""
        while True:
            worker = None
            with self._lock:
                queues = (self._quick_queue, self._queue)
                stale = next((q for q in queues if q and self._is_stale(q[0][0], turn.now)), None)
                if stale is not None:
                    job = stale.popleft()
                    # Under the lock: who waits for the lane to be idle must see it here or there.
                    self._parked[job[0].fd] = job[0]
                else:
                    found = self._next_queued(turn.now) if self._has_worker() else None
                    if found is None:
                        return
                    job = found
                    worker, is_new = self._pick(job)
            if worker is None:
                self._refuse(job[0], turn)
                continue
            turn.counters.waits.note(turn.now - job[0].since)
            if not self._engage(worker, is_new):
                self._take_back(worker, job, turn)
                return

    def _is_stale(self, conn: Parked, now: float) -> bool:
        patience = self._queueing
        return now - conn.since > (patience.timeout if conn.has_begun else patience.limit(now))

    # Handing over

    def _hand_over(self, job: Job, turn: Turn) -> None:
        """Gives a parked connection's request to a follower, or queues it, or refuses it."""
        conn, route = job
        quick = route is not None and route.quick
        worker = None
        with self._lock:
            if quick:
                self._reserve_until = turn.now + RESERVE_TIME
            if self._busy < self._places(quick, turn.now) and self._has_worker():
                del self._parked[conn.fd]
                worker, is_new = self._pick(job)
            elif self._enqueue(job, turn.now):
                del self._parked[conn.fd]
                return
        if worker is None:
            self._refuse(conn, turn)
        elif not self._engage(worker, is_new):
            self._take_back(worker, job, turn)

    def _queue_of(self, job: Job) -> deque[Job]:
        return self._quick_queue if job[1] is not None and job[1].quick else self._queue

    def _enqueue(self, job: Job, now: float) -> bool:
        """Lets a request wait for a call, if there is room; under the lock."""
        if len(self._queue) + len(self._quick_queue) >= self._queue_size:
            return False
        if not self._queue and not self._quick_queue:
            self._queueing.begins(now)
        self._queue_of(job).append(job)
        return True

    def _take_back(self, worker: Worker, job: Job, turn: Turn) -> None:
        """There was a place for a request, but no thread could be made for it."""
        conn = job[0]
        with self._lock:
            self._leave_place(worker)
            if len(self._workers) > 1 and self._enqueue(job, turn.now):
                return  # one of the threads that there are will come to it
            self._parked[conn.fd] = conn
        self._refuse(conn, turn)

    def _refuse(self, conn: Parked, turn: Turn) -> None:
        verdict = conn.refuse(turn, "too busy; try again")
        if verdict is not WANT_READ:
            self._follow(conn, verdict, turn)

    def _places(self, quick: bool, now: float) -> int:
        """How many calls may run besides the leader's, for a call of this kind."""
        return self._limit - 1 if not quick and self._limit > 1 and now < self._reserve_until else self._limit

    def _next_queued(self, now: float) -> Job | None:
        """The next request that may run beside the `_busy` calls that do; under the lock."""
        if self._quick_queue and self._busy < self._limit:
            return self._quick_queue.popleft()
        if self._queue and self._busy < self._places(False, now):
            return self._queue.popleft()
        return None

    def _take_place(self, worker: Worker, conn: Parked) -> None:
        """Counts a call; under the lock, as everything that counts."""
        self._busy += 1
        self._inline_ok = self._busy < self._limit and not self._stopping
        self._running[worker] = conn

    def _claim_place(self, worker: Worker, conn: Parked) -> bool:
        """Counts a follower's call, unless the leader has the last place for its own; under the lock."""
        self._take_place(worker, conn)
        if self._inline_ok or not self._token:  # in this order; see the essay
            return True
        self._leave_place(worker)
        self._order(self._tend_queues)
        return False

    def _leave_place(self, worker: Worker) -> None:
        if self._lost.pop(worker, None) is None:  # else it was counted out before
            self._busy -= 1
            self._inline_ok = self._busy < self._limit and not self._stopping
            del self._running[worker]
            if self._draining:
                self._changed.notify_all()

    # Threads

    def _has_worker(self) -> bool:
        """Whether there is a thread for one more job, or there may be; under the lock."""
        most = self._limit + len(self._lost)
        return not self._stopping and (bool(self._idle) or len(self._workers) <= most)

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

    # The followers

    def _work(self, me: Worker) -> None:
        """The life of a thread."""
        route: Route | None
        me.ident = threading.get_ident()
        try:
            while True:
                if me.job is None:
                    try:
                        left = None if self._stopping else self._lead(me)
                    except Exception:
                        # A fault of this program.  One connection may be lost over it, not the server.
                        logger.critical("the leader of a lane failed; it goes on", exc_info=True)
                        continue
                    finally:
                        me.turn.aside = None
                        _leading.pop(me.ident, None)
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
                    if not self._next_job(me):
                        break
        finally:
            with self._changed:
                left_over = self._running.get(me)
                if left_over is not None:  # it was given just as the lane was stopped
                    self._leave_place(me)
                    left_over.close()
                self._workers.discard(me)
                self._departed.add(me.turn.counters)
                self._changed.notify_all()
                if self._abandoned and not self._workers:
                    self._release()

    def _run(self, conn: Parked, route: Route | None, turn: Turn) -> Verdict:
        turn.now = began = monotonic()
        is_measured = route is not None and not route.is_long
        cpu = thread_time() if is_measured else 0.0
        verdict = conn.run(turn)
        turn.now = monotonic()
        if route is None:
            pass
        elif is_measured:
            route.learn(turn.now - began, thread_time() - cpu, self._busy == 1)
        else:
            route.learn_length(turn.now - began)
        if verdict is SEND:
            return conn.send(turn)
        conn.since = turn.now
        return verdict

    def _serve(self, conn: Parked, verdict: Verdict, route: Route | None, turn: Turn) -> Verdict:
        """Runs a request, and goes on with its connection while that can, unless others have waited."""
        try:
            if verdict is RUN:
                verdict = self._run(conn, route, turn)
            elif verdict is SEND:
                verdict = conn.send(turn)
            for _ in range(RUNS_A_TURN):
                if verdict is AGAIN:
                    verdict = conn.advance(turn)
                if (verdict is RUN or verdict is STREAM) and not self._queue and not self._quick_queue:
                    verdict = self._run(conn, conn.request.line.route if verdict is RUN else None, turn)
                if verdict is not AGAIN:
                    break
        except Exception:
            return _fault()
        return verdict

    def _reconsider(self, conn: Parked, turn: Turn) -> Verdict:
        """RUN, if a request that had to wait is still worth a call; else what was done instead."""
        turn.now = monotonic()
        try:
            if self._is_stale(conn, turn.now):
                return conn.refuse(turn, "too busy; try again")
            return conn.forgo(turn) or RUN
        except Exception:
            return _fault()

    def _give_back(self, conn: Parked, verdict: Verdict, me: Worker) -> None:
        """Lets go of a connection, which must not be touched after."""
        fd = conn.fd
        kept, me.kept = me.kept, None
        if verdict is CLOSE or self._stopping:
            conn.close()
            return
        if kept is conn:
            conn.stream.forbid_waits()
            try:
                self._epoll.register(fd, EDGES)  # what has come in the meantime is an edge
            except OSError as error:
                logger.error("a connection cannot be watched and is closed: %s", error.strerror)
                conn.close()
                return
        if verdict is RUN or verdict is STREAM:
            with self._lock:
                self._queue.append((conn, None))
            return
        self._parked[fd] = conn
        recalled = self._recall(fd)
        if verdict is AGAIN and not recalled:
            self._again.append((fd, 0))
            recalled = True
        if recalled:
            self._ring()

    def _recall(self, fd: int) -> bool:
        """Has a parked connection told of the events that it has missed; whether there were any."""
        events = self._missed.pop(fd, None)
        if events is None:
            return False
        self._again.append((fd, events))
        return True

    def _worth_staying(self, conn: Parked, route: Route) -> bool:
        return (
            route.worth_staying
            and not self._queue
            and not self._quick_queue
            and not self._draining
            and self._queue_size > 0  # where nobody may wait, nobody may wait for a staying thread
            and not conn.stream.lookahead
        )

    def _stay(self, conn: Parked, route: Route, me: Worker) -> bool:
        """Waits a moment for the connection's next request, and then for any job; False if none comes."""
        turn = me.turn
        if me.kept is not conn:
            self._epoll.unregister(conn.fd)
            conn.stream.allow_waits(STAY)
            me.kept = conn
        with self._lock:
            self._leave_place(me)
            self._staying += 1
        verdict = conn.advance(turn)
        conn.since = turn.now = monotonic()
        route.stayed(verdict is RUN)
        if verdict is RUN and not self._queue and not self._quick_queue:
            with self._lock:
                has_place = not self._stopping and self._busy < self._places(False, turn.now)
                if has_place and self._claim_place(me, conn):
                    self._staying -= 1
                    me.job = (conn, conn.request.line.route)
                    return True
        self._give_back(conn, verdict, me)
        with self._lock:
            self._staying -= 1  # only now: until it is parked, this is all that tells of it
            if self._draining:
                self._changed.notify_all()
            found = self._find_job(me)
        return (found or self._await_call(me)) and not self._stopping

    def _next_job(self, me: Worker) -> bool:
        """Waits for something to do; False if there will be nothing."""
        with self._lock:
            self._leave_place(me)
            found = self._find_job(me)
        return (found or self._await_call(me)) and not self._stopping

    def _find_job(self, me: Worker) -> bool:
        """Takes a request that waits for a call; else it is idle from now on."""
        job = None if self._stopping else self._next_queued(me.turn.now)
        if job is not None and not self._claim_place(me, job[0]):
            self._queue_of(job).appendleft(job)
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
        if self._stopping:
            return False
        if me.wait(IDLE_TIME):
            return True
        with self._lock:
            if me in self._idle:
                self._idle.remove(me)
                return False
        me.wait(-1)  # somebody has just called it
        return True

    # The watchdog

    def _glance(self) -> tuple[Parked | None, float]:
        """The call that the leader is at and when it began, or when the leader came round last."""
        held = next(iter(self._token), None)
        return (None, self._leading.now) if held is None else (held, held.since)

    def _pass_lead(self) -> None:
        computing = _is_runnable(self._leader_id)
        with self._lock:
            worker, is_new = self._pick(None)
        if is_new and not self._start_thread(worker, self._work_when_called):
            return
        with self._lock:
            conn = self._take_lead()
            if conn is None and not self._stopping:
                self._idle.append(worker)  # the call has just returned
                return
        route = conn.request.line.route if conn is not None else None
        if route is not None:
            route.kept_leader(computing)
        worker.call()

    def _take_lead(self) -> Parked | None:
        """Makes the leader, if it runs a call, one that has lost the lead; under the lock."""
        try:
            conn = self._token.pop()
        except IndexError:
            return None
        del self._parked[conn.fd]
        assert self._leader is not None
        self._take_place(self._leader, conn)
        return conn


_leading: dict[int, Lane] = {}
"""The lanes by the identifiers of the threads that lead them."""


def _elsewhere() -> Callable[..., object] | None:
    """Where who logs here may wait for the handlers, if not here: who leads waits in calls only."""
    me = threading.get_ident()
    lane = _leading.get(me)
    if lane is None or lane._token or lane._leader is None or lane._leader.ident != me:
        return None  # a call has cost it the lead, or may
    return lane._saying.tell


def _fault() -> Verdict:
    """A fault of this program is about to be handled: it costs one connection, not the server."""
    logger.critical("serving a connection failed; it is closed", exc_info=True)
    return CLOSE


def _in_a_thread(callback: Callable[[], object]) -> None:
    threading.Thread(target=callback, name="dualwsgi-callback", daemon=True).start()


def _is_runnable(thread: int) -> bool:
    """Whether a thread computes, or would if it were given a processor; False if that is unknown."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] == b"R"
    except OSError:
        return False
