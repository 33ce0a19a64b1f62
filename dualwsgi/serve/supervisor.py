"""The supervisor: one process that holds the listeners and keeps a fleet of workers behind them.

It never imports the application and never serves.  Since it holds the listeners, the kernel keeps the
clients of a worker that has died, or is being replaced, until another one accepts them.

    TERM, INT    stop: fail readiness, wait the drain delay, serve the backlog and what is in flight
    QUIT         stop at once; so does a second TERM or INT
    HUP          read the settings and the code anew: new workers, and the old ones leave when those serve
    USR1         reopen the logs
    USR2         start a new supervisor, of the program that is installed now; leave when it serves
    TTIN, TTOU   one worker more, one less

`reload`, `drain`, `set_workers` and `status` do the same for other threads of this process.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import signal
import time
from collections.abc import Callable, Sequence
from itertools import count
from math import inf
from time import monotonic
from typing import Any, Final

from ..config import BackendName, Config, knobs
from ..errors import ConfigError
from .channel import Channel
from .errorlog import FLEET_FORM, set_up_log
from .fleet import Fleet, Generation
from .identity import Identity, PidFile, find_identity, set_title
from .listener import Listener, open_listener
from .nonblocking import open_for_log
from .observe.snapshot import identity_of
from .reloading import FileWatch
from .server import DRAIN_WINDOW
from .signals import SignalQueue
from .systemd import Watchdog, notify
from .upgrade import Upgrade, inherit

__all__ = ["Supervisor"]

logger = logging.getLogger("dualwsgi")

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
SIGNALS: Final = (
    *STOPS,
    *(signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD),
)

PAUSE: Final = 0.5
"""Seconds of rest after a fault, which may come again."""

OVERSLEPT: Final = 1.0
"""Seconds by which the loop may be late before it trusts no deadline of others that has passed."""


class Supervisor:
    """Serves the application that `target` names, as dualwsgi.serve.loader reads it, by worker processes.

    `reread` makes the settings anew for a reload (default: they stay); it may raise ConfigError, and
    the reload is not done then.
    """

    def __init__(
        self,
        target: str,
        config: Config | None = None,
        *,
        app_dir: str = ".",
        reread: Callable[[], Config] | None = None,
        **settings: Any,
    ) -> None:
        self.target = target
        self.config = (config or Config()).replace(**settings)
        self._reread = reread if reread is not None else lambda: self.config
        self._app_dir = app_dir
        self._fleet = Fleet(target, app_dir)
        self._listeners: list[tuple[str, Listener]] = []
        self._retired: list[Listener] = []  # of an older generation, until the new one is complete
        self._number = 0
        self._numbers = count(1)  # that of a generation which was given up does not come again
        self._signals: SignalQueue | None = None
        self._drain_at = inf
        self._reload_again = False
        self._before: tuple[int, Config, list[tuple[str, Listener]]] | None = None
        self._announce: Callable[[], None] | None = None
        self._announced = False
        self._pid_file: PidFile | None = None
        self._upgrade: Upgrade | None = None
        self._watch: FileWatch | None = None
        self._watched: tuple[str, ...] | None = None  # besides the code; None where nothing is watched
        # It is this loop that sees to workers that are stuck, so it is this loop that must turn.
        self._watchdog = Watchdog(_at_once)
        self.draining = False

    # Living

    def run(self, ready: Callable[[], None] | None = None) -> int:
        """Serves until it is told to stop; returns the exit code.  For the main thread.

        `ready` is called once every worker serves.  Raises ConfigError if the first cannot begin.
        """
        self._announce = ready
        config = self.config
        set_up_log(config, FLEET_FORM)
        set_title(config.proc_name, "supervisor")
        elder, inherited, lineage = inherit()
        self._fleet.lineage = lineage or identity_of(os.getpid())
        if config.pidfile:
            self._pid_file = PidFile(config.pidfile)
        self._signals = SignalQueue(SIGNALS)
        try:
            self._watch_files(config)
            self._begin(config, find_identity(config), inherited)
            while self._fleet.processes or not self._fleet.stopping or self._upgrade is not None:
                try:
                    self._turn()
                except Exception:
                    # A fault of this program.  The workers serve on, and somebody has to mind them.
                    logger.critical("the supervisor failed; it goes on", exc_info=True)
                    time.sleep(PAUSE)
                if self._fleet.complete and not self._announced:
                    self._tell_the_world(elder)
            if self._fleet.failure and not self._announced:
                raise ConfigError(self._fleet.failure)
            return 0
        finally:
            if self._watch is not None:
                self._watch.close()
            for process in self._fleet.processes.values():
                process.signal(signal.SIGKILL)
            for listener in [*(listener for _, listener in self._listeners), *self._retired]:
                listener.close()
            self._signals.close()
            self._signals = None
            self._fleet.shares.close()
            if self._pid_file is not None:
                self._pid_file.remove()

    def _turn(self) -> None:
        """Waits for something to happen, and sees to it."""
        signals, fleet = self._signals, self._fleet
        assert signals is not None
        patience = min(fleet.tend(), max(0.0, self._drain_at - monotonic()), self._watchdog.patience or inf)
        self._watchdog.beat()
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        listening = {p.channel.fileno(): p for p in fleet.processes.values() if not p.channel.closed}
        if self._upgrade is not None:
            poll.register(self._upgrade.channel, select.POLLIN)
        for fd in listening:
            poll.register(fd, select.POLLIN)
        before = monotonic()
        events = poll.poll(None if patience == inf else patience * 1000 + 1)
        if monotonic() - before > patience + OVERSLEPT:
            fleet.forgive()
        for fd, _ in events:
            if fd in listening:
                fleet.hear(listening[fd])
        for number in signals.take():
            self._on_signal(number)
        fleet.reap()
        if os.getpid() == 1:
            _reap_strangers({process.pid for process in fleet.processes.values()})
        assert fleet.generation is not None
        if self._before is not None and fleet.generation.number != self._number:
            self._go_back(*self._before)
        if self._upgrade is not None:
            self._look_at_upgrade(self._upgrade)
        if monotonic() >= self._drain_at:
            self._drain_all()
        if fleet.stopping and not self.draining:
            self._drain_all()  # the first generation could not begin
        if fleet.complete:
            self._settle()
        if self._reload_again and fleet.generation.proven:
            self._reload_again = False
            self._reload()

    def _tell_the_world(self, elder: Channel | None) -> None:
        """Every worker of the first generation serves."""
        self._announced = True
        if self._pid_file is not None:
            self._pid_file.write()
        if self._announce is not None:
            self._announce()
        notify("READY=1")
        if elder is not None:
            elder.say("ready")
            elder.close()

    def _settle(self) -> None:
        """A generation is complete: what only an older one listened at is closed."""
        for listener in self._retired:
            listener.close()
        self._retired.clear()
        self._before = None

    # Generations

    def _begin(self, config: Config, identity: Identity, inherited: Sequence[tuple[str, Listener]]) -> None:
        """Begins a generation.  Raises ConfigError, and has changed nothing then."""
        _require_portable(config)
        at_hand = [*inherited, *self._listeners]
        listeners: list[tuple[str, Listener]] = []
        opened: list[Listener] = []
        try:
            for text, address in zip(config.bind, config.addresses, strict=True):
                # One whose file was removed is opened anew: nobody can reach it.
                known = next((pair for pair in at_hand if pair[0] == text and not pair[1].lost), None)
                if known is not None:
                    at_hand.remove(known)
                    listeners.append(known)
                else:
                    opened.append(open_listener(address, config))
                    listeners.append((text, opened[-1]))
            _prepare_log(config, identity)
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        self._before = (self._number, self.config, self._listeners) if self._number else None
        self._retired += [listener for _, listener in at_hand]
        self._listeners = listeners
        for _, listener in listeners:
            listener.secure = config.speaks_tls
        self.config = config
        self._number = next(self._numbers)
        descriptors = tuple((text, listener.sock.fileno()) for text, listener in listeners)
        self._fleet.begin(Generation(self._number, config, descriptors, identity))

    def _go_back(self, number: int, config: Config, listeners: list[tuple[str, Listener]]) -> None:
        """The new generation was given up, and the one before it goes on."""
        kept = [listener for _, listener in listeners]
        self._retired = [
            listener
            for listener in [*self._retired, *(listener for _, listener in self._listeners)]
            if listener not in kept
        ]
        self._number, self.config, self._listeners, self._before = number, config, listeners, None
        self._watch_files_again(config)

    def _reload(self) -> None:
        fleet = self._fleet
        if fleet.stopping:
            return
        if fleet.generation is not None and not fleet.generation.proven:
            self._reload_again = True  # its canary is on its way; the last word counts
            return
        logger.info("reloading: settings and code are read anew")
        try:
            config = self._reread()
            self._watch_files(config)
            self._begin(config, find_identity(config), ())
        except ConfigError as error:
            logger.error("the reload is not done, and nothing has changed: %s", error)
            self._watch_files_again(self.config)
        else:
            logging.getLogger("dualwsgi").setLevel(config.log_level.upper())

    def _watch_files(self, config: Config) -> None:
        """Watches what these settings have watched, and nothing else.  Raises ConfigError."""
        wanted = config.reload_extra_files if config.reload else None
        if wanted == self._watched:
            return
        fresh = FileWatch(self._app_dir, wanted, self._on_change) if wanted is not None else None
        if self._watch is not None:
            self._watch.close()
        self._watch, self._watched = fresh, wanted

    def _watch_files_again(self, config: Config) -> None:
        """Watches what it had watched by these settings, which still hold."""
        try:
            self._watch_files(config)
        except ConfigError as error:
            logger.error("files are watched by the settings that were not taken: %s", error)

    def _on_change(self, paths: list[str]) -> None:
        """Files have changed, says a thread."""
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        try:
            path = os.path.relpath(paths[0])
        except OSError:  # the working directory is gone, as by a change of branch
            path = paths[0]
        logger.info("%s%s has changed", path, others)
        signals = self._signals  # None in the moment of the end
        if signals is not None:
            signals.post(self._reload)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as URLs."""
        return [listener.url for _, listener in self._listeners]

    # Signals

    def _on_signal(self, number: signal.Signals) -> None:
        if self._upgrade is not None and number in (*STOPS, signal.SIGQUIT):
            # Whoever stops the server does not want another in its place.
            self._upgrade.stop(number)
        match number:
            case signal.SIGTERM | signal.SIGINT:
                if self.draining:
                    self._stop_at_once()
                else:
                    logger.info("%s: stopping", number.name)
                    self._begin_drain(self.config.drain_delay)
            case signal.SIGQUIT:
                self._stop_at_once()
            case signal.SIGHUP:
                self._reload()
            case signal.SIGUSR1:
                for worker in self._fleet.workers:
                    worker.channel.say("reopen")
            case signal.SIGUSR2:
                self._begin_upgrade()
            case signal.SIGTTIN:
                self._resize(self._fleet.count() + 1, None)
            case signal.SIGTTOU:
                self._resize(self._fleet.count() - 1, None)

    def _resize(self, number: int, backend: BackendName | None) -> None:
        if self._fleet.stopping:
            return
        before = self._fleet.size
        self._fleet.resize(number, backend)
        if self._fleet.size != before:
            logger.info("%d workers from now on", self._fleet.size)

    # Stopping

    def _begin_drain(self, delay: float) -> None:
        notify("STOPPING=1")
        self.draining = True
        if delay:
            self._fleet.fail_readiness()
        self._drain_at = monotonic() + delay

    def _drain_all(self) -> None:
        self.draining = True
        self._drain_at = inf
        self._fleet.stopping = True
        # Ours first: what comes after the workers' last look is then refused, and not kept waiting.
        for listener in [*(listener for _, listener in self._listeners), *self._retired]:
            listener.close()
        for worker in self._fleet.workers:
            if not worker.leaving:
                self._fleet.let_go(worker, DRAIN_WINDOW)
            else:
                worker.channel.say("drain", DRAIN_WINDOW)

    def _stop_at_once(self) -> None:
        self._drain_all()
        self._fleet.stop_at_once()

    # A new program

    def _begin_upgrade(self) -> None:
        if self._upgrade is not None or self.draining:
            logger.warning("an upgrade or a stop is under way already")
            return
        try:
            self._upgrade = Upgrade(self._listeners, self._fleet.lineage)
        except OSError as error:
            logger.error("the new program cannot be started, and nothing has changed: %s", error)
            return
        logger.info("upgrading: process %d is the new supervisor", self._upgrade.pid)

    def _look_at_upgrade(self, upgrade: Upgrade) -> None:
        outcome = upgrade.outcome()
        if outcome is None:
            return
        self._upgrade = None
        if self.draining:
            return  # both were told to stop
        if outcome:
            logger.error("the upgrade has failed, and nothing has changed: the new supervisor %s", outcome)
            return
        logger.info("process %d has taken over; leaving", upgrade.pid)
        notify(f"MAINPID={upgrade.pid}")  # from us, since systemd may not listen to others
        for _, listener in self._listeners:
            listener.disown()
        self._drain_all()

    # For other threads

    def reload(self) -> None:
        """Has settings and code read anew, as HUP does.  Returns at once."""
        self._post(self._reload)

    def drain(self) -> None:
        """Stops it, as TERM does.  Returns at once."""
        self._post(lambda: self._on_signal(signal.SIGTERM) if not self.draining else None)

    def set_workers(self, number: int, backend: BackendName | None = None) -> None:
        """Has so many workers; in a mixed fleet on `backend` (default: its first).  Returns at once.

        Raises ValueError for a number below 1.
        """
        if number < 1:
            raise ValueError("there must be a worker; give 1 or more")
        self._post(lambda: self._resize(number, backend))

    def _post(self, act: Callable[[], None]) -> None:
        signals = self._signals
        if signals is None:
            raise RuntimeError("the supervisor does not run")
        signals.post(act)

    def status(self) -> dict[str, Any]:
        """What is going on: the supervisor and its workers, in plain values."""
        now = monotonic()
        return {
            "pid": os.getpid(),
            "target": self.target,
            "addresses": self.addresses,
            "generation": self._number,
            "draining": self.draining,
            "complete": self._fleet.complete,
            "settled": self._fleet.settled,
            "wanted": self._fleet.size,
            "workers": [
                {
                    "pid": worker.pid,
                    "place": worker.place,
                    "backend": worker.backend,
                    "generation": worker.generation,
                    "state": "leaving"
                    if worker.leaving
                    else "starting"
                    if not worker.ready
                    else "retiring"
                    if worker.retiring
                    else "ready",
                    "age": now - worker.born,
                    "requests": worker.requests,
                    "rss": worker.rss(),
                    "silent": now - worker.asked if worker.asked else 0.0,
                }
                for worker in sorted(self._fleet.workers, key=lambda worker: (worker.place, worker.ticket))
            ],
        }


