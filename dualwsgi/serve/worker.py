"""The life of a process that the supervisor has started: a worker, or the nursery it is forked from.

A worker serves on listeners that the supervisor holds open, until it is told to leave.  Told over
the channel, which it looks at in its main thread: on green that is the hub's own thread, on threads
it has nothing else to do.  Nothing here beats by itself: to the supervisor's `ping` the leader of a
lane or the hub answers when it comes round, so that an idle worker costs nothing, and one that has
stopped coming round is seen.

What the supervisor says: `ping`; `unready` (fail readiness, end connections with their responses);
`drain SECONDS` (accept no more, and leave; a connection that waits for a request may be silent for so
long); `stop` (leave at once); `reopen` (the logs).  What it is told: `loaded`, `ready`, `beat
REQUESTS`, `retire WHY` (replace me), `leaving`, `failed WHY`.

Signals for one worker alone: TERM drains it at once, the others serve on; QUIT and INT end it; USR1
reopens its logs.
"""

from __future__ import annotations

import _socket
import faulthandler
import gc
import os
import pickle
import select
import signal
import sys
from collections.abc import Callable, Iterable
from itertools import count
from random import randint
from typing import Any, Final

from ..config import parse_bind
from ..errors import ConfigError
from .channel import Channel
from .ending import END_MARGIN, end_in_time
from .errorlog import FLEET_FORM, set_up_log, tell
from .handdown import hand_down, hide_arguments
from .job import EXIT_LOAD, Job
from .listener import adopt_listener
from .loader import ApplicationNotLoaded, WSGIApplication, load_app
from .nonblocking import lay_streams
from .server import DRAIN_WINDOW, Server
from .shares import Share
from .signals import SignalQueue

__all__ = ["begin", "load", "prepare", "work"]

DRAINS: Final = signal.SIGTERM
ENDS: Final = (signal.SIGQUIT, signal.SIGINT)
IGNORED: Final = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


def begin(descriptor: int) -> int:
    """Does what the job at the channel says; returns the exit code."""
    os.set_inheritable(descriptor, False)
    channel = Channel(_socket.socket(fileno=descriptor))
    try:
        job: Job = pickle.loads(channel.receive_job())
        prepare(job)
        app = load(channel, job)
        if app is None:
            return EXIT_LOAD
        if job.role == "nursery":
            from .nursery import tend

            return tend(channel, job, app, work)
        return work(channel, job, app)
    except EOFError:
        return EXIT_LOAD  # the supervisor was gone before it had said what to do
    finally:
        channel.close()


def prepare(job: Job) -> None:
    """What must be so before the application is imported."""
    lay_streams()
    # With it a crash, and the SIGABRT that ends a stuck worker, leave a stack behind.
    if sys.stderr is not None:
        faulthandler.enable()
    for descriptor in (job.shares, *(number for _, number in job.listeners)):
        os.set_inheritable(descriptor, False)
    from .identity import set_title

    set_title(job.config.proc_name, job.role, job.config.backend)


def load(channel: Channel, job: Job) -> WSGIApplication | None:
    """The application; None if it cannot be had, which the operator and the supervisor are then told."""
    try:
        hide_arguments()
        hand_down(job.config)
        app = load_app(job.target, job.app_dir)
        set_up_log(job.config, FLEET_FORM)
    except ConfigError as error:
        if isinstance(error, ApplicationNotLoaded):
            tell(error.detail.rstrip("\n"))
        channel.say("failed", error)
        return None
    channel.say("loaded")
    return app


def work(channel: Channel, job: Job, app: WSGIApplication) -> int:
    """Serves until told to leave; returns the exit code."""
    if job.core >= 0 and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, {job.core})
        except OSError as error:
            tell(f"dualwsgi: cannot stay on core {job.core}: {error.strerror}")
    try:
        worker = Worker(channel, job, app)
    except ConfigError as error:
        channel.say("failed", error)
        return EXIT_LOAD
    gc.freeze()  # what is loaded stays: looking through all of it for garbage would stop every request
    worker.own_process()
    return worker.live()


class Counted:
    """An application that says when it has been called often enough."""

    def __init__(self, app: WSGIApplication, limit: int, act: Callable[[], object]) -> None:
        self._app = app
        self._limit = limit
        self._act = act
        self._next = count(1).__next__  # one step, so that no two threads get the same number

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._next() == self._limit:
            self._act()
        return self._app(environ, start_response)


class Worker:
    """One worker process.  Raises ConfigError if it cannot serve."""

    def __init__(self, channel: Channel, job: Job, app: WSGIApplication) -> None:
        self._channel = channel
        self._window: float | None = None  # how the supervisor has told it to leave
        self._leaving = False
        self._at_once = False
        config = job.config
        if config.max_requests:
            limit = config.max_requests + randint(0, config.max_requests_jitter)
            app = Counted(app, limit, lambda: channel.say("retire", f"it has served {limit} requests"))
        listeners = [adopt_listener(parse_bind(text), fd, owned=False) for text, fd in job.listeners]
        self._signals = SignalQueue((DRAINS, *ENDS, signal.SIGUSR1), IGNORED)
        self._share = Share(job.shares, job.slot) if job.slot else None
        self._server = Server(app, config, listeners=listeners, share=self._share)
        self._server.supervisor = channel.peer
        self._server.lineage = job.lineage
        self._server.start_here()

    def own_process(self) -> None:
        """From now on the process is there for this worker alone, and ends with it."""
        self._server.owns_process = True

    def live(self) -> int:
        server, backend = self._server, self._server.backend
        window: float | None = None
        with select.epoll() as either:
            either.register(self._channel.fileno(), select.EPOLLIN)
            either.register(self._signals.fileno(), select.EPOLLIN)
            self._channel.say("ready")
            while not self._leaving:
                backend.wait_readable(either.fileno(), None)
                window = self._look()
        if self._share is not None:
            self._share.leave()
        # Its supervisor would kill it a moment later, but knows less, and may be gone.
        if server.owns_process:
            end_in_time((0.0 if self._at_once else server.config.graceful_timeout) + END_MARGIN)
        if self._at_once:
            server.stop(0.0)
        else:
            server.stop(window=DRAIN_WINDOW if window is None else window, meanwhile=self._look)
        self._signals.close()
        return 0

    def _look(self) -> float | None:
        """Does what it was told since the last look; a new window for a drain that is under way."""
        for number in self._signals.take():
            if number == signal.SIGUSR1:
                self._server.reopen_logs()
            elif number in ENDS:
                self._leave_at_once()
            elif not self._leaving:
                self._leaving = True
                self._channel.say("leaving")
        for word, text, _ in self._channel.lines():
            self._obey(word, text)
        if self._channel.closed and not self._leaving:
            # The supervisor is gone, and with it whoever would replace or stop this process.
            self._leaving = True
        window, self._window = self._window, None
        return -1.0 if self._at_once else window

    def _obey(self, word: str, text: str) -> None:
        match word:
            case "ping":
                requests = self._server.counters.requests
                self._server.backend.poke(lambda: self._channel.say("beat", requests))
            case "unready":
                self._server.announce_drain()
            case "drain":
                self._leaving = True
                self._window = float(text)
            case "stop":
                self._leave_at_once()
            case "reopen":
                self._server.reopen_logs()

    def _leave_at_once(self) -> None:
        self._leaving = self._at_once = True
