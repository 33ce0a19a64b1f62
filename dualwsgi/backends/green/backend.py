"""Greenlets as a Backend: one hub that parks connections and lends greenlets to calls.

A parked connection has no greenlet.  When it has an event, the hub switches to a pooled one, a worker,
which advances it, runs its call, and goes on with the next event of the hub's batch: so a batch of
calls that do not wait costs two switches in all, and their connections were parked all the time.  A
worker that waits, for the client or for whatever the application does cooperatively, has switched
back; only then is it entered in `_running`, and the hub goes on with another.  It settles its
connection itself when it is done.  `concurrency` bounds the calls, with the same queue and the same
refusals as on threads.

What may call into the application runs in workers or lent greenlets, and never in the hub's: even the
close() of a response whose client has stalled may have something to wait for.

Descriptors are registered once, edge-triggered, until they are closed.  An event for a connection
that is not parked ends what its greenlet waits for, if it waits for its client, and is remembered:
it may have been meant for the next request.

By `start(here=True)` the hub is that of the calling thread, and serves whenever this thread waits:
then what the application's imports have started there lives on the same hub.  Otherwise a thread
of its own is made for it.  Every method but start may be called from any thread; what they do is
done in the hub.
"""

from __future__ import annotations

import logging
import select
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from types import FrameType
from typing import Any, Final

import greenlet

from ... import green
from ...counters import Counters, total
from ...errors import RequestTimeout
from ...green import Waiter, originals
from ...green.hub import leave_forked_child
from ...seam import Call, Door, Parked, Turn, Verdict, View
from ..acceptor import Acceptor
from ..ends import Ends
from ..holding import HOLD
from ..lag import Lag
from ..logs import hand_over
from ..queueing import Patience
from .stream import GreenStream

logger = logging.getLogger("dualwsgi")

WANT_READ, WANT_WRITE, AGAIN = Verdict.WANT_READ, Verdict.WANT_WRITE, Verdict.AGAIN
RUN, SEND, STREAM, CLOSE = Verdict.RUN, Verdict.SEND, Verdict.STREAM, Verdict.CLOSE

EDGES: Final = green.READ | green.WRITE | green.RDHUP | green.EDGE

READY: Final = green.READ | green.WRITE
"""What most events tell.  One that is more than these two tells of an end."""

POOLED: Final = 1024
"""Idle greenlets that are kept."""

DONE: Final = object()
"""With which a worker gives the hub back; one that waits does it with nothing."""


