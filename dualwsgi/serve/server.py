"""The server: bind, serve, drain, stop.  Any thread may start and stop it; several fit in a process.

    with Server(app, Config(bind=("127.0.0.1:0",))) as server:
        print(server.addresses)

Stopping loses nothing that can be kept.  Connections are accepted no more; requests in flight are
finished; a connection that is waiting for its next request may send one more, which is answered
with Connection: close, and is closed when it has been silent for a moment.  What has not ended when
the grace time is over is cut.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from ..config import AUTO, ClockMode, Config
from ..counters import Counters
from ..errors import ConfigError
from ..gateway.connection import Connection
from ..gateway.interruptible import Interruptible
from ..gateway.site import AccessLog, Application, Site
from ..gateway.timed import TimedConnection
from ..native import start_native
from ..seam import Backend, Door, Share, Stream, Turn, View
from .census import Census
from .ending import END_MARGIN, EXIT_FORCED, end_in_time
from .errorlog import tell
from .health import Health
from .hooks import find_hook, request_hooks, start_worker, stop_worker
from .listener import Listener, open_listener
from .observe.clock import PhaseClock
from .observe.watchers import Watchers
from .signals import SignalQueue
from .systemd import Watchdog, notify

if TYPE_CHECKING:
    from .certificates import Certificates

logger = logging.getLogger("dualwsgi")

DRAIN_WINDOW: Final = 0.5
"""Seconds of silence after which a connection that waits for a request is closed when the server stops."""

NAMED_MOST: Final = 5
"""Requests that are named in the log when they are cut off."""

# A hang-up stops it gently, too: to be left behind by a terminal is no reason to drop requests.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


class _SiteDoor:
    """A listener's door as one lane or hub uses it: a Site of its own behind a shared socket."""

    def __init__(
        self,
        listener: Listener,
        site: Site,
        certificates: Certificates | None,
        census: Census | None,
        share: Share | None,
        log: AccessLog | None,
    ) -> None:
        self.share = share
        self.sock = listener.sock
        self.peer_environ = listener.peer_environ
        self.flush: Callable[[], object] | None = log.flush if log is not None else None
        self._site = site
        self._certificates = certificates
        self._census = census
        self._connect = TimedConnection if site.config.request_timeout else Connection

    def welcome(self, stream: Stream, turn: Turn) -> Connection:
        if self._certificates is not None:
            stream = self._certificates.lay_over(stream, turn.now)
        conn = self._connect(self._site, stream, turn)
        if self._census is not None:
            self._census.admit(conn)
        return conn

    def tick(self, now: float) -> None:
        self._site.tick(now)

    def drain(self) -> None:
        self._site.drain()


