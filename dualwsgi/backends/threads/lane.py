"""A lane: one epoll, one leader, and as many followers as there are calls that wait.

A thread for every connection makes the interpreter's lock a ping-pong ball, and so does a thread
for every request.  Here one thread, the leader, polls, reads, and runs the calls that only compute;
a call that may wait is handed to a follower.  When a call that looked quick keeps the leader, the
watchdog passes the lead on, and the thread that lost it goes on as a follower.

This file is the lane from outside, and the leader's passes.  Who may touch what, when, and the races that
there would be else, is written on top of each room for what is its own:

  parking.py    Connections that wait for their clients: ownership, events, lost edges.
  lead.py       Whose the lead is, and how it is lost; watchdog.py sees that it is time.
  crew.py       All that is under the lock: threads, the places for calls, the reserve.
  queues.py     Requests that wait for a place.
  followers.py  What a thread does with what it is given, and staying.
  latecalls.py  Calls that outlive their deadlines; guard.py interrupts them.
  routes.py     Which calls are expected to be quick.
  aside.py      What a leader must not wait for.

Passes.  A batch of events, in which each descriptor comes once, is read; then what may be called here is
called, and what that made is sent (holding.py).  Their connections are parked meanwhile, so orders, chores
and the next poll, which may touch any that is parked, come after.  What is begun is the lane's, not the
thread's, as the rest of the batch is: whoever takes the lead over goes on with it first.

Orders.  Whatever else is to be done with parked connections is the leader's to do, too: who wants it gives
an order and rings.

Aside.  Outside of a call the leader runs nothing of the application's, nor waits for a log: that it
has done by another thread.
"""

from __future__ import annotations

import logging
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic, sleep, thread_time
from typing import Final

from ...counters import Counters
from ...seam import Door, Parked, Turn, Verdict, View
from ..acceptor import Acceptor
from ..ends import Ends
from ..holding import HOLD
from ..lag import Lag
from ..logs import hand_over
from ..queueing import Patience
from .aside import Aside
from .crew import Crew
from .followers import Followers, Left, fault
from .latecalls import LateCalls
from .lead import Lead, elsewhere
from .parking import READY, WRITABLE, Parking
from .queues import Queues
from .routes import Route, Routes
from .stream import ThreadStream
from .watchdog import Watchdog
from .worker import Job, Worker

logger = logging.getLogger("dualwsgi")

WANT_READ, AGAIN = Verdict.WANT_READ, Verdict.AGAIN
RUN, SEND, STREAM, CLOSE = Verdict.RUN, Verdict.SEND, Verdict.STREAM, Verdict.CLOSE

SHUT_WITHIN: Final = 10.0
"""Seconds for the leader to come round when listeners are to be closed; a machine may be busy."""

FAULT_REST: Final = 0.05
"""Seconds that a leader rests after a fault of this program."""

