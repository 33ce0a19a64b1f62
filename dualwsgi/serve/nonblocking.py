"""Standard output and error of a process that serves: whoever writes there waits for nobody.

A pipe that nobody reads takes 64 kB; the next line would then wait for ever, and with it the request
that wrote it, on green all others, and whoever is to stop the process. So in a process that is the
server's own, `sys.stdout` and `sys.stderr` are laid over a NonBlockingWriter: what goes in at once is
written at once, the rest waits for a native thread, up to HELD_MOST, and what comes then is dropped,
counted and told. That holds for all who use them: this library's log, `wsgi.errors`, prints and the log
of the application.

Not so what is written to the descriptors themselves, by compiled code or by programs that are started.

No lock is ever waited for here: a signal handler, or what the collector runs, may write while its own
thread writes.  Knows no server.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import stat
import sys
from _socket import MSG_DONTWAIT, socket
from collections import deque
from collections.abc import Callable
from itertools import count
from posix import write
from time import monotonic
from typing import Any, Final

from ..native import Bell, native_lock, native_sleep, start_native

__all__ = ["AGAIN_AFTER", "NonBlockingWriter", "lay_streams", "may_wait", "open_for_log", "whole_lines"]

HELD_MOST: Final = 1 << 20
"""Octets that may wait for a reader who does not keep up."""

PIECES_MOST: Final = 1000

LAST_PATIENCE: Final = 1.0
"""Seconds that readers have for the rest when the process ends."""

AGAIN_AFTER: Final = 0.02
"""Seconds until a pipe is tried again that another program has made non-blocking, and is full."""

GONE: Final = "dualwsgi: {} messages are missing here: nobody has read them\n"


class NonBlockingWriter(io.RawIOBase):
    """A raw stream that writes to a descriptor, and never waits.  Any thread may write.

    An error is nobody's: that the reader of a log has died is no reason to fail a request.
    """

    def __init__(self, fd: int, owner: io.RawIOBase | None = None) -> None:
        self._fd = fd
        self._owner = owner  # closed with it
        self._place: tuple[int, int] | None = None  # where it leads, by device and inode
        # Ways there by which nobody has to wait; without one all is written by the thread.
        self._sock: socket | None = None
        self._own = -1
        self._waiting: deque[bytes] = deque()
        self._count_drop = count(1).__next__  # one step, so that no two threads get the same number
        self._dropped = self._told = 0
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.settle)

    def _reset(self) -> None:
        """As it is at first, and in a child: what waits is the parent's, and so is its thread."""
        self._waiting.clear()
        self._writing = native_lock()  # whoever writes holds it
        self._wake = Bell()  # for the thread, which sleeps on it
        self._has_thread = False

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        octets = bytes(data)
        if self._has_room(len(octets)):
            self._waiting.append(octets)
        else:
            self._dropped = self._count_drop()
        self._write_now()
        return len(octets)

    def _has_room(self, size: int) -> bool:
        waiting = list(self._waiting)
        return not waiting or (len(waiting) < PIECES_MOST and sum(map(len, waiting)) + size <= HELD_MOST)

    def _write_now(self) -> None:
        """Writes what goes in; the rest is the thread's."""
        while self._waiting:
            if not self._writing.acquire(False):
                if self._has_thread:
                    self._wake.ring()  # it may be the one who writes, and just about to sleep
                return  # else who writes looks once more when it has let go
            try:
                self._look()
                while self._waiting and self._write_first(wait=False):
                    pass
            finally:
                self._writing.release()
            if self._waiting and self._rouse():
                return

    def _rouse(self) -> bool:
        """Has the thread write; False if there is none, and somebody has written in its place."""
        if not self._has_thread:
            self._has_thread = True
            try:
                start_native(self._work)
            except RuntimeError:  # there are no threads just now; the next line tries again
                self._has_thread = False
                if self._own >= 0 or self._sock is not None:
                    return True
                with self._writing:
                    while self._waiting:
                        self._write_first(wait=True)
                return False
        self._wake.ring()
        return True

    def _work(self) -> None:
        """The life of the thread."""
        while True:
            self._wake.wait()
            with self._writing:
                while self._waiting:
                    self._write_first(wait=True)

    def _write_first(self, *, wait: bool) -> bool:
        """Writes of what has waited longest; whether anything went in."""
        octets = self._waiting[0]
        try:
            taken = self._put(octets, wait)
        except BlockingIOError:
            if wait:
                native_sleep(AGAIN_AFTER)
            return False
        except OSError:
            taken = len(octets)
        if taken < len(octets):
            self._waiting[0] = octets[taken:]
            return True
        self._waiting.popleft()
        if not self._waiting and (missing := self._dropped - self._told) > 0:
            self._told += missing
            self._waiting.append(GONE.format(missing).encode())
        return True

    def _put(self, octets: bytes, wait: bool) -> int:
        if self._sock is not None:
            return self._sock.send(octets, 0 if wait else MSG_DONTWAIT)
        if self._own < 0 and not wait:
            raise BlockingIOError
        piece = octets[: whole_lines(octets)]
        return int(write(self._fd if wait else self._own, piece))

    def _look(self) -> None:
        """Finds a way to where the descriptor leads: a program may have made that another place."""
        place = _place_of(self._fd)
        own = self._own if self._sock is None else self._sock.fileno()
        if place is None or (place == self._place and (own < 0 or place == _place_of(own))):
            return
        if own >= 0 and self._place == _place_of(own):
            os.close(own)
        # Else the program has closed what is not its own, and the number is another file's by now.
        if self._sock is not None:
            self._sock.detach()
        self._sock, self._own, self._place = None, -1, place
        try:
            if stat.S_ISSOCK(os.fstat(self._fd).st_mode):
                self._sock = socket(fileno=os.dup(self._fd))
            elif may_wait(self._fd):
                # Opened once more, and not duplicated: who shares the other way need not know of this.
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._own = os.open(f"/proc/self/fd/{self._fd}", flags)
            else:
                self._own = os.dup(self._fd)
        except OSError:
            pass  # another user's pipe, say

    def close(self) -> None:
        if not self.closed and self._owner is not None:
            self.settle()
            atexit.unregister(self.settle)
            self._owner.close()
        super().close()

    def settle(self) -> None:
        """Waits a moment, so that whoever reads gets the rest; for the end of it."""
        deadline = monotonic() + LAST_PATIENCE
        while self._waiting and monotonic() < deadline:
            self._write_now()
            native_sleep(0.005)


