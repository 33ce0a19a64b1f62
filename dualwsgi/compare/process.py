"""A program as a tree of processes: started, watched through /proc, ended by process id and never by name.

CPU is read from each process's own clock (`clock_gettime` on the id that the kernel derives from a pid),
which is user and system time of all its threads, past ones too, in nanoseconds; utime and stime of
/proc/PID/stat say the same in ticks of 10 ms and are the fallback.

Servers orphan their workers when only the parent is killed (granian does). So this process becomes the reaper
of its descendants, which keeps orphans in the tree, and `Process.stop` ends the tree as it stood before the
first signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_CPUCLOCK_SCHED = 2


class ServerFailed(Exception):
    """A server did not start, or ended while it was measured; the message carries the tail of its output."""


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def raise_file_limit(wanted: int) -> int:
    """Raise the limit of open files, which every server inherits; the hard one too where that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def can_pin() -> bool:
    """Whether `pinned` can confine anything: Linux's taskset is there."""
    return shutil.which("taskset") is not None


def pinned(argv: Sequence[str], cpu: int | str | None) -> list[str]:
    """The command line, confined to a CPU, or to a list of them ("0,2-3"), when `cpu` is not None."""
    taskset = shutil.which("taskset")
    return [*argv] if cpu is None or taskset is None else [taskset, "-c", str(cpu), *argv]


# Reading /proc


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold blanks and brackets; None when gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else fields


def descendants(roots: Iterable[int]) -> dict[int, str]:
    """`roots` and all that descends from them and lives: pid -> start time, which tells a reused pid."""
    children: dict[int, list[int]] = {}
    started: dict[int, str] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            pid = int(entry.name)
            children.setdefault(int(fields[1]), []).append(pid)
            started[pid] = fields[19]
    found: dict[int, str] = {}
    queue = [*roots]
    while queue:
        pid = queue.pop()
        if pid in started and pid not in found:
            found[pid] = started[pid]
            queue += children.get(pid, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used; 0 when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        fields = _stat(pid)
        return 0.0 if fields is None else (int(fields[11]) + int(fields[12])) / TICKS


def waited_for_cpu(pid: int) -> float:
    """Seconds that the living threads of a process were ready to run and had no CPU; 0 where nobody tells."""
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(PROC / str(pid) / "task"):
            with contextlib.suppress(OSError):
                total += int((PROC / str(pid) / "task" / task / "schedstat").read_text().split()[1])
    return total / 1e9


def idle_seconds(cpu: int) -> float:
    """How long a CPU has had nothing to do, since boot."""
    for line in (PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            return (int(ticks[3]) + int(ticks[4])) / TICKS  # idle, and idle with a disk at work
    return 0.0


# TCP's states as the kernel numbers them, in which a connection still asks something of its server.
_OPEN_STATES = frozenset({"01", "08"})  # ESTABLISHED, CLOSE_WAIT


def open_connections(port: int) -> int:
    """Connections to this port of 127.0.0.1 that the server there has not closed."""
    count, wanted = 0, f":{port:04X}"
    with contextlib.suppress(OSError):
        for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
            fields = line.split()
            count += fields[1].endswith(wanted) and fields[3] in _OPEN_STATES
    return count


def _kilobytes(pid: int, file: str, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / file).read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    return 0


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """SIGINT and SIGTERM wait until the block has ended: a process that was just forked must be known."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda came, _: held.append(came)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for came in held:
            signal.raise_signal(came)


# A server


class Process:
    """One server and its children. Start it, wait for its port elsewhere, `stop()` it in a `finally`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: Path,
        cpu: int | str | None,
    ) -> None:
        self.name = name
        self.output = output
        self.started = time.perf_counter()
        with output.open("wb") as sink:
            self._popen = subprocess.Popen(
                pinned(argv, cpu),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is ours to handle: we then end each server in order
            )
        self.pid = self._popen.pid
        self._known: dict[int, str] = {}
        self.pids()

    def pids(self) -> list[int]:
        """The living processes of this server, orphans of it included."""
        # A worker whose parent died was handed to us and is not below self.pid any more: look below each
        # known one.
        living = descendants({self.pid, *self._known})
        for pid, started in self._known.items():
            if living.get(pid, started) != started:
                del living[pid]  # another process got the number
        self._known.update(living)
        return [*living]

    def check(self) -> None:
        """Raises ServerFailed when the first process has ended."""
        if (code := self._popen.poll()) is not None:
            raise ServerFailed(f"{self.name} ended with status {code}: {self.tail()}")

    def tail(self, length: int = 600) -> str:
        return self.output.read_bytes()[-length:].decode("utf-8", "replace").strip()

    # What it costs

    def cpu(self) -> float:
        """CPU seconds of the whole tree."""
        return sum(map(cpu_seconds, self.pids()))

    def rss(self) -> int:
        """Resident bytes of the whole tree. Pages shared by its processes count once for each."""
        # The kernel batches VmRSS per CPU and may be some 100 KB off; walking the mappings is exact.
        return 1024 * sum(
            _kilobytes(pid, "smaps_rollup", "Rss:") or _kilobytes(pid, "status", "VmRSS:")
            for pid in self.pids()
        )

    def peak_rss(self) -> int:
        """The highest resident size of each process since `forget_peak`, summed, in bytes."""
        return 1024 * sum(_kilobytes(pid, "status", "VmHWM:") for pid in self.pids())

    def forget_peak(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                (PROC / str(pid) / "clear_refs").write_text("5")

    def threads(self) -> int:
        """OS threads of the whole tree."""
        count = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                count += len(os.listdir(PROC / str(pid) / "task"))
        return count

    def switches(self) -> int:
        """Context switches of the whole tree, voluntary or not. Those of threads that ended are lost."""
        count = 0
        for pid in self.pids():
            try:
                tasks = os.listdir(PROC / str(pid) / "task")
            except OSError:
                continue
            for task in tasks:
                with contextlib.suppress(OSError):
                    for line in (PROC / str(pid) / "task" / task / "status").read_text().splitlines()[-2:]:
                        count += int(line.rpartition(":")[2])
        return count

    def waited(self) -> float:
        """Seconds that threads of the tree were ready to run and had no CPU. Those that ended are lost."""
        return sum(waited_for_cpu(pid) for pid in self.pids())

    # The end

    def stop(self, grace: float = 3.0) -> None:
        """SIGTERM to the first process, SIGKILL to whatever of its tree is left after `grace` seconds."""
        self.pids()
        with contextlib.suppress(ProcessLookupError):
            self._popen.terminate()
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and self._alive():
            time.sleep(0.02)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and self._alive():
            time.sleep(0.01)
        for pid in self._known.keys() - {self.pid}:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # orphans that were handed to us

    def _alive(self) -> list[int]:
        self._popen.poll()
        return self.pids()
