"""systemd's two protocols: sockets that it passes (sd_listen_fds), and what it is told (sd_notify).

Both live in the environment and mean nothing where they are not in it.  Knows no server.
"""

from __future__ import annotations

import _socket
import os
from collections.abc import Callable
from time import monotonic
from typing import Final

from ..config import BindAddress

__all__ = ["Watchdog", "find_passed", "notify", "passed_binds"]

FIRST: Final = 3
"""The first descriptor that is passed."""

KEPT: Final = "_DUALWSGI_PASSED"
"""The addresses of passed sockets, for the process that an upgrade puts in place of this one."""


def _passed() -> range:
    """The descriptors that were passed to this very process."""
    pid, count = os.environ.get("LISTEN_PID", ""), os.environ.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdigit()) or pid != str(os.getpid()):
        return range(0)
    return range(FIRST, FIRST + int(count))


def passed_binds() -> tuple[str, ...]:
    """The sockets that were passed, as addresses to bind; none if there are none."""
    texts = tuple(f"fd://{fd}" for fd in _passed())
    if texts:
        os.environ[KEPT] = " ".join(texts)
    return texts or tuple(os.environ.get(KEPT, "").split())


def find_passed(address: BindAddress) -> int | None:
    """The passed socket that listens at this address already; None if there is none."""
    for fd in _passed():
        try:
            sock = _socket.socket(fileno=os.dup(fd))
        except OSError:
            continue  # something else than a socket
        try:
            if sock.type == _socket.SOCK_STREAM and _is_at(sock, address):
                return fd
        finally:
            sock.close()
    return None


def _is_at(sock: _socket.socket, address: BindAddress) -> bool:
    name = sock.getsockname()
    if sock.family == _socket.AF_UNIX:
        if isinstance(name, bytes):
            return address.kind == "abstract" and name == b"\0" + address.path.encode()
        return address.kind == "unix" and os.path.realpath(name) == os.path.realpath(address.path)
    if address.kind != "tcp" or name[1] != address.port:
        return False
    return name[0] == address.host or (not address.host and name[0] in ("::", "0.0.0.0"))


# What it is told


def notify(state: str) -> bool:
    """Tells systemd "READY=1", "STOPPING=1" and the like; whether it was told.  Never raises."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return False
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            sock.setblocking(False)
            sock.sendto(state.encode(), "\0" + name[1:] if name.startswith("@") else name)
        finally:
            sock.close()
    except OSError:
        return False
    return True


class Watchdog:
    """The sign of life that WatchdogSec= wants: asked for by `ask`, which has it given by those who live.

    `patience` is how long (seconds) its owner may sleep; None where nobody watches.
    """

    def __init__(self, ask: Callable[[Callable[[], object]], None]) -> None:
        self._ask = ask
        self._due = 0.0
        text = os.environ.get("WATCHDOG_USEC", "")
        watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        ours = watched and text.isascii() and text.isdigit() and int(text) > 0
        self.patience = int(text) / 2_000_000 if ours else None

    def beat(self) -> None:
        """To be called at least as often as `patience` says."""
        if self.patience is not None and monotonic() >= self._due:
            self._due = monotonic() + self.patience * 0.9
            self._ask(lambda: notify("WATCHDOG=1"))