def _place_of(fd: int) -> tuple[int, int] | None:
    """Where a descriptor leads, by device and inode; None where it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def may_wait(fd: int) -> bool:
    """Whether somebody at the other end may keep a writer waiting, and not just a disk.  Raises OSError."""
    found = os.fstat(fd)
    if stat.S_ISCHR(found.st_mode):
        return os.major(found.st_rdev) != 1  # /dev/null and the like
    return stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode)


def whole_lines(octets: bytes | memoryview) -> int:
    """How many octets of them a pipe takes in one piece, though others write to it: lines, one at least."""
    if len(octets) <= select.PIPE_BUF:
        return len(octets)
    head = bytes(octets[: select.PIPE_BUF])
    end = head.rfind(b"\n") + 1
    return end or bytes(octets).find(b"\n") + 1 or len(octets)


def open_for_log(path: str, flags: int = os.O_WRONLY | os.O_APPEND | os.O_CREAT) -> int:
    """A descriptor to write a log to.  A pipe need have no reader yet.  Raises OSError."""
    if _is_named_pipe(path):
        # Opened for reading, too, it waits for nobody, and one reader may take over from another.
        flags = os.O_RDWR
    return os.open(path, flags | os.O_CLOEXEC, 0o644)


def _is_named_pipe(path: str) -> bool:
    try:
        # /dev/stdout leads to a pipe that has no name, and whose reader there is.
        return stat.S_ISFIFO(os.stat(path).st_mode) and os.path.exists(os.path.realpath(path))
    except OSError:
        return False


def lay_streams() -> Callable[[], None]:
    """Lays standard output and error over such writers, where they may have somebody wait; what undoes it."""
    undo = [_lay("stdout"), _lay("stderr")]

    def put_back() -> None:
        for act in undo:
            act()

    return put_back


def _lay(name: str) -> Callable[[], None]:
    before = getattr(sys, name)
    if before is None or before is not getattr(sys, f"__{name}__"):
        return _nothing  # a program's own
    try:
        fd = before.fileno()
        if not may_wait(fd):
            return _nothing
        before.flush()
    except (OSError, ValueError):
        return _nothing  # it is closed
    writer = NonBlockingWriter(fd)
    stream = io.TextIOWrapper(
        writer,  # type: ignore[type-var]  # which takes all that it is given
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
    setattr(sys, name, stream)

    def put_back() -> None:
        stream.flush()
        writer.settle()
        atexit.unregister(writer.settle)
        if getattr(sys, name) is stream:
            setattr(sys, name, before)

    return put_back


def _nothing() -> None:
    pass