class Server:
    """Serves `app` as `config` says; keyword arguments are fields of Config, in its place or over it.

    It is one process: what Config says of worker processes is the supervisor's, which starts one of
    these in each.  `listeners`, if given, listen already, and the addresses of `config` are not bound;
    `share` has a say in how many connections it accepts there.

    Raises ConfigError for settings that cannot work; start() raises it for addresses that cannot
    be bound.
    """

    def __init__(
        self,
        app: Application,
        config: Config | None = None,
        *,
        listeners: Sequence[Listener] | None = None,
        share: Share | None = None,
        **settings: Any,
    ) -> None:
        if not callable(app):
            raise TypeError(f"the application must be callable, and {app!r} is not")
        if config is None:
            config = Config(**settings)
        elif settings:
            config = config.replace(**settings)
        self.app = app
        self._watched_app = app
        self.config = config
        self._request_hooks = request_hooks(config)
        self._started_hook = find_hook(config, "worker_started")
        self._stopped_hook = find_hook(config, "worker_stopped")
        self._lock = threading.Lock()
        self._holder = 0  # who starts or stops it just now; a hook of theirs may call stop(), too
        self._listeners: list[Listener] = list(listeners or ())
        self._bound = listeners is not None
        self._share = share
        self._sites: list[Site] = []
        self._clocks: list[PhaseClock] = []
        self.draining = False
        """It was told to stop: not ready for new clients, though it may still serve them."""
        self._backend: Backend | None = None
        self._certificates: Certificates | None = None
        self._watchers = Watchers(self)
        self.supervisor = 0
        """The process that has this one as its worker; 0 for none."""
        self.lineage = ""
        """What this supervisor has in common with those before and after it, by upgrades; "" for none."""
        self.owns_process = False
        """Nothing else is to be done by this process: a signal to stop bounds its life, whatever keeps it."""
        self.started = 0.0
        """When it began to serve, in monotonic seconds; 0.0 before."""
        limit = config.limit_per_address
        self._census = Census(limit) if limit else None
        self._stop_wanted = False
        self._bell: SignalQueue | None = None  # what wakes serve_forever()
        self._signalled = False
        self._signals_to_stop = 0
        self._hurry = False
        self._stopped = False

    # Starting

    def start(self) -> Server:
        """Binds and begins to serve; returns at once.  Raises ConfigError."""
        self._start(here=False)
        return self

    def start_here(self) -> Server:
        """start(), by a thread that has nothing else to do than to wait by `backend.wait_readable`."""
        self._start(here=True)
        return self

    def _start(self, *, here: bool) -> None:
        with self._holding():
            if self._backend is not None:
                raise RuntimeError("the server was started before; make a new one")
            try:
                if self.config.speaks_tls:
                    from .certificates import Certificates  # late: importing ssl takes a while

                    self._certificates = Certificates(self.config)
                for address in () if self._bound else self.config.addresses:
                    self._listeners.append(open_listener(address, self.config))
                for listener in self._listeners:
                    listener.secure = self.config.speaks_tls
                if self.config.late_calls == "interrupt":
                    self._watched_app = Interruptible(self._watched_app)
                if self._request_hooks is not None:
                    self._watched_app = self._request_hooks.wrap(self._watched_app)
                self._watched_app = self._watchers.watch(self._watched_app)
                self._backend = _make_backend(self.config, self._on_blind)
                # In a program that is more than this server others may watch only if it says so.
                if here or self.config.control_socket != AUTO:
                    self._watchers.open_control()
                self._watchers.open_figures()  # those of a fleet are found by its control sockets
                if self._started_hook is not None:
                    start_worker(self._started_hook, self)
                    if self._stopped:
                        raise ConfigError(
                            "worker_started: it has called stop(); to refuse to serve, raise an error"
                        )
                self._backend.start(self._make_doors, here=here)
            except BaseException:
                backend, self._backend = self._backend, None
                self._stopped = False
                if backend is not None:
                    backend.close()
                self._release()
                raise
            self.started = monotonic()
            _serving.add(self)

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """The lock, without which nobody starts or stops it."""
        with self._lock:
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = 0

    def _make_doors(self) -> Sequence[Door]:
        health, config = Health(self), self.config
        paths = {config.livez_path: health.live, config.readyz_path: health.ready}
        checks = {path: check for path, check in paths.items() if path}
        hooks = self._request_hooks
        log = hooks.before(self._watchers.log) if hooks is not None else self._watchers.log
        sites = [Site(self._watched_app, config, log, checks) for _ in self._listeners]
        self._sites += sites
        self._clocks += [PhaseClock(site, config.phase_clock, self.backend.gave_way) for site in sites]
        return [
            _SiteDoor(listener, site, self._certificates, self._census, self._share, log)
            for listener, site in zip(self._listeners, sites, strict=True)
        ]

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as URLs: "http://127.0.0.1:8000", "https://[::1]:443", "unix:/run/app.sock"."""
        return [listener.url for listener in self._listeners]

    @property
    def counters(self) -> Counters:
        """What has been done so far."""
        backend = self._backend
        return backend.counters() if backend is not None else Counters()

    @property
    def backend(self) -> Backend:
        """Who waits and who runs.  Raises RuntimeError before the server was started."""
        if self._backend is None:
            raise RuntimeError("the server was not started; call start()")
        return self._backend

    @property
    def last_refusal(self) -> float:
        """When a request was last answered 503 for want of a call, in monotonic seconds; -inf for never."""
        return max((site.refused_at for site in self._sites), default=-inf)

    def reopen_logs(self) -> None:
        """Opens the access log's file anew before anything more is written; from any thread."""
        log = self._watchers.log
        if log is not None:
            log.reopen()
            try:
                start_native(log.write_out)  # at once: whoever moved the file away wants it to be let go
            except RuntimeError:
                pass  # with the next lines, then

    # Being watched, from any thread

    @property
    def control_socket(self) -> str | None:
        """The path of the control socket, if there is one."""
        control = self._watchers.control
        return str(control.path) if control is not None else None

    @property
    def metrics_url(self) -> str | None:
        """Where metrics and health are, if they are anywhere: "http://127.0.0.1:9000"."""
        metrics = self._watchers.metrics
        return metrics.url if metrics is not None else None

    def look(self) -> View | None:
        """What is in hand at this moment; None before the start."""
        backend = self._backend
        return backend.look() if backend is not None else None

    def set_limit(self, calls: int) -> None:
        """From now on so many application calls at once, at least 1."""
        if self._backend is not None:
            self._backend.set_limit(calls)

    @property
    def phase_clock(self) -> ClockMode:
        """Of which requests it is measured where their time goes."""
        return self._clocks[0].mode if self._clocks else self.config.phase_clock

    def set_phase_clock(self, mode: ClockMode) -> None:
        """From now on of these."""
        for clock in self._clocks:
            clock.set_mode(mode)

    def request_stop(self) -> None:
        """Makes serve_forever() stop the server as a signal would; returns at once."""
        self._want_stop()

    # Stopping

    def announce_drain(self) -> None:
        """Fails readiness and ends each connection with its next response; goes on accepting.

        The first step of a stop behind a proxy, which needs time to see that it should send no more.
        From any thread.
        """
        self.draining = True
        for site in self._sites:
            site.drain()

    def stop(
        self,
        grace: float | None = None,
        *,
        window: float = DRAIN_WINDOW,
        meanwhile: Callable[[], float | None] = lambda: None,
    ) -> bool:
        """Stops and waits for it: at most `grace` seconds (default: the configured graceful_timeout).

        A connection that waits for a request is closed when it has been silent for `window` seconds.
        `meanwhile` is called every tenth of a second; what it returns, if not None, is the new window,
        and a negative one ends the grace time.

        Returns whether everything in flight was finished.  Not to be called by the application
        itself, whose own request would have to end first; let a thread do it.
        """
        if self._holder == threading.get_ident():  # a hook of start() or stop(), which must see to the rest
            self._stopped = True
            return True
        self.draining = True
        self._want_stop()
        with self._holding():
            backend = self._backend
            if backend is None or self._stopped:
                return True
            deadline = monotonic() + (self.config.graceful_timeout if grace is None else grace)
            backend.drain()
            for listener in self._listeners:
                listener.close()
            finished = self._wait(backend, deadline, window, meanwhile)
            if not finished:
                why = "stopping at once" if monotonic() < deadline or grace == 0 else "the grace time is over"
                self._tell_unfinished(why, backend.look())
            backend.close()
            if self._stopped_hook is not None:
                stop_worker(self._stopped_hook, self)
            self._release()
            self._stopped = True
            return finished

    @staticmethod
    def _tell_unfinished(why: str, view: View) -> None:
        at_it = [*(call.conn for call in view.calls), *view.queued]
        said = "; ".join(conn.describe() for conn in at_it[:NAMED_MOST])
        if len(at_it) > NAMED_MOST:
            said += f"; and {len(at_it) - NAMED_MOST} more"
        logger.warning(
            "%s; cut off: requests in hand %d%s, other connections %d",
            why,
            len(at_it),
            f" ({said})" if said else "",
            len(view.parked),
        )

    def _on_blind(self, error: OSError) -> None:
        """The backend cannot wait any more, and will serve nobody."""
        why = f"the application has closed a descriptor of the server's own, which can serve no more: {error}"
        if self.owns_process:
            tell(f"dualwsgi: process {os.getpid()} ends: {why}")
            os._exit(EXIT_FORCED)
        if not self._stop_wanted:
            logger.critical("%s; it stops", why)
            self._want_stop()

    def _want_stop(self) -> None:
        self._stop_wanted = True
        self.draining = True
        bell = self._bell
        if bell is not None:
            bell.ring()

    def _wait(
        self, backend: Backend, deadline: float, window: float, meanwhile: Callable[[], float | None]
    ) -> bool:
        """Waits until all is quiet, the deadline, or a second signal."""
        began = monotonic()
        while not self._hurry:
            changed = meanwhile()
            if changed is not None:
                window = changed
            if window < 0:
                break
            now = monotonic()
            if now - began >= window:
                # Again and again: a response may have kept its connection alive just before the drain.
                backend.dismiss(now - window)
            if backend.wait_idle(max(0.0, min(deadline - now, 0.1))):
                return True
            if now >= deadline:
                break
        return False

    def _release(self) -> None:
        self._watchers.close()
        for listener in self._listeners:
            listener.close()

    # Serving until told to stop

    def serve_forever(self, ready: Callable[[], None] | None = None) -> None:
        """Starts if that has not been done, and serves until stop() or a signal; returns when drained.

        In the main thread SIGINT, SIGTERM and SIGHUP stop it, and a second one cuts the grace time
        short; SIGQUIT does so at once; SIGUSR1 reopens the access log.  `ready` is called when that
        is so: who is told earlier could send a signal that kills.
        """
        if self._backend is None:
            self._start(here=True)
        elif not self._stop_wanted:
            self._watchers.open_control()  # now it is known that the process is the server's
        in_main = threading.current_thread() is threading.main_thread()
        self._bell = SignalQueue(SIGNALS if in_main else (), noted=self._on_signal)
        try:
            if ready is not None:
                ready()
            notify("READY=1")
            watchdog = Watchdog(self.backend.poke)
            while not self._stop_wanted:
                watchdog.beat()
                self._listen(watchdog.patience)
            notify("STOPPING=1")
            if self.config.drain_delay and self._signalled:
                self._delay_drain()
            self.stop(meanwhile=self._take_signals)
        finally:
            bell, self._bell = self._bell, None
            bell.close()

    def _delay_drain(self) -> None:
        self.announce_drain()
        deadline = monotonic() + self.config.drain_delay
        while not self._hurry and (left := deadline - monotonic()) > 0:
            self._listen(left)

    def _listen(self, seconds: float | None) -> None:
        """Waits until somebody rings, or so long."""
        assert self._bell is not None
        self.backend.wait_readable(self._bell.fileno(), seconds)
        self._take_signals()

    def _on_signal(self, number: signal.Signals) -> None:
        """In the signal's handler, and so though the loop may stand still."""
        if number == signal.SIGUSR1 or not self.owns_process:
            return
        self._signals_to_stop += 1
        config = self.config
        if number == signal.SIGQUIT or self._signals_to_stop == 2:
            end_in_time(END_MARGIN)
        elif self._signals_to_stop == 1:
            end_in_time(config.drain_delay + config.graceful_timeout + END_MARGIN)

    def _take_signals(self) -> None:
        assert self._bell is not None
        for number in self._bell.take():
            if number == signal.SIGUSR1:
                self.reopen_logs()
                continue
            self._hurry = self._stop_wanted or number == signal.SIGQUIT
            self._signalled = True
            self._stop_wanted = self.draining = True

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


