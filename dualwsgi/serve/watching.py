"""When a process of the fleet has to be asked, replaced or killed: by silence, age, memory and deadlines.

Nothing in a worker beats by itself.  The supervisor asks; the leader of a lane or the hub answers when
it comes round.  So an idle worker is woken once in ten seconds, and one that has stopped coming round
says so by its silence, even if some thread of it is still alive.

Knows processes and clocks; starts nothing.
"""

from __future__ import annotations

import logging
import signal
from math import inf
from typing import Final

from ..config import Config
from .process import Process

__all__ = ["ABORT_MARGIN", "ask_interval", "watch", "why_replace"]

logger = logging.getLogger("dualwsgi")

ABORT_MARGIN: Final = 2.0
"""Seconds that a stuck worker has to show its stack, by SIGABRT, before it is killed."""

ASK_INTERVAL: Final = 10.0
"""Seconds between two signs of life, at most."""


def ask_interval(timeout: float) -> float:
    """Seconds from one sign of life to the next question."""
    return min(ASK_INTERVAL, timeout / 3)


def watch(process: Process, config: Config, now: float) -> float:
    """Asks for a sign of life, and ends what gives none or outstays; when to look again."""
    if now >= process.kill_at:
        process.killed_for = process.killed_for or "was killed: it had not left within the grace time"
        process.signal(signal.SIGKILL)
        process.kill_at = now + 1.0
        return process.kill_at
    if not config.timeout or process.role != "worker":
        return process.kill_at
    if not process.ready:
        return min(process.kill_at, _watch_start(process, config.timeout, now))
    if process.killed_for:
        return process.kill_at
    if process.asked and now - process.asked > config.timeout:
        process.killed_for = (
            f"was killed: its loop has stood still for {now - process.asked:.0f} s "
            "(if it still could, it has shown its stacks above; on green a call that computes or "
            "waits natively does it)"
        )
        process.signal(signal.SIGABRT)
        process.kill_at = min(process.kill_at, now + ABORT_MARGIN)
        return process.kill_at
    if not process.asked and now >= process.next_ask:
        process.asked = now
        process.channel.say("ping")
    return min(process.kill_at, process.asked + config.timeout if process.asked else process.next_ask)


def _watch_start(process: Process, timeout: float, now: float) -> float:
    """An import may take its time, but somebody should know."""
    if process.slow_told:
        return inf
    if now - process.born <= timeout:
        return process.born + timeout
    process.slow_told = True
    logger.warning("%s has been starting for %.0f s", process.name, now - process.born)
    return inf


def why_replace(worker: Process, config: Config, now: float) -> str:
    """Why a worker has served long enough, by age or memory; '' if it has not."""
    if not worker.ready:
        return ""
    if now - worker.ready >= worker.lifetime:
        return f"it has lived {now - worker.ready:.0f} s"
    if config.max_worker_rss and (rss := worker.rss()) > config.max_worker_rss:
        return f"it holds {rss >> 20} MiB of memory"
    return ""