def _at_once(act: Callable[[], object]) -> None:
    act()


def _reap_strangers(ours: set[int]) -> None:
    """The first process of a container inherits every orphan, and has to take note of its end."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in ours:
            return  # ours is looked at in the next turn, and the next after it
        os.waitpid(found.si_pid, 0)


def _require_portable(config: Config) -> None:
    """What cannot be told to another process cannot be a setting here.  Raises ConfigError."""
    for name in knobs():
        try:
            pickle.dumps(getattr(config, name))
        except (pickle.PicklingError, AttributeError, TypeError):
            raise ConfigError(
                f"{name}: {getattr(config, name)!r} cannot be handed to worker processes; give it as a text, "
                "or a function at the top of a module"
            ) from None


def _prepare_log(config: Config, identity: Identity) -> None:
    """Makes the files of the logs, where workers that run as somebody else may not."""
    if identity.uid is None or identity.gid is None:
        return
    for name, path in (("access_log", config.access_log), ("error_logfile", config.error_logfile)):
        if path is None or path == "-" or path.startswith("syslog:"):
            continue
        try:
            os.close(open_for_log(path))
            os.chown(path, identity.uid, identity.gid)
        except OSError as error:
            raise ConfigError(f"{name}: cannot write {path!r}: {error.strerror}; give another") from None