_serving: WeakSet[Server] = WeakSet()


def _leave_listeners() -> None:
    """In a child that the application has forked: it may outlive the server, and hold its port."""
    for server in list(_serving):
        if server.owns_process or not server._bound:  # else they are the program's, who may have plans
            for listener in server._listeners:
                listener.leave()


os.register_at_fork(after_in_child=_leave_listeners)


def _make_backend(config: Config, on_blind: Callable[[OSError], object]) -> Backend:
    shortest = min(
        seconds
        for seconds in (
            config.handshake_timeout,
            config.header_timeout,
            config.keep_alive,
            config.body_timeout,
            config.write_timeout,
            config.linger_timeout,
            config.queue_timeout,
            config.request_timeout,
        )
        if seconds > 0
    )
    limits: dict[str, Any] = {
        "queue_size": config.queue_size,
        # A request whose time is over while it waits for a call was never called, hence 503 and not 504.
        "queue_timeout": min(config.queue_timeout, config.request_timeout or config.queue_timeout),
        "queue_target": config.queue_target,
        "shortest": shortest,
        "on_blind": on_blind,
    }
    # Imported here: on threads nothing may import greenlet.
    if config.backend == "green":
        from ..backends.green import GreenBackend

        return GreenBackend(
            concurrency=config.concurrency, max_blocking_time=config.max_blocking_time, **limits
        )
    from ..backends.threads import ThreadsBackend

    return ThreadsBackend(
        threads=config.threads,
        interrupts=config.late_calls == "interrupt",
        max_lost=config.max_lost_threads,
        **limits,
    )