SAMPLE_INTERVAL: Final = 0.1
"""Seconds between two batches whose calls are measured one by one."""


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
        on_blind: Callable[[OSError], object] = lambda _: None,
    ) -> None:
        self._on_blind = on_blind
        self._closing = Aside("dualwsgi-closing")
        self._saying = Aside("dualwsgi-saying")  # apart, as who reads a log may leave it unread for long
        self._parking = Parking()
        queues = Queues(queue_size, Patience(queue_timeout, queue_target))
        tend = partial(self._order, self._tend_queues)
        self._crew = Crew(self._parking, queues, tend, limit=limit, interrupts=interrupts)
        self._followers = Followers(self._crew, self._parking, self._lead)
        self._late_calls = LateCalls(self._crew, max_lost)
        self._watchdog = Watchdog(self._glance, self._crew.pass_lead)
        self._ends = Ends(self._parking.add, _in_a_thread, select.epoll)
        make_stream = partial(ThreadStream, self._ends)
        self._acceptors = {door.sock.fileno(): Acceptor(door, make_stream) for door in doors}
        for fd in self._acceptors:
            self._parking.add(fd)
        self._has_log = any(door.flush is not None for door in doors)
        self._chore_interval = min(1.0, max(shortest / 4, 0.005))
        self._shut = threading.Event()
        self._orders: deque[Callable[[Turn], None]] = deque()  # any thread's to add to

        # The leader's
        self._batch: Iterator[tuple[int, int]] = iter(())
        self._ready: deque[Parked] = deque()  # requests that were read, to be called here
        self._held: deque[Parked] = deque()  # responses that were made, to be sent
        self._resting: list[Acceptor] = []  # listeners that are off the set for a moment
        self._next_chores = 0.0
        self._lag = Lag()
        self._next_sweep = 0.0
        self._next_sample = 0.0
        self._sampling = False
        self._routes = Routes()

    # From outside, by any thread

    def start(self) -> None:
        hand_over(logger, elsewhere)
        if not self._crew.start(self._followers.work):
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
        return self._crew.wait_idle(timeout)

    def close(self) -> None:
        """Cuts every connection, and lets every thread go once its call returns."""
        stuck = self._crew.stop()
        self._watchdog.close()
        for conn in [*self._parking.parked.values(), *self._crew.queues.conns()]:
            conn.close()
        self._parking.parked.clear()
        self._ends.close()
        self._closing.close(1.0)
        self._saying.close(1.0)
        if stuck:
            logger.warning("%d application calls did not end and were left behind", stuck)
        else:
            self._parking.close()

    def counters(self) -> Counters:
        return self._crew.counters()

    def set_limit(self, limit: int) -> None:
        """What runs above it goes on; nothing more is begun until it has come down."""
        self._crew.set_limit(limit)

    def look(self) -> View:
        """See dualwsgi.seam.Backend."""
        return self._crew.look(self._lag.seconds(monotonic()))

    def _order(self, act: Callable[[Turn], None]) -> None:
        self._orders.append(act)
        self._parking.ring()

    # The leader

    def _lead(self, me: Worker) -> Left | None:
        """Leads until the lane stops (None) or the lead is lost: then what is left to settle."""
        while not self._crew.stopping:
            me.turn.now = monotonic()
            self._crew.lead = lead = Lead(me)
            with lead.held(self._closing.do, self._saying.tell):
                try:
                    return self._make_passes(me.turn)
                except Exception:
                    # A fault of this program.  One connection may be lost over it, not the server.
                    logger.critical("the leader of a lane failed; it goes on", exc_info=True)
                    sleep(FAULT_REST)  # it may fail again
        return None

    def _make_passes(self, turn: Turn) -> Left | None:
        left: Left | None = None
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
                if self._crew.stopping:
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
        try:
            batch = self._parking.poll(self._patience(turn))
        except OSError as error:
            self._on_blind(error)
            raise
        turn.now = now = monotonic()
        if self._watchdog.sleeps and batch:
            self._watchdog.rouse()
        self._batch = iter(batch)
        if now >= self._next_chores:
            self._do_chores(turn)
        self._sampling = now >= self._next_sample
        if self._sampling:
            self._next_sample = now + SAMPLE_INTERVAL

    def _read_batch(self, turn: Turn) -> bool:
        """Sees to the rest of the batch; whether some of it are to be called before the rest of that."""
        parked, ready = self._parking.parked, self._ready
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
                verdict = fault()
            if verdict is RUN:
                route = conn.request.line.route or self._find_route(conn)
                if route.quick:
                    ready.append(conn)
                else:
                    self._hand_over((conn, route), turn)
            elif verdict is not WANT_READ:
                self._follow(conn, verdict, turn)
        return bool(ready)

    def _call_ready(self, turn: Turn) -> Left | None:
        """Makes the calls that are expected to be quick, until it is time to send; as _lead(), if the lead
        is lost over one."""
        ready, held, sampling = self._ready, self._held, self._sampling
        crew, watchdog = self._crew, self._watchdog
        token = crew.lead.token
        publish, withdraw = token.append, token.pop
        hold_until = monotonic() + HOLD
        while ready:
            conn = ready.popleft()
            verdict = RUN
            publish(conn)  # before it is asked whether there is a place; see crew.py
            if watchdog.sleeps:  # all that was read has taken so long that it saw nothing go on
                watchdog.rouse()
            if crew.inline_ok:
                try:
                    verdict = self._run_measured(conn, turn) if sampling else conn.run(turn)
                except Exception:
                    verdict = fault()
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

    def _send_held(self, turn: Turn) -> Left | None:
        """Sends the responses that are held; as _lead(), if the lead is lost over one."""
        held, has_log, of_the_batch = self._held, self._has_log, turn.now
        token = self._crew.lead.token
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
                verdict = fault()
            if has_log:
                try:
                    token.pop()
                except IndexError:
                    return self._lose(conn, verdict)
            if verdict is not WANT_READ:
                self._follow(conn, verdict, turn)
        turn.now = of_the_batch  # since then the rest of it has waited
        return None

    def _lose(self, conn: Parked, verdict: Verdict) -> Left:
        """The watchdog has taken the token: the lead is lost, and this is left to settle."""
        self._crew.wait_until_passed()
        return conn, verdict

    def _patience(self, turn: Turn) -> float:
        """Seconds that the leader may sleep; without limit if there is nothing to watch."""
        if self._parking.again or self._orders or self._crew.stopping:
            return 0
        parked = self._parking.parked
        # What is parked counts once more after the crew: one may have been put back between.
        if parked or self._resting or self._crew.has_work() or parked:
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
        route.learn(monotonic() - wall, thread_time() - cpu, not self._crew.busy)
        return verdict

    def _follow(self, conn: Parked, verdict: Verdict, turn: Turn) -> None:
        """What a parked connection wants, other than to be read again."""
        if verdict is CLOSE:
            del self._parking.parked[conn.fd]
            conn.close()
            if self._crew.draining and not self._parking.parked:
                self._crew.tell()
        elif verdict is AGAIN:
            self._parking.again.append((conn.fd, 0))
        elif verdict is RUN:
            self._hand_over((conn, conn.request.line.route or self._find_route(conn)), turn)
        elif verdict is STREAM:
            self._hand_over((conn, None), turn)
        # WANT_READ and WANT_WRITE: it is parked, and every edge is watched.

    def _take_other(self, fd: int, events: int, turn: Turn) -> None:
        """An event that is not for a parked connection."""
        if fd in self._acceptors:
            self._accept(self._acceptors[fd], turn)
        elif fd == self._ends.fd:
            self._ends.collect()
        else:
            self._parking.miss(fd, events)

    # At the doors

    def _accept(self, acceptor: Acceptor, turn: Turn) -> None:
        self._take_in(acceptor, turn, len(self._parking.parked) + self._crew.busy)
        if acceptor.resting_until:
            self._parking.remove(acceptor.fd)
            self._resting.append(acceptor)
            self._next_chores = min(self._next_chores, acceptor.resting_until)

    def _take_in(self, acceptor: Acceptor, turn: Turn, load: int) -> int:
        """Parks those who wait at a door, a turn's worth at most; how many."""
        count = 0
        for count, conn in enumerate(acceptor.accept(turn, load), 1):  # noqa: B007  # the last is the count
            if not self._parking.take_in(conn):
                self._follow(conn, CLOSE, turn)
        return count

    def _stop_accepting(self, turn: Turn) -> None:
        for acceptor in () if self._crew.draining else self._acceptors.values():
            if not acceptor.resting_until:
                try:
                    self._parking.remove(acceptor.fd)
                except OSError:
                    pass  # closed already: the leader comes too late, and the kernel has forgotten it
            # Those whom the kernel has told that they are connected, though nobody's share is larger.
            acceptor.resting_until = 0.0
            while not acceptor.resting_until and self._take_in(acceptor, turn, -1):
                pass
            acceptor.door.drain()
        self._resting.clear()
        self._crew.drain()
        self._shut.set()

    def _close_waiting(self, before: float, turn: Turn) -> None:
        for conn in list(self._parking.parked.values()):
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
                self._parking.add(acceptor.fd)
            else:
                self._next_chores = min(self._next_chores, acceptor.resting_until)

    def _sweep(self, turn: Turn) -> None:
        now = turn.now
        self._tick(now)
        for conn in list(self._parking.parked.values()):
            # A follower may have put it there just now, and an earlier one in this list handed it on.
            if conn.overdue(now) and self._parking.parked.get(conn.fd) is conn:
                verdict = conn.expire(turn)
                if verdict is not WANT_READ:
                    self._follow(conn, verdict, turn)
        self._late_calls.see_to(turn)
        self._tend_queues(turn)

    def _tick(self, now: float) -> None:
        for acceptor in self._acceptors.values():
            acceptor.door.tick(now)
            if acceptor.door.flush is not None:
                self._saying.do(acceptor.door.flush, once=True)

    # Queues and places

    def _tend_queues(self, turn: Turn) -> None:
        """Refuses requests that have waited too long, and has places filled that came free unseen."""
        for conn in self._crew.tend_queues(turn):
            self._refuse(conn, turn)

    def _hand_over(self, job: Job, turn: Turn) -> None:
        """Gives a parked connection's request to a follower, or queues it, or refuses it."""
        if not self._crew.take(job, turn.now):
            self._refuse(job[0], turn)

    def _refuse(self, conn: Parked, turn: Turn) -> None:
        verdict = conn.refuse(turn, "too busy; try again")
        if verdict is not WANT_READ:
            self._follow(conn, verdict, turn)

    # The watchdog

    def _glance(self) -> tuple[Parked | None, float]:
        """The call that the leader is at and when it began, or when the leader came round last."""
        lead = self._crew.lead
        held = lead.at()
        return (None, lead.worker.turn.now) if held is None else (held, held.since)


def _in_a_thread(callback: Callable[[], object]) -> None:
    threading.Thread(target=callback, name="dualwsgi-callback", daemon=True).start()
