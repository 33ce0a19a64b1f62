"""Reading and writing pipes, and waiting for children, in the hub.

The descriptors of pipes stay as they are: the same pipe may be another process's standard output, and
O_NONBLOCK is a property of the pipe's end and not of the process.  So `read` and `write` wait for
readiness first, and then do no more than the system promises not to wait for: PIPE_BUF bytes a write.

A child's end shows on its pidfd (Linux 5.3).  What has no such descriptor (any child, a process group,
stopped children) is waited for in a real thread, which looks but does not reap (WNOWAIT).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
from typing import Any

from dualwsgi.green import originals
from dualwsgi.green.hub import current_hub, forget_fd
from dualwsgi.green.poller import READ, WRITE
from dualwsgi.green.pool import ThreadPool

__all__ = [
    "GreenFileIO",
    "close",
    "fdopen",
    "read",
    "system",
    "wait",
    "wait3",
    "wait4",
    "wait_for_exit",
    "waitid",
    "waitpid",
    "write",
]

os_waitid: Any = originals.os_waitid
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)
_children = ThreadPool(8, signals=False)

# Pipes


def _wait_ready(fd: int, mask: int) -> None:
    """Wait until `fd` is ready, unless it is, or is of the non-blocking kind."""
    hub = current_hub()
    if hub is None or originals.native_poll is None:
        return
    poll = originals.native_poll()
    poll.register(fd, mask)
    if not poll.poll(0) and os.get_blocking(fd):
        hub.wait_fd(fd, mask)


def read(fd: int, n: int, /) -> bytes:
    """As `os.read`."""
    _wait_ready(fd, READ)
    return originals.os_read(fd, n)


def write(fd: int, data: Any, /) -> int:
    """As `os.write`: all of it, if `fd` blocks."""
    if current_hub() is None:
        return originals.os_write(fd, data)
    with memoryview(data) as view, view.cast("B") as octets:
        if len(octets) > _PIPE_BUF and (stat.S_ISREG(os.fstat(fd).st_mode) or not os.get_blocking(fd)):
            return originals.os_write(fd, octets)
        sent = 0
        while True:
            try:
                _wait_ready(fd, WRITE)
                sent += originals.os_write(fd, octets[sent : sent + _PIPE_BUF])
            except OSError:
                if not sent:
                    raise
                return sent  # the next call raises it, as with the system's own
            if sent >= len(octets):
                return sent


def close(fd: int, /) -> None:
    """As `os.close`; who waits for `fd` gets EBADF."""
    forget_fd(fd)
    originals.os_close(fd)


class GreenFileIO(io.FileIO):
    """The raw file of a pipe, terminal or device."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Read into `buffer`; returns how many bytes."""
        _wait_ready(self.fileno(), READ)
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes | None:  # type: ignore[override]
        """Up to `size` bytes in one read; all up to the end if negative."""
        if size is None or size < 0:
            return self.readall()
        _wait_ready(self.fileno(), READ)
        return super().read(size)

    def readall(self) -> bytes | None:  # type: ignore[override]
        """Everything up to the end."""
        parts: list[bytes] = []
        while True:
            _wait_ready(self.fileno(), READ)
            part = super().read(65536)
            if not part:
                return b"".join(parts) if parts or part is not None else None
            parts.append(part)

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]
        """Write; returns how many bytes."""
        try:
            return write(self.fileno(), data)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close it; who waits for it gets EBADF."""
        if not self.closed and self.closefd:
            forget_fd(self.fileno())
        super().close()


def open_fd(
    fd: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """As `io.open`: green for the descriptor of a pipe, socket or device, the native thing otherwise."""
    if not isinstance(fd, int) or not _may_wait(fd):
        return open(fd, mode, buffering, encoding, errors, newline, closefd, opener)
    binary, updating = "b" in mode, "+" in mode
    raw = GreenFileIO(fd, mode.replace("b", "").replace("t", ""), closefd)
    try:
        if buffering == 0:
            if not binary:
                raise ValueError("can't have unbuffered text I/O")
            return raw
        line_buffering = buffering == 1 and not binary
        size = io.DEFAULT_BUFFER_SIZE if buffering < 0 or buffering == 1 else buffering
        buffer: Any
        if updating:
            buffer = io.BufferedRWPair(raw, raw, size)
        elif raw.writable():
            buffer = io.BufferedWriter(raw, size)
        else:
            buffer = io.BufferedReader(raw, size)
        if binary:
            return buffer
        text = io.TextIOWrapper(buffer, io.text_encoding(encoding), errors, newline, line_buffering)
        text.mode = mode  # type: ignore[misc]  # io.open does the same
        return text
    except BaseException:
        if closefd:
            raw.close()
        raise


def _may_wait(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def fdopen(
    fd: int, mode: str = "r", buffering: int = -1, encoding: Any = None, *args: Any, **kwargs: Any
) -> Any:
    """As `os.fdopen`."""
    if not isinstance(fd, int):
        raise TypeError(f"invalid fd type ({type(fd)}, expected integer)")
    if "b" not in mode:
        encoding = io.text_encoding(encoding)
    return open_fd(fd, mode, buffering, encoding, *args, **kwargs)


# Children


def wait_for_exit(pid: int, timeout: float | None = None) -> bool:
    """Wait until our child `pid` has ended (it is not reaped); False if `timeout` seconds passed."""
    hub = current_hub()
    if hub is None:
        return True
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ESRCH:
            return True
        return _poll_for_exit(pid, timeout)
    try:
        return hub.wait_fd(fd, READ, timeout)
    finally:
        originals.os_close(fd)


def _poll_for_exit(pid: int, timeout: float | None) -> bool:
    """The same without pidfd: look every 10 ms."""
    from dualwsgi.green.thread import sleep

    deadline = None if timeout is None else originals.monotonic() + timeout
    while not _has_exited(pid):
        if deadline is not None and originals.monotonic() >= deadline:
            return False
        sleep(0.01)
    return True


def _has_exited(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:
        return True


def _wait_for_any(idtype: int, ident: int) -> None:
    """Wait until some child has ended; it is not reaped.  ChildProcessError if there is none."""
    _children.apply(os_waitid, idtype, ident, os.WEXITED | os.WNOWAIT)


def _reap(native: Any, pid: int, options: int, *args: Any) -> Any:
    """`native(*args, options)` without blocking, again and again until it has a child to report."""
    if options & os.WNOHANG or current_hub() is None:
        return native(*args, options)
    if options:
        return _children.apply(native, *args, options)  # stopped children, too: no descriptor tells
    while True:
        result = native(*args, os.WNOHANG)
        if result[0]:
            return result
        if pid > 0:
            wait_for_exit(pid)
        elif pid == -1:
            _wait_for_any(os.P_ALL, 0)
        else:
            _wait_for_any(os.P_PGID, -pid if pid else os.getpgrp())


def waitpid(pid: int, options: int, /) -> tuple[int, int]:
    """As `os.waitpid`."""
    return _reap(originals.os_waitpid, pid, options, pid)  # type: ignore[no-any-return]


def wait() -> tuple[int, int]:
    """As `os.wait`."""
    return waitpid(-1, 0)


def wait3(options: int) -> tuple[int, int, Any]:
    """As `os.wait3`."""
    return _reap(originals.os_wait3, -1, options)  # type: ignore[no-any-return]


def wait4(pid: int, options: int) -> tuple[int, int, Any]:
    """As `os.wait4`."""
    return _reap(originals.os_wait4, pid, options, pid)  # type: ignore[no-any-return]


def waitid(idtype: int, ident: int, options: int, /) -> Any:
    """As `os.waitid`."""
    native = os_waitid
    if options & os.WNOHANG or current_hub() is None:
        return native(idtype, ident, options)
    if options & ~(os.WEXITED | os.WNOWAIT) or not options & os.WEXITED:
        return _children.apply(native, idtype, ident, options)
    while True:
        result = native(idtype, ident, options | os.WNOHANG)
        if result is not None:
            return result
        if idtype == os.P_PID:
            wait_for_exit(ident)
        elif idtype == getattr(os, "P_PIDFD", None):
            hub = current_hub()
            assert hub is not None
            hub.wait_fd(ident, READ)
        else:
            _wait_for_any(idtype, ident)


def system(command: Any) -> int:
    """As `os.system`: run a command of the shell; returns its wait status."""
    if current_hub() is None:
        return originals.os_system(command)
    import sys

    sys.audit("os.system", command)
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ)
    try:
        return waitpid(pid, 0)[1]
    except BaseException:
        # Killed meanwhile: the command goes on, and its end must not leave a zombie.
        from dualwsgi.green.thread import spawn

        with contextlib.suppress(Exception):
            spawn(waitpid, pid, 0)
        raise
