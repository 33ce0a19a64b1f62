"""Who a process is to the system: its user and group, its title, its pid file.

Reads the system's databases; serves nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from ..config import Config
from ..errors import ConfigError
from .errorlog import tell

CLOCKS_DIFFER: Final = 2.0
"""Seconds by which the time of a file and that of a process may be off."""

__all__ = ["Identity", "PidFile", "find_identity", "held_pid_file", "set_title", "settle"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom workers run as.  None leaves it as it is."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None


def find_identity(config: Config) -> Identity:
    """What `user` and `group` mean here.  Raises ConfigError for one that is unknown or not to be had."""
    if not config.user and not config.group:
        return Identity()
    import grp
    import pwd

    uid: int | None = None
    gid: int | None = None
    name = ""
    if config.user:
        try:
            entry = pwd.getpwuid(int(config.user)) if config.user.isdigit() else pwd.getpwnam(config.user)
        except KeyError:
            raise ConfigError(f"user: there is no user {config.user!r}; give another") from None
        uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
    if config.group:
        try:
            group = grp.getgrgid(int(config.group)) if config.group.isdigit() else grp.getgrnam(config.group)
        except KeyError:
            raise ConfigError(f"group: there is no group {config.group!r}; give another") from None
        gid = group.gr_gid
    if (uid, gid) == (os.geteuid() if uid is not None else None, os.getegid()):
        return Identity()  # it is so already, and needs no privilege
    if os.geteuid() != 0:
        what = f"user: {config.user!r}" if config.user else f"group: {config.group!r}"
        raise ConfigError(f"{what} can only be taken on by root; start it as root, or leave it out")
    assert gid is not None
    return Identity(uid, gid, tuple(os.getgrouplist(name, gid)) if name else (gid,))


def set_title(name: str, role: str, backend: str = "") -> None:
    """What `ps` shows of this process; nothing happens without a name.  Raises ConfigError."""
    if not name:
        return
    try:
        library = import_module("setproctitle")  # not of the house: only who asks for titles needs it
    except ImportError:
        raise ConfigError("proc_name: setproctitle is not there; pip install 'dualwsgi[title]'") from None
    library.setproctitle(f"{name}: {' '.join(filter(None, [role, backend]))}")


def settle(config: Config) -> None:
    """Where this process is, what files it makes, and what it is called.  Raises ConfigError."""
    if config.umask:
        os.umask(int(config.umask, 8))
    if config.chdir:
        try:
            os.chdir(config.chdir)
        except OSError as error:
            raise ConfigError(
                f"chdir: cannot change to {config.chdir!r}: {error.strerror}; give another"
            ) from None
    if not config.supervised:
        set_title(config.proc_name, "server", config.backend)


@contextmanager
def held_pid_file(config: Config) -> Iterator[None]:
    """The pid file, if one is wanted, while the server runs.  Raises ConfigError."""
    if not config.pidfile:
        yield
        return
    file = PidFile(config.pidfile)
    file.write()
    try:
        yield
    finally:
        file.remove()


class PidFile:
    """Holds this process's id while it runs.  Raises ConfigError if it cannot, or another runs."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._own = f"{os.getpid()}\n"
        self._fd = -1  # of the file, locked
        if os.path.exists(path) and not os.path.isfile(path):
            raise ConfigError(f"pidfile: {path} is no file; give another")
        if (other := self._running()) and other != os.getppid():
            raise ConfigError(
                f"pidfile: {path} says that process {other} runs; stop it, or give another file"
            )

    def _running(self) -> int:
        """The living process that the file names, other than this one; 0 if there is none."""
        try:
            with open(self._path, encoding="ascii") as file:
                written = os.fstat(file.fileno()).st_mtime
                pid = int(file.read(32))
                is_held = _is_locked(file.fileno())
        except (OSError, ValueError):
            return 0
        if pid <= 0 or pid == os.getpid():
            return 0
        if not is_held and _began(pid) > written + CLOCKS_DIFFER:
            return 0
        try:
            os.kill(pid, 0)
        except PermissionError:
            pass  # it runs, as somebody else
        except (OSError, OverflowError):
            return 0
        return pid

    def write(self) -> None:
        """Writes it, whole or not at all, and holds a lock on it from then on.  Raises ConfigError."""
        self._close()
        scratch = f"{self._path}.{os.getpid()}"
        try:
            with suppress(FileNotFoundError):
                os.unlink(scratch)
            # In a directory of everyone's, somebody may have put a link there, to a file of others.
            self._fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                os.write(self._fd, self._own.encode("ascii"))
                with suppress(OSError):  # not every file system has locks
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.replace(scratch, self._path)
            except OSError:
                os.unlink(scratch)
                self._close()
                raise
        except OSError as error:
            raise ConfigError(f"pidfile: cannot write {self._path}: {error.strerror}; give another") from None

    def remove(self) -> None:
        """Removes it, unless another process has written its own."""
        try:
            with open(self._path, encoding="ascii") as file:
                mine = file.read() == self._own
            if mine:
                os.unlink(self._path)
        except (OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                tell(f"dualwsgi: cannot remove the pid file: {error}")
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _is_locked(fd: int) -> bool:
    """Whether who wrote this file still runs.  A lock tells that whatever has been done to the clock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # unknown
    return False  # and with the file, this lock is gone again


def _began(pid: int) -> float:
    """When a process began, in seconds of the wall clock; 0.0 where the system does not tell.

    One that is younger than the file that names it has got the number of one that is gone: after a
    restart of a container, numbers are soon the same again.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b") ")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