class GreenBackend:
    """See dualwsgi.seam.Backend.

    `concurrency` bounds application calls at once, `queue_size`, `queue_timeout` and `queue_target`
    (seconds) the requests that wait for one; `shortest` (seconds) is the shortest deadline there is.  A
    hub that has not turned for `max_blocking_time` (seconds; 0 for never) is reported.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        queue_size: int,
        queue_timeout: float,
        queue_target: float,
        shortest: float,
        max_blocking_time: float,
        on_blind: Callable[[OSError], object] = lambda _: None,
    ) -> None:
        self._on_blind = on_blind
        self._limit = concurrency
        self._queue_size = queue_size
        self._queueing = Patience(queue_timeout, queue_target)
        self._chore_interval = min(1.0, max(shortest / 4, 0.005))
        self._parked: dict[int, Parked] = {}
        self._missed: dict[int, int] = {}  # events by the descriptors of connections that were running
        self._waiters: dict[int, Waiter] = {}
        self._held: deque[Parked] = deque()  # those whose responses are made and go out together
        self._queue: deque[Parked] = deque()
        self._running: dict[Any, Parked] = {}  # calls that wait, or have waited, by their greenlets
        self._pool: list[Any] = []  # idle greenlets
        self._leader: Any = None  # the worker that the hub has switched to, as long as it has not waited
        self._at: Any = None  # the connection that it is at
        self._acceptors: list[Acceptor] = []
        self._resting: set[Acceptor] = set()  # of those, which are not polled for a moment
        self._ends = Ends(self._adopt_ends, green.spawn, originals.native_epoll)
        self._turn = Turn(0.0)
        self._chores: green.Timer | None = None
        self._max_blocking_time = max_blocking_time
        self._watch: green.Watch | None = None
        self._lag = Lag()
        self._draining = False
        self._emptied = originals.allocate_lock()
        self._emptied.acquire()
        self._over: Waiter | None = None
        self._begun = self._closed = False

    # From outside

    def start(self, make_doors: Callable[[], Sequence[Door]], *, here: bool) -> None:
        if here:
            self._begin(make_doors)
            return
        begun, self._ended = originals.allocate_lock(), originals.allocate_lock()
        begun.acquire()
        self._ended.acquire()
        failed: list[BaseException] = []
        originals.start_background_thread(self._live, make_doors, begun, failed)
        begun.acquire()
        if failed:
            raise failed[0]

    def _live(
        self, make_doors: Callable[[], Sequence[Door]], begun: Any, failed: list[BaseException]
    ) -> None:
        """The life of a hub's own thread."""
        try:
            try:
                self._begin(make_doors)
                over = self._over = Waiter(self._hub)
            except BaseException as error:
                failed.append(error)
                green.get_hub().close()
                return
            finally:
                begun.release()
            over.wait()
            for worker in self._pool:
                worker.parent = greenlet.getcurrent()
                worker.throw(greenlet.GreenletExit)
            self._hub.close()
        finally:
            self._ended.release()

    def _begin(self, make_doors: Callable[[], Sequence[Door]]) -> None:
        self._hub = green.get_hub()
        self._hub.on_blind = self._on_blind
        hand_over(logger, _elsewhere)
        make_stream = partial(GreenStream, self._hub, self._waiters, self._ends)
        try:
            for door in make_doors():
                acceptor = Acceptor(door, make_stream)
                self._listen(acceptor)
                self._acceptors.append(acceptor)
            if self._max_blocking_time:
                self._watch = green.watch(_report_held, threshold=self._max_blocking_time, doing=_request_of)
        except BaseException:
            for acceptor in self._acceptors:
                self._hub.unregister(acceptor.fd)
            raise
        self._begun = True

    def drain(self) -> None:
        self._in_hub(self._stop_accepting)

    def dismiss(self, before: float) -> None:
        self._hub.call_threadsafe(self._hub.lend, self._close_waiting, before)

    def wait_idle(self, timeout: float) -> bool:
        deadline = monotonic() + timeout
        # The caller's thread may have a hub, this one or another: its greenlets run on meanwhile.
        cooperative = green.current_hub() is not None
        while self._parked or self._running or self._queue:
            left = min(deadline - monotonic(), 0.01)
            if left <= 0:
                return False
            if cooperative:
                green.sleep(left)
            else:
                self._emptied.acquire(True, left)  # who leaves last opens it, if the hub drains
        return True

    def wait_readable(self, fd: int, timeout: float | None) -> bool:
        hub = green.current_hub()  # the caller's, which need not be this one
        if hub is not None:
            return hub.wait_fd(fd, green.READ, timeout)
        assert originals.native_poll is not None
        poll = originals.native_poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def poke(self, act: Callable[[], object]) -> None:
        self._hub.call_threadsafe(act)

    def close(self) -> None:
        if self._closed or not self._begun:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.stop()
        self._in_hub(self._cut)
        if self._over is not None:
            self._over.wake()
            self._ended.acquire(True, 2.0)

    def counters(self) -> Counters:
        found = total([self._turn.counters])
        if self._watch is not None:
            found.hub_held = self._watch.held
        return found

    def set_limit(self, calls: int) -> None:
        self._limit = calls
        self._hub.call_threadsafe(self._fill_places)

    def gave_way(self) -> bool:
        return greenlet.getcurrent() in self._running

    def look(self) -> View:
        while True:
            try:
                running = list(self._running.items())
                break
            except RuntimeError:
                pass  # the hub has changed it meanwhile
        thread = self._hub.thread_id if self._begun else 0
        calls = [Call(conn, thread, runner) for runner, conn in running]
        conn = self._on_the_hub(thread)
        for call in calls:
            if call.conn is conn:
                calls[calls.index(call)] = call._replace(greenlet=None)
                break
        else:
            if conn is not None:
                calls.append(Call(conn, thread, None))
        queued, parked = list(self._queue), list(self._parked.values())
        at_work = {call.conn for call in calls}
        if at_work:
            parked = [each for each in parked if each not in at_work]
        return View(calls, queued, parked, self._limit, len(self._pool), self._lag.seconds(monotonic()))

    def _on_the_hub(self, thread: int) -> Parked | None:
        """The connection whose call has the hub's thread right now, as its frames tell."""
        frame = sys._current_frames().get(thread)
        while frame is not None:
            if frame.f_code is GreenBackend._run.__code__:
                conn: Parked = frame.f_locals["conn"]
                return conn
            frame = frame.f_back
        return None

    def _in_hub(self, act: Callable[[], None]) -> None:
        """Has the hub's thread do it, and waits until it is done."""
        if green.current_hub() is self._hub:
            act()
            return
        done = originals.allocate_lock()
        done.acquire()

        def do() -> None:
            try:
                act()
            finally:
                done.release()

        self._hub.call_threadsafe(self._hub.lend, do)
        done.acquire(True, 2.0)

    # In the hub

    def _adopt_ends(self, fd: int) -> None:
        self._hub.call_soon(self._hub.register, fd, green.READ, self._collect_ends)

    def _collect_ends(self, fd: int, events: int) -> None:
        self._ends.collect()

    def _on_event(self, fd: int, events: int) -> None:
        """Something has happened to a connection."""
        conn = self._parked.get(fd)
        if conn is None:
            self._missed[fd] = self._missed.get(fd, 0) | events
            waiter = self._waiters.get(fd)
            if waiter is not None:
                waiter.resume()
            return
        self._turn.now = self._hub.now
        if events != READY and not _matters(conn, events):
            return
        self._serve(conn, AGAIN)

    def _serve(self, conn: Parked, verdict: Verdict) -> None:
        """Has a worker advance (AGAIN) or run (RUN: it has queued) a parked connection, and go on with the
        hub's batch."""
        pool, held = self._pool, self._held
        while True:
            worker = pool.pop() if pool else greenlet.greenlet(self._work, self._hub.greenlet)
            if worker.dead:  # whatever an application has left behind was thrown into it
                continue
            self._leader, waits = worker, True
            try:
                if worker.switch(conn, verdict) is DONE:
                    return
            except Exception as error:
                # A fault of this program: it may cost one connection, and not those that are held.
                self._hub.failed(self._serve, error)
                waits = False
            self._leader = None
            conn, self._at = self._at, None
            if waits and self._parked.get(conn.fd) is conn:  # else it was closing it
                # It has come back by the switch of its wait.
                del self._parked[conn.fd]
                self._running[worker] = conn
            if not held:
                return
            # Whose responses are made do not wait for it.
            conn, verdict = held.popleft(), SEND
            self._turn.now = monotonic()

    def _again(self, fd: int, events: int) -> None:
        """An event that was not in time, or that nobody has to wait for."""
        if fd in self._parked:
            self._on_event(fd, events)

    def _follow(self, conn: Parked, verdict: Verdict) -> None:
        """What a parked connection wants, other than to be read again."""
        if verdict is CLOSE:
            del self._parked[conn.fd]
            self._close(conn)
        elif verdict is AGAIN:
            self._hub.call_soon(self._again, conn.fd, 0)
        elif verdict is RUN or verdict is STREAM:
            del self._parked[conn.fd]
            self._enqueue(conn)
        # WANT_READ and WANT_WRITE: it is parked, and every edge is watched.

    def _enqueue(self, conn: Parked) -> None:
        """Lets a request wait for a call, or refuses it."""
        has_place = len(self._running) < self._limit
        if not has_place and len(self._queue) >= self._queue_size:
            self._settle(conn, conn.refuse(self._turn, "too busy; try again"))
            return
        if not self._queue:
            self._queueing.begins(self._turn.now)
        self._queue.append(conn)
        if has_place:
            self._hub.call_soon(self._fill_places)

    def _fill_places(self) -> None:
        """Takes up requests that wait while there are places: one came free, or more were allowed."""
        while self._queue and len(self._running) < self._limit:
            self._turn.now = monotonic()
            conn = self._queue.popleft()
            fd = conn.fd
            self._parked[fd] = conn
            self._serve(conn, RUN)
            if fd in self._missed and self._parked.get(fd) is conn:
                self._hub.call_soon(self._again, fd, self._missed.pop(fd))

    def _close(self, conn: Parked) -> None:
        self._hub.forget(conn.fd)
        self._missed.pop(conn.fd, None)
        conn.close()
        if self._draining and not (self._parked or self._running or self._queue) and self._emptied.locked():
            self._emptied.release()

    def _listen(self, acceptor: Acceptor) -> None:
        self._hub.register(acceptor.fd, green.READ, partial(self._accept, acceptor))

    def _accept(self, acceptor: Acceptor, fd: int, events: int) -> None:
        self._turn.now = now = monotonic()
        self._take_in(acceptor, len(self._parked) + len(self._running))
        if acceptor.resting_until and acceptor not in self._resting and not self._draining:
            self._resting.add(acceptor)
            self._hub.unregister(acceptor.fd)
            self._hub.call_later(acceptor.resting_until - now, self._accept_again, acceptor)

    def _take_in(self, acceptor: Acceptor, load: int) -> int:
        """Parks those who wait at a door, a turn's worth at most; how many."""
        count = 0
        for count, conn in enumerate(acceptor.accept(self._turn, load), 1):  # noqa: B007  # the last is the count
            self._missed.pop(conn.fd, None)
            try:
                # Being writable, it has its first event at once, and by then often its request.
                self._hub.register(conn.fd, EDGES, self._on_event)
            except OSError as error:  # the system bounds what may be watched, too
                logger.error("a connection cannot be watched and is closed: %s", error.strerror)
                conn.close()
                continue
            self._parked[conn.fd] = conn
        if self._chores is None:
            self._do_chores()
        return count

    def _accept_again(self, acceptor: Acceptor) -> None:
        self._resting.discard(acceptor)
        if not self._draining:
            acceptor.resting_until = 0.0
            self._listen(acceptor)

    def _stop_accepting(self) -> None:
        if self._draining:
            return
        self._draining = True
        self._turn.now = monotonic()
        for acceptor in self._acceptors:
            if acceptor not in self._resting:
                self._hub.unregister(acceptor.fd)
            # Those whom the kernel has told that they are connected, though nobody's share is larger.
            acceptor.resting_until = 0.0
            while not acceptor.resting_until and self._take_in(acceptor, -1):
                pass
            acceptor.door.drain()

    def _close_waiting(self, before: float) -> None:
        turn = self._turn
        turn.now = monotonic()
        for conn in list(self._parked.values()):
            if self._parked.pop(conn.fd, None) is not conn:
                continue  # served meanwhile
            self._settle_last(conn, conn.dismiss(turn, before))

    def _cut(self) -> None:
        if not self._draining:
            self._stop_accepting()
        for conn in self._queue:
            self._parked[conn.fd] = conn
        self._queue.clear()
        for conn in list(self._parked.values()):
            self._follow(conn, CLOSE)
        for runner in list(self._running):
            self._hub.call_soon(runner.throw, greenlet.GreenletExit)
        if self._chores is not None:
            self._chores.cancel()
        if self._ends.fd >= 0:
            self._hub.unregister(self._ends.fd)
            self._ends.close()

    # Chores

    def _do_chores(self) -> None:
        """What must be done about once a second while there is work."""
        turn = self._turn
        turn.now = now = monotonic()
        self._lag.came(now)
        try:
            for acceptor in self._acceptors:
                acceptor.door.tick(now)
                if acceptor.door.flush is not None:
                    acceptor.door.flush()
            for conn in self._parked.values():
                if conn.overdue(now):
                    # Each by itself: the close() of its response may wait, and the other chores must not.
                    self._hub.call_soon(self._hub.lend, self._expire, conn)
            for worker, conn in list(self._running.items()):
                if conn.is_late(now) and conn.time_out(turn, worker.gr_frame):
                    self._hub.call_soon(self._kill, worker, conn)
            while self._queue and now - self._queue[0].since > self._patience_for(self._queue[0], now):
                conn = self._queue.popleft()
                self._settle(conn, conn.refuse(turn, "too busy; try again"))
        finally:
            if self._closed or not (self._parked or self._running or self._queue):
                self._chores = None
                self._lag.expect(0.0)
            else:
                self._lag.expect(monotonic() + self._chore_interval)
                self._chores = self._hub.call_later(self._chore_interval, self._hub.lend, self._do_chores)

    def _expire(self, conn: Parked) -> None:
        """Ends what a parked connection waits for, if it is still late when it comes to that."""
        turn = self._turn
        turn.now = now = monotonic()
        if self._parked.get(conn.fd) is conn and conn.overdue(now):
            del self._parked[conn.fd]
            self._settle_last(conn, conn.expire(turn))

    def _settle_last(self, conn: Parked, verdict: Verdict) -> None:
        """Settles one that was to go; what has come in after all is to be run, whether RUN or STREAM."""
        self._settle(conn, RUN if verdict is STREAM else verdict)

    def _kill(self, worker: Any, conn: Parked) -> None:
        """Ends a call that was answered in its place."""
        if self._running.get(worker) is conn:
            worker.throw(RequestTimeout("the deadline of the request has passed"))

    # In a greenlet

    def _work(self, conn: Parked, verdict: Verdict) -> object:
        """The life of a worker."""
        me = greenlet.getcurrent()
        hub, turn, pool, running = self._hub, self._turn, self._pool, self._running
        parked, batch, rest = self._parked, hub.batch, hub.switch
        held, hold_until = self._held, 0.0
        sending = verdict is SEND
        while True:
            self._at = conn
            try:
                if verdict is AGAIN:
                    verdict = conn.advance(turn)
                elif verdict is SEND:
                    verdict = conn.send(turn)
                else:
                    verdict = self._instead_of_a_call(conn, turn.now) or RUN
                if verdict is RUN or verdict is STREAM:
                    if len(running) - (me in running) < self._limit:
                        verdict = self._run(conn, verdict)
                        if verdict is not SEND:
                            conn.since = turn.now
                    else:
                        verdict = RUN
            except (greenlet.GreenletExit, RequestTimeout):
                verdict = CLOSE
            except Exception:
                verdict = _fault()
            if me is hub.main:
                leave_forked_child()
            if self._leader is not me:  # it has waited
                self._go_on(me, conn, verdict)
            elif verdict is SEND:
                if not held:
                    hold_until = monotonic() + HOLD
                held.append(conn)
            elif verdict is not WANT_READ:
                self._follow(conn, verdict)
            # Whoever has waited was not resumed by _serve(), which would see that it waits again.
            found = None
            while batch and self._leader is me:
                if held and (sending or monotonic() >= hold_until):
                    break  # before anybody else is served
                fd, events = batch.popleft()
                found = parked.get(fd)
                if found is None:
                    batch.appendleft((fd, events))  # the hub knows whose it is
                    break
                if events == READY or _matters(found, events):
                    break
                found = None
            if found is not None:
                if sending:
                    sending, turn.now = False, hub.now
                conn, verdict = found, AGAIN
                continue
            if held and self._leader is me:
                if not sending:
                    sending, turn.now = True, monotonic()
                conn, verdict = held.popleft(), SEND
                continue
            if len(pool) >= POOLED:
                return DONE
            del conn  # an idle worker keeps no connection, which has what its client sent
            self._at = None
            pool.append(me)
            conn, verdict = rest(DONE)
            sending = verdict is SEND

    def _run(self, conn: Parked, verdict: Verdict) -> Verdict:
        """Runs a connection, or sends (SEND); by the frames of this, others find whose call has the hub."""
        try:
            return conn.send(self._turn) if verdict is SEND else conn.run(self._turn)
        except (greenlet.GreenletExit, RequestTimeout):
            return CLOSE
        except Exception:
            return _fault()

    def _go_on(self, me: Any, conn: Parked, verdict: Verdict) -> None:
        """In a worker that has waited: settles its connection, and runs those that have queued meanwhile."""
        running, turn = self._running, self._turn
        while True:
            turn.now = monotonic()
            if verdict is SEND:
                verdict = self._run(conn, SEND)
            else:
                conn.since = turn.now
            del running[me]
            self._settle(conn, verdict)
            if not self._queue or len(running) >= self._limit:
                return
            queued = self._next_queued(turn.now)
            if queued is None:
                return
            conn = running[me] = queued
            verdict = self._run(conn, RUN)

    def _next_queued(self, now: float) -> Parked | None:
        """The next request that is still worth a call; those before it are refused."""
        while self._queue:
            conn = self._queue.popleft()
            instead = self._instead_of_a_call(conn, now)
            if instead is None:
                return conn
            self._settle(conn, instead)
        return None

    def _instead_of_a_call(self, conn: Parked, now: float) -> Verdict | None:
        """What becomes of a request that has queued too long, or whose client has left; else None."""
        waited = now - conn.since
        if waited > self._patience_for(conn, now):
            return conn.refuse(self._turn, "too busy; try again")
        instead = conn.forgo(self._turn)
        if instead is None:
            self._turn.counters.waits.note(waited)
        return instead

    def _patience_for(self, conn: Parked, now: float) -> float:
        return self._queueing.timeout if conn.has_begun else self._queueing.limit(now)

    def _settle(self, conn: Parked, verdict: Verdict) -> None:
        """Gives a connection back to the hub."""
        fd = conn.fd
        if verdict is CLOSE or self._closed:
            self._close(conn)
            return
        if verdict is RUN:
            self._enqueue(conn)
            return
        self._parked[fd] = conn
        events = self._missed.pop(fd, None)
        if verdict is AGAIN or verdict is STREAM or events is not None:
            # Not here: others have waited longer.
            self._hub.call_soon(self._again, fd, events or 0)


