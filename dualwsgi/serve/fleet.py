"""The fleet: which workers there should be, which there are, and how the one becomes the other.

A place is a number with a backend; each is to have one worker of the present generation.  A
generation is one reading of the settings and of the application's code: a reload begins a new one.

    starting -> ready -> (retiring) -> leaving -> dead

A worker is never told to leave because another is on its way, only because the other is there.  So a
reload, a recycling and a change of size all come down to the same two rules: a place without a
worker that is to stay gets one, and a worker that is ready sends home all others of its place.  While
it is retiring a worker serves as before.

The first worker of a generation is its canary: until one has been ready, no other is started, and if
none gets there, the generation is given up and the one before it goes on as if nothing had happened.

The fleet is driven by its owner, who calls `tend` whenever time has passed or something was said.
It holds no listeners and takes no signals.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
from dataclasses import dataclass, field
from itertools import count
from math import inf
from random import random
from time import monotonic
from typing import Final, Literal

from ..config import BackendName, Config, available_cores
from .identity import Identity
from .job import Job
from .process import Process, fork_from, spawn, why_it_died
from .server import DRAIN_WINDOW
from .shares import Shares
from .watching import ABORT_MARGIN, ask_interval, watch, why_replace

__all__ = ["Fleet", "Generation"]

logger = logging.getLogger("dualwsgi")

REPLACED_WINDOW: Final = 5.0
"""Seconds for which a connection may be idle at a worker that was replaced: nobody is in a hurry."""

MOST_LEAVING: Final = 2
"""Workers of one place that may take their time to leave; older ones are hurried."""

KILL_MARGIN: Final = 5.0
"""Seconds beyond the grace time after which a worker that has not left is killed."""

STEADY: Final = 10.0
"""A worker that has lived this long (seconds) was no failure of its start."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds before a place gets a new worker, after the second failure in a row and at most."""

NEVER: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOEXEC})
"""Why a program cannot be started now, nor later: the user may not read it, or it is not there."""

CURES: Final = {
    errno.EAGAIN: " (the limit of processes: see ulimit -u, TasksMax= of the unit, pids.max)",
    errno.EMFILE: " (the limit of open files: see ulimit -n, LimitNOFILE= of the unit)",
    errno.ENOMEM: " (the system, or its cgroup, has no memory left)",
}

LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at age and memory."""


@dataclass(eq=False)
class Generation:
    """One reading of settings and code.  `listeners` are pairs of an address and a descriptor."""

    number: int
    config: Config
    listeners: tuple[tuple[str, int], ...]
    identity: Identity
    proven: bool = False  # one of its workers has been ready
    nurseries: dict[str, Process] = field(default_factory=dict)


@dataclass
class Place:
    number: int
    backend: BackendName
    failures: int = 0
    not_before: float = 0.0


class Fleet:
    """See above.  `target` and `app_dir` name the application."""

    def __init__(self, target: str, app_dir: str) -> None:
        self.lineage = ""
        """See Job; to be set before there are any."""
        self._target = target
        self._app_dir = app_dir
        self.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.processes: dict[int, Process] = {}
        self.shares = Shares()
        self.generation: Generation | None = None
        self._previous: Generation | None = None
        self.failure = ""
        """Why the last generation was given up."""
        self.stopping = False
        self.unready = False
        self._plan: dict[BackendName, int] = {}
        self._places: list[Place] = []
        self._tickets = count(1)
        self._next_look = 0.0

    # What there should be

    def begin(self, generation: Generation) -> None:
        """Replaces the present generation, once the new one has shown that it works."""
        for process in list(self.processes.values()):
            if not process.ready and process.role == "worker":
                self._drop(process)  # of a generation that is already out of date
        if self.generation is not None and self.generation.proven:
            self._previous = self.generation
        self.generation = generation
        self.failure = ""
        self._arrange(generation.config.fleet(available_cores()))

    def _arrange(self, plan: dict[BackendName, int]) -> None:
        """Keeps as many places as it can: who has one of those need not move."""
        self._plan = plan
        kept = []
        for backend, number in plan.items():
            kept += [place for place in self._places if place.backend == backend][:number]
        free = (number for number in count() if number not in {place.number for place in kept})
        for backend, number in plan.items():
            missing = number - sum(place.backend == backend for place in kept)
            kept += [Place(next(free), backend) for _ in range(missing)]
        self._places = sorted(kept, key=lambda place: place.number)

    @property
    def size(self) -> int:
        return len(self._places)

    def resize(self, number: int, backend: BackendName | None = None) -> None:
        """Has so many workers, on one backend of a mixed fleet (default: its first)."""
        plan = dict(self._plan)
        which = backend if backend is not None else next(iter(plan))
        plan[which] = number
        if sum(plan.values()) >= 1 and min(plan.values()) >= 0:
            self._arrange(plan)

    def count(self, backend: BackendName | None = None) -> int:
        return self._plan.get(backend, 0) if backend is not None else next(iter(self._plan.values()), 0)

    # What there is

    @property
    def workers(self) -> list[Process]:
        return [process for process in list(self.processes.values()) if process.role == "worker"]

    def _staying(self) -> list[Process]:
        return [worker for worker in self.workers if not worker.leaving]

    @property
    def complete(self) -> bool:
        """Every place has a worker of the present generation that serves."""
        generation = self.generation
        if generation is None:
            return False
        served = {w.place for w in self._staying() if w.ready and w.generation == generation.number}
        return served >= {place.number for place in self._places}

    @property
    def settled(self) -> bool:
        """It is complete, and nobody else is there who is to leave."""
        return self.complete and len(self.workers) == len(self._places)

    # From the one to the other

    def tend(self) -> float:
        """Starts, retires, asks and kills, as far as it is time to; seconds until there may be more to do."""
        now = monotonic()
        due = [inf]
        if not self.stopping:
            due.append(self._look_at_age_and_memory(now))
            due += [self._fill(place, now) for place in self._places]
            self._send_home()
        self._close_nurseries()
        for process in list(self.processes.values()):
            due.append(watch(process, self._config_of(process), now))
        return max(0.0, min(due) - now)

    def _fill(self, place: Place, now: float) -> float:
        """Gives a place its worker; when to look again."""
        generation = self.generation
        assert generation is not None
        mine = [
            worker
            for worker in self._staying()
            if worker.place == place.number
            and worker.generation == generation.number
            and worker.backend == place.backend
            and not worker.retiring
        ]
        if mine:
            return inf
        if now < place.not_before:
            return place.not_before
        others = [w for w in self.processes.values() if w.generation == generation.number and not w.leaving]
        if not generation.proven and any(not process.ready for process in others):
            return inf  # the canary is on its way
        try:
            self._staff(place, generation)
        except OSError as error:
            if error.errno in NEVER and not generation.proven:
                self._give_up("a worker", f"cannot be started{_as_whom(generation)}: {error}")
                return now
            # No processes or memory to be had now; it is not for a supervisor to die of that.
            cure = CURES.get(error.errno or 0, "")
            logger.error("cannot start a worker: %s%s; trying again", error, cure)
            self._pause(place, now)
            return place.not_before + FIRST_PAUSE
        return inf

    def _staff(self, place: Place, generation: Generation) -> None:
        """Starts a place's worker, or what it comes from.  Raises OSError."""
        config = generation.config.replace(backend=place.backend)
        core = self.cores[place.number % len(self.cores)] if config.pin and self.cores else -1
        if config.preload:
            nursery = generation.nurseries.get(place.backend)
            if nursery is None:
                job = self._job("nursery", config, generation, -1, -1, 0)
                generation.nurseries[place.backend] = self._start(job, generation)
            elif nursery.ready:
                slot = self.shares.take()
                self._enter(fork_from(nursery, next(self._tickets), place.number, core, slot), config)
            return
        self._start(
            self._job("worker", config, generation, place.number, core, self.shares.take()), generation
        )

    def _job(
        self,
        role: Literal["worker", "nursery"],
        config: Config,
        generation: Generation,
        place: int,
        core: int,
        slot: int,
    ) -> Job:
        shares = self.shares.fileno()
        app = self._target, self._app_dir
        return Job(role, *app, config, generation.listeners, shares, place, core, slot, self.lineage)

    def _start(self, job: Job, generation: Generation) -> Process:
        try:
            process = spawn(job, next(self._tickets), generation.number, generation.identity)
        except OSError:
            self.shares.free(job.slot)
            raise
        return self._enter(process, job.config)

    def _enter(self, process: Process, config: Config) -> Process:
        self.processes[process.ticket] = process
        if config.max_worker_lifetime:
            # Workers that were born together need not all be replaced together.
            process.lifetime = config.max_worker_lifetime * (1 - random() / 10)
        return process

    def _send_home(self) -> None:
        """Has those leave in whose place another serves now, and those that have no place any more."""
        generation = self.generation
        assert generation is not None
        staying = self._staying()
        serving = {
            worker.place: worker
            for worker in staying
            if worker.ready and worker.generation == generation.number and not worker.retiring
        }
        complete = self.complete
        # Who has changed the code wants to see it, also over a connection that the browser has kept.
        window = DRAIN_WINDOW if generation.config.reload else REPLACED_WINDOW
        numbers = {place.number for place in self._places}
        for worker in staying:
            if worker.place not in numbers:
                # Those of an older generation may be all who serve until the new one is complete.
                if complete or worker.generation == generation.number:
                    self.let_go(worker, window)
            elif worker.ready and serving.get(worker.place, worker) is not worker:
                self.let_go(worker, window)
        if complete:
            self._previous = None

    def let_go(self, worker: Process, window: float) -> None:
        """Tells a worker to leave; `window` in seconds, as in Server.stop."""
        if not worker.ready:
            self._drop(worker)
            return
        worker.leaving = True
        worker.channel.say("drain", window)
        self._limit_leaving(worker)
        worker.kill_at = monotonic() + self._config_of(worker).graceful_timeout + KILL_MARGIN

    def _limit_leaving(self, worker: Process) -> None:
        leaving = [w for w in self.workers if w.leaving and w.place == worker.place]
        for slow in sorted(leaving, key=lambda w: w.born)[:-MOST_LEAVING]:
            slow.channel.say("drain", DRAIN_WINDOW)

    def _drop(self, worker: Process) -> None:
        """Ends one that does not serve yet; if it has just begun to, it takes it for a drain."""
        worker.leaving = True
        if worker.pid:
            worker.signal(signal.SIGTERM)
        worker.kill_at = monotonic() + self._config_of(worker).graceful_timeout + KILL_MARGIN

    def fail_readiness(self) -> None:
        """Has the workers serve on, but not as ready, and end each connection with its next response."""
        self.unready = True
        for worker in self.workers:
            worker.channel.say("unready")

    def stop_at_once(self) -> None:
        """Ends everything now."""
        for process in self.processes.values():
            process.leaving = True
            process.channel.say("stop")
            if not process.ready and process.pid:
                process.signal(signal.SIGTERM)
            process.kill_at = min(process.kill_at, monotonic() + ABORT_MARGIN)

    def _config_of(self, process: Process) -> Config:
        assert self.generation is not None
        return self.generation.config

    def _close_nurseries(self) -> None:
        """Lets nurseries go that no worker is to be forked from any more."""
        for process in list(self.processes.values()):
            current = self.generation is not None and process.generation == self.generation.number
            kept = self._previous is not None and process.generation == self._previous.number
            if process.role == "nursery" and (self.stopping or not (current or kept)):
                if not process.leaving:
                    process.leaving = True
                    process.channel.say("close")
                    if not process.ready:
                        process.signal(signal.SIGTERM)
                if not any(worker.nursery is process for worker in self.workers):
                    process.signal(signal.SIGTERM)

    # Watching

    def _retire(self, worker: Process, why: str) -> None:
        if why and not worker.retiring and not worker.leaving:
            worker.retiring = why
            logger.info("%s will be replaced: %s", worker.name, why)

    def _look_at_age_and_memory(self, now: float) -> float:
        """Retires who is too old or too large; when to look again."""
        assert self.generation is not None
        config = self.generation.config
        if not (config.max_worker_lifetime or config.max_worker_rss):
            return inf
        if now >= self._next_look:
            self._next_look = now + LOOK_INTERVAL
            for worker in self._staying():
                self._retire(worker, why_replace(worker, config, now))
        return self._next_look

    def forgive(self) -> None:
        """The supervisor itself has slept: whoever was asked before gets all the time again."""
        now = monotonic()
        for process in self.processes.values():
            if process.asked:
                process.asked = now

    # What the processes say

    def hear(self, process: Process) -> None:
        """Takes in what a process has said."""
        for word, text, _ in process.channel.lines():
            try:
                self._take_in(process, word, text)
            except ValueError:
                # The application has the descriptor, too, and may have written to it.
                logger.error("%s has said something unknown: %.80r", process.name, f"{word} {text}")

    def _take_in(self, process: Process, word: str, text: str) -> None:
        match word:
            case "ready":
                self._is_ready(process)
            case "beat":
                timeout = self._config_of(process).timeout
                process.asked = 0.0
                process.requests = int(text)
                process.next_ask = monotonic() + ask_interval(timeout)
            case "retire":
                self._retire(process, text)
            case "leaving":
                process.leaving = True
                process.kill_at = monotonic() + self._config_of(process).graceful_timeout + KILL_MARGIN
            case "failed":
                process.last_words = text
            case "loaded" | "":
                pass
            case "forked":
                ticket, pid = text.split()
                self._is_forked(int(ticket), int(pid))
            case "died":
                ticket, code = text.split()
                if (worker := self.processes.get(int(ticket))) is not None:
                    self.bury(worker, int(code))
            case _:
                raise ValueError(word)

    def _is_ready(self, process: Process) -> None:
        process.ready = monotonic()
        process.next_ask = process.ready + 0.01
        if process.role == "worker":
            logger.info("%s is ready, after %.2f s", process.name, process.ready - process.born)
            if self.generation is not None and process.generation == self.generation.number:
                self.generation.proven = True
            if self.unready:
                process.channel.say("unready")
            if self.stopping and not process.leaving:
                self.let_go(process, DRAIN_WINDOW)

    def _is_forked(self, ticket: int, pid: int) -> None:
        worker = self.processes.get(ticket)
        if worker is not None:
            worker.pid = pid
            if worker.leaving and not worker.ready:
                worker.signal(signal.SIGTERM)

    def reap(self) -> None:
        """Looks who has died."""
        for process in list(self.processes.values()):
            code = process.popen.poll() if process.popen is not None else None
            if code is None and process.popen is None and process.channel.closed:
                nursery = process.nursery
                if nursery is not None and nursery.ticket in self.processes and not nursery.channel.closed:
                    continue  # which will say how
            elif code is None:
                continue
            self.bury(process, code)

    def bury(self, process: Process, code: int | None) -> None:
        """A process is dead; `code` as in subprocess, None if unknown."""
        if self.processes.pop(process.ticket, None) is None:
            return
        self.hear(process)
        process.channel.close()
        self.shares.free(process.slot)
        generation = self.generation
        assert generation is not None
        if process.role == "nursery":
            generation.nurseries = {
                backend: nursery
                for backend, nursery in generation.nurseries.items()
                if nursery is not process
            }
        expected = process.leaving or self.stopping
        # None: its nursery is gone, who would have said how; but it went when it was told to.
        went = code == 0 or (code is None and not process.killed_for)
        if expected and (went or not process.ready or process.role == "nursery"):
            logger.info("%s has left", process.name)
            return
        why = why_it_died(process, code)
        if expected:
            logger.error("%s %s", process.name, why)
        elif process.generation == generation.number and not generation.proven and not process.ready:
            self._give_up(process.name, why, process.last_words)
        else:
            self._plan_anew(process, why)

    def _give_up(self, who: str, why: str, last_words: str = "") -> None:
        """The canary has died, or cannot be born."""
        previous = self._previous
        self.failure = last_words or f"{who} {why}"
        if previous is None:
            self.stopping = True
            return
        logger.error("the reload has failed, and nothing has changed: %s %s", who, why)
        self.generation, self._previous = previous, None
        for other in list(self.processes.values()):
            if other.generation > previous.number and other.role == "worker" and not other.leaving:
                self._drop(other)
        self._arrange(previous.config.fleet(available_cores()))

    def _plan_anew(self, process: Process, why: str) -> None:
        """When the place of the dead gets another worker."""
        now = monotonic()
        place = next((p for p in self._places if p.number == process.place), None)
        if process.role == "nursery":
            logger.error("%s %s; another is started when it is needed", process.name, why)
            for each in self._places:
                if each.backend == process.backend and not process.ready:
                    self._pause(each, now)
            return
        if place is None or process.generation != (self.generation and self.generation.number):
            logger.error("%s %s", process.name, why)
            return
        if process.ready and now - process.ready >= STEADY:
            place.failures = 0
        pause = self._pause(place, now)
        logger.error(
            "%s %s; another is started %s", process.name, why, f"in {pause:.1f} s" if pause else "at once"
        )

    @staticmethod
    def _pause(place: Place, now: float) -> float:
        place.failures += 1
        pause = min(FIRST_PAUSE * 2 ** (place.failures - 2), LONGEST_PAUSE) if place.failures > 1 else 0.0
        place.not_before = now + pause
        return pause


def _as_whom(generation: Generation) -> str:
    config = generation.config
    if config.user:
        return (
            f" as user {config.user!r}, who has to be able to read Python, this package and the application"
        )
    return f" as group {config.group!r}" if config.group else ""
