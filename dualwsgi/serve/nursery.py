"""The nursery: a process that has imported the application, and forks workers from there.

With --preload the supervisor keeps one for each backend of a generation.  That the supervisor does
not import the application itself has three reasons: a reload gets new code, which no process can
import twice; a crash or a leak of the application cannot hurt who holds the listeners; and a green
nursery is patched before the application is imported, whatever the others are.

It does nothing but fork when it is told `fork TICKET PLACE CORE SLOT`, with a descriptor: the
worker's end of its own channel.  It answers `forked TICKET PID`, and says `died TICKET STATUS` later.
When its channel ends, it ends as soon as its workers have.
"""

from __future__ import annotations

import _socket
import gc
import logging
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from .channel import Channel
from .identity import set_title
from .job import Job
from .loader import WSGIApplication
from .signals import SignalQueue
from .survivors import lost_by_fork

__all__ = ["tend"]

logger = logging.getLogger("dualwsgi")

IGNORED: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

EXIT_FORK: Final = 71
"""Of a worker that never was: EX_OSERR of sysexits.h."""


Work = Callable[[Channel, Job, WSGIApplication], int]
"""The life of a worker; returns its exit code."""


def tend(channel: Channel, job: Job, app: WSGIApplication, work: Work) -> int:
    """Forks workers, which do `work`, until the channel ends; returns an exit code, its own or a worker's."""
    if lost := lost_by_fork():
        logger.warning(
            "preload: alive before the fork, and missing in every worker: %s; start them in each worker, by "
            "os.register_at_fork(after_in_child=...) or with the first request, or leave out --preload",
            "; ".join(lost),
        )
    # What is garbage now would be freed in each worker again, and the collector would write to every
    # page that it looks at: both would end the sharing of memory.
    gc.collect()
    gc.freeze()
    signals = SignalQueue((signal.SIGCHLD,), IGNORED)
    children: dict[int, str] = {}
    channel.say("ready")
    while not channel.closed or children:
        waiting = [signals.fileno()] if channel.closed else [channel.fileno(), signals.fileno()]
        select.select(waiting, [], [])
        for _ in signals.take():
            _reap(channel, children)
        for word, text, descriptor in channel.lines():
            if word != "fork":
                continue
            ticket, place, core, slot = text.split()
            try:
                pid = _fork()
            except OSError as error:
                # No processes or memory to be had now; the supervisor will ask again.
                logger.error("cannot fork a worker: %s", error)
                os.close(descriptor)
                channel.say("died", f"{ticket} {EXIT_FORK}")
                continue
            if not pid:
                signals.close()
                channel.close()
                os.setpgid(0, 0)
                own = Channel(_socket.socket(fileno=descriptor))
                mine = replace(job, role="worker", place=int(place), core=int(core), slot=int(slot))
                set_title(mine.config.proc_name, mine.role, mine.config.backend)
                try:
                    return work(own, mine, app)
                finally:
                    own.close()
            children[pid] = ticket
            os.close(descriptor)
            channel.say("forked", f"{ticket} {pid}")
    return 0


def _fork() -> int:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # who reads it has gone: no reason to have no workers
                stream.flush()  # or both would write it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which have been named above
        return os.fork()


def _reap(channel: Channel, children: dict[int, str]) -> None:
    for pid in list(children):
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            done, status = pid, 0  # the application's own code has waited for it
        if done:
            channel.say("died", f"{children.pop(pid)} {os.waitstatus_to_exitcode(status)}")