def _elsewhere() -> Callable[..., object] | None:
    """Where who logs here may wait for the handlers, if not here: a hub's own greenlet waits for nothing."""
    hub = green.current_hub()
    return hub.lend if hub is not None and greenlet.getcurrent() is hub.greenlet else None


def _matters(conn: Parked, events: int) -> bool:
    """Tells a parked connection of its end; whether what an event tells beside may be worth a look."""
    if events > READY:
        conn.hung_up()
    # Else it is new, and its request still on its way.
    return events != green.WRITE or not conn.awaits_octets


def _fault() -> Verdict:
    """The server has failed, not the application."""
    logger.critical("serving a connection failed; it is closed", exc_info=True)
    return CLOSE


def _request_of(frame: FrameType) -> str | None:
    """The request that a frame of the hub's thread works for, if it is one."""
    at: FrameType | None = frame
    while at is not None:
        if at.f_code is GreenBackend._run.__code__:
            conn: Parked = at.f_locals["conn"]
            return conn.describe()
        at = at.f_back
    return None


def _report_held(held: green.Held) -> None:
    """By a thread of its own, while the hub is held."""
    logger.warning(
        "%s has kept the hub for %.0f ms, and all others wait; this place is reported once:\n%s",
        held.doing or "something that is no request",
        held.seconds * 1000,
        held.stack.rstrip(),
    )
