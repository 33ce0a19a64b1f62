"""One process of the fleet, as the supervisor sees it: how it is started, told and ended.

Knows processes and channels; decides nothing.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, Final

from .channel import Channel, pair
from .ending import EXIT_FORCED
from .identity import Identity
from .job import EXIT_LOAD, Job

__all__ = ["Process", "fork_from", "interpreter_flags", "spawn", "why_it_died"]

# The package's own place, at the end of the path: for who runs it from a checkout.
_HOME: Final = str(Path(__file__).resolve().parents[2])
_CODE: Final = f"import sys; sys.path.append({_HOME!r}); from dualwsgi.serve.launch import main; main()"


@dataclass(eq=False)
class Process:
    """A worker or a nursery.  Times are monotonic seconds."""

    role: str
    ticket: int
    place: int
    backend: str
    generation: int
    channel: Channel
    pid: int = 0  # 0 until the nursery has said it
    popen: subprocess.Popen[bytes] | None = None
    nursery: Process | None = None
    born: float = field(default_factory=monotonic)
    ready: float = 0.0  # since when it serves
    retiring: str = ""  # why it is to be replaced
    leaving: bool = False
    kill_at: float = inf
    killed_for: str = ""
    asked: float = 0.0  # when it was asked for a sign of life that has not come
    next_ask: float = 0.0
    lifetime: float = inf
    requests: int = 0
    last_words: str = ""
    slow_told: bool = False
    slot: int = 0

    @property
    def name(self) -> str:
        if self.role == "nursery":
            return f"the {self.backend} nursery (pid {self.pid})"
        return f"worker {self.place} (pid {self.pid or '?'}, {self.backend})"

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; never to a process that has been waited for."""
        if self.popen is not None:
            self.popen.send_signal(number)
        elif self.pid and self.nursery is not None and self.nursery.popen is not None:
            # Its nursery has not told that it is gone, so the number is still its own.
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def rss(self) -> int:
        """Octets of memory that it holds now; 0 if the system does not tell."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        except (OSError, ValueError, IndexError):
            return 0


def spawn(job: Job, ticket: int, generation: int, identity: Identity) -> Process:
    """Starts a process of its own program: a worker, or a nursery.  Raises OSError."""
    octets = pickle.dumps(job)
    mine, theirs = pair()
    config = job.config
    patched = config.backend == "green" and config.patch
    command = [sys.executable, "-P", *interpreter_flags(), "-c", _CODE, str(theirs.fileno())]
    command += ["patched" if patched else "native", f"dualwsgi-{job.role}-{max(job.place, 0)}"]
    options: dict[str, Any] = {}
    if identity.uid is not None:
        options["user"] = identity.uid
    if identity.gid is not None:
        options["group"] = identity.gid
    if identity.groups is not None:
        options["extra_groups"] = identity.groups
    try:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), job.shares, *(descriptor for _, descriptor in job.listeners)],
            process_group=0,  # a terminal's Ctrl-C is for the supervisor, who tells the others
            **options,
        )
    except BaseException:
        mine.close()
        raise
    finally:
        theirs.close()
    process = Process(
        job.role, ticket, job.place, config.backend, generation, mine, popen.pid, popen, slot=job.slot
    )
    try:
        mine.send_job(octets)
    except OSError:
        pass  # it has died already, which will be seen
    return process


def fork_from(nursery: Process, ticket: int, place: int, core: int, slot: int) -> Process:
    """Has a nursery fork a worker."""
    mine, theirs = pair()
    nursery.channel.say("fork", f"{ticket} {place} {core} {slot}", descriptor=theirs.fileno())
    theirs.close()
    return Process(
        "worker", ticket, place, nursery.backend, nursery.generation, mine, nursery=nursery, slot=slot
    )


def interpreter_flags() -> list[str]:
    """The options by which another interpreter becomes like this one."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [flag for flag in flags if flag != "-P"]


def why_it_died(process: Process, code: int | None) -> str:
    """What an exit code says, in words that go on after the name of the process."""
    if process.killed_for:
        return process.killed_for
    if code is None:
        return "is gone, and nobody has heard how"
    if process.last_words:
        return f"could not begin: {process.last_words}"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hints = {
            signal.SIGKILL: " (if nobody sent it, the system was out of memory: see dmesg)",
            signal.SIGSEGV: " (a crash in compiled code: its stack stands above)",
            signal.SIGABRT: " (a crash in compiled code: its stack stands above)",
        }
        return f"was killed by {name}{hints.get(-code, '')}"  # type: ignore[call-overload]
    if code == EXIT_LOAD:
        return "could not begin"
    if process.leaving and code == EXIT_FORCED:
        return "was ended, as it had not left within the grace time: what kept it stands above"
    if process.leaving:
        return f"exited with code {code} when it was to leave"
    doing = "before it was ready" if not process.ready else "though nobody told it to"
    return f"exited with code {code}, {doing}"
