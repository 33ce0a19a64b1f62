"""What is done to a fleet while it is under load."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from time import monotonic, sleep

from loadtests.restarts.fleet import Fleet, alive

WORKERS = 2
RECYCLED = "will be replaced: it has served"


def replaced(fleet: Fleet, before: list[int]) -> None:
    """Waits until none of these workers serves any more and as many others do."""
    fleet.until(
        lambda: len(fleet.ready) >= len(before) and not set(fleet.ready) & set(before), "replace its workers"
    )


def hang_ups(fleet: Fleet, until: float, least: int) -> str:
    """HUP, again as soon as the reload before it is done."""
    done = 0
    while monotonic() < until or done < least:
        before = fleet.ready
        fleet.signal(signal.SIGHUP)
        replaced(fleet, before)
        done += 1
    return f"{done} reloads"


def upgrade(fleet: Fleet, until: float, least: int) -> str:
    """USR2, again as soon as the new supervisor serves."""
    done = 0
    while monotonic() < until or done < least:
        elder, served = fleet.pid, fleet.count(" serves ")
        fleet.signal(signal.SIGUSR2)
        fleet.until(lambda served=served: fleet.count(" serves ") > served, "serve anew")
        found = [line for line in fleet.log.splitlines() if " serves " in line]
        fleet.pid = int(found[-1].partition("(pid ")[2].partition(",")[0])
        fleet.until(lambda elder=elder: not alive(elder) or elder == fleet._popen.poll(), "let the elder go")
        done += 1
    return f"{done} upgrades"


def terminate(fleet: Fleet, until: float, least: int) -> str:
    """TERM to one worker after the other."""
    done = 0
    while monotonic() < until or done < least:
        before = fleet.ready
        os.kill(before[0], signal.SIGTERM)
        fleet.until(
            lambda before=before: before[0] not in fleet.ready and len(fleet.ready) >= WORKERS,
            "replace a worker",
        )
        done += 1
    return f"{done} workers ended"


def recycle(fleet: Fleet, until: float, least: int) -> str:
    """Nothing but time: the workers ask to be replaced."""
    while monotonic() < until or fleet.count(RECYCLED) < least:
        sleep(0.05)
    return f"{fleet.count(RECYCLED)} workers recycled"


def kill(fleet: Fleet, until: float, least: int) -> str:
    """KILL to one worker after the other.  What was in flight in it is lost, and nothing else."""
    done = 0
    while monotonic() < until or done < least:
        before = fleet.ready
        os.kill(before[0], signal.SIGKILL)
        fleet.until(
            lambda before=before: before[0] not in fleet.ready and len(fleet.ready) >= WORKERS,
            "replace a worker",
        )
        done += 1
        sleep(0.5)
    return f"{done} workers killed"


def resize(fleet: Fleet, until: float, least: int) -> str:
    """TTIN and TTOU in turn."""
    done = 0
    while monotonic() < until or done < least:
        fleet.signal(signal.SIGTTIN)
        fleet.until(lambda: len(fleet.ready) >= WORKERS + 1, "grow")
        fleet.signal(signal.SIGTTOU)
        fleet.until(lambda: len(fleet.ready) <= WORKERS, "shrink")
        done += 1
    return f"{done} times one more and one less"


CASES: dict[str, tuple[Callable[[Fleet, float, int], str], tuple[str, ...]]] = {
    "hup": (hang_ups, ()),
    "hup-preload": (hang_ups, ("--preload",)),
    "usr2": (upgrade, ()),
    "term": (terminate, ()),
    "recycle": (recycle, ("--max-requests", "500", "--max-requests-jitter", "100")),
    "recycle-preload": (recycle, ("--preload", "--max-requests", "500", "--max-requests-jitter", "100")),
    "resize": (resize, ()),
    "kill": (kill, ()),
}
"""What is done until a moment, but so many times at the least; and the options that it needs."""
