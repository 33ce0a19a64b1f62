"""Green sockets under eventlet's names: instances take attributes, and a reset reads as an end."""

from __future__ import annotations

import os
import socket as _socket
import ssl as _ssl
from typing import Any

from dualwsgi.green.socket import GreenMethods, conduct
from dualwsgi.green.socket import _Conduct as _PlainConduct
from dualwsgi.green.ssl import GreenSSLMethods

from .green import notify_opened, sole_waiters, wait_fd

__all__ = ["SSLSocket", "create", "socket"]


class _Conduct(_PlainConduct):
    """One reader and one writer at a time, as eventlet has it, unless it is told otherwise."""

    __slots__ = ()

    def wait(self, sock: Any, write: bool, deadline: float | None) -> None:
        watch = self.watch
        if (
            watch is not None
            and sole_waiters()
            and any(waiter.greenlet is not None for waiter in (watch.writers if write else watch.readers))
        ):
            what = "write" if write else "read"
            raise RuntimeError(
                f"Second simultaneous {what} on fileno {sock.fileno()} detected: two greenlets would get"
                " parts of one stream. If that is meant: debug.hub_prevent_multiple_readers(False)"
            )
        super().wait(sock, write, deadline)


class socket(GreenMethods):
    """A socket.socket that waits in the hub, and takes attributes."""

    _green: Any

    def __init__(
        self,
        family: Any = -1,
        type: Any = -1,
        proto: Any = -1,
        fileno: Any = None,
        *,
        set_nonblocking: bool = True,
    ) -> None:
        if isinstance(family, _socket.socket):  # GreenSocket(a_socket): the descriptor is its, and ours
            other = family
            timeout = other.gettimeout()
            super().__init__(other.family, other.type, other.proto, other.fileno())
            self._given = other
            conduct(self).timeout = timeout
            if not set_nonblocking:
                os.set_blocking(self.fileno(), True)
            return
        super().__init__(family, type, proto, fileno)
        self._green = _Conduct(conduct(self).timeout)
        notify_opened(self.fileno())

    @property
    def _sock(self) -> socket:
        """eventlet's sockets wrap another; these are it."""
        return self

    @property
    def fd(self) -> socket:
        return self

    def accept(self) -> tuple[_socket.socket, Any]:
        plain, address = GreenMethods.accept(self)
        timeout = plain.gettimeout()
        new = socket(plain.family, plain.type, plain.proto, plain.detach())
        new.settimeout(timeout)
        return new, address

    def dup(self) -> socket:
        new = socket(self.family, self.type, self.proto, _socket.dup(self.fileno()))
        new.settimeout(self.gettimeout())
        return new

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        try:
            if not bufsize:
                self._wait_readable()
            return GreenMethods.recv(self, bufsize, flags)
        except ConnectionResetError:
            return b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        try:
            if not nbytes and not memoryview(buffer):
                self._wait_readable()
            return GreenMethods.recv_into(self, buffer, nbytes, flags)
        except ConnectionResetError:
            return 0

    def _wait_readable(self) -> None:
        """Asking for nothing waits here until there is something, as eventlet has it."""
        timeout = self.gettimeout()
        if timeout != 0 and not wait_fd(self.fileno(), False, timeout):
            raise TimeoutError("timed out")


class SSLSocket(GreenSSLMethods, _ssl.SSLSocket, GreenMethods):  # type: ignore[misc]
    """An SSLSocket that waits in the hub; what it accepts is not negotiated yet."""

    def accept(self) -> tuple[Any, Any]:
        plain, address = GreenMethods.accept(self)
        timeout = plain.gettimeout()
        new = create(
            self.context,
            plain,
            server_side=True,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=self.suppress_ragged_eofs,
        )
        new.settimeout(timeout)
        return new, address

    def dup(self) -> Any:
        raise NotImplementedError("Can't dup() a TLS socket")


def create(context: _ssl.SSLContext, sock: Any, **kwargs: Any) -> Any:
    """`context.wrap_socket(sock, ...)` with a socket of this file's as the result."""
    return SSLSocket._create(sock, context=context, **kwargs)  # type: ignore[attr-defined]


def functions() -> dict[str, Any]:
    """The functions of the socket module that may wait, or make sockets."""
    from dualwsgi.green import dns

    names = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo", "getfqdn")
    found: dict[str, Any] = {name: getattr(dns, name) for name in names}
    found.update(
        fromfd=_fromfd, socketpair=_socketpair, create_connection=_create_connection, GreenSocket=socket
    )
    return found


def _fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    return socket(family, type, proto, _socket.dup(fd))


def _socketpair(
    family: int | None = None, type: int = _socket.SOCK_STREAM, proto: int = 0
) -> tuple[socket, socket]:
    family = _socket.AF_UNIX if family is None else family
    first, second = _socket.socketpair(family, type, proto)
    return socket(family, type, proto, first.detach()), socket(family, type, proto, second.detach())


_DEFAULT: Any = _socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]


def _create_connection(
    address: tuple[str, int], timeout: Any = _DEFAULT, source_address: Any = None, **kwargs: Any
) -> socket:
    from dualwsgi.green.socket import create_connection

    plain = create_connection(address, timeout, source_address)
    kept = plain.gettimeout()
    new = socket(plain.family, plain.type, plain.proto, plain.detach())
    new.settimeout(kept)
    return new


def open_pipe(fd: int, mode: str, bufsize: int) -> Any:
    """A descriptor as a file."""
    from dualwsgi.green import os as green_os

    return green_os.fdopen(fd, mode, bufsize)


def parts(module: str) -> dict[str, Any]:
    """What of a standard module waits in the hub here."""
    from dualwsgi.green import os as green_os
    from dualwsgi.green import select, threading
    from dualwsgi.green.sync import Lock, RLock

    from .green import sleep

    names: dict[str, tuple[Any, tuple[str, ...]]] = {
        "os": (
            green_os,
            ("read", "write", "close", "fdopen", "wait", "wait3", "wait4", "waitpid", "waitid", "system"),
        ),
        "select": (select, ("select", "poll", "epoll")),
    }
    if module in names:
        home, wanted = names[module]
        found = {name: getattr(home, name) for name in wanted}
        return found | ({"get_fileno": get_fileno} if module == "select" else {})
    if module == "time":
        return {"sleep": sleep}
    if module == "_thread":
        return {
            **dict.fromkeys(("allocate_lock", "allocate", "LockType", "Lock", "lock"), Lock),
            "RLock": RLock,
            "get_ident": threading.get_ident,
            "start_new_thread": threading.start_new_thread,
            "start_new": threading.start_new_thread,
            "_local": _local(),
            "_set_sentinel": threading.set_sentinel,
            "start_joinable_thread": threading.start_joinable_thread,
            "_ThreadHandle": threading.ThreadHandle,
            "_make_thread_handle": threading.make_thread_handle,
            "_get_main_thread_ident": threading.get_ident,
        }
    return {"Lock": Lock, "local": _local()} if module == "threading" else {}


def get_fileno(thing: Any) -> int:
    """The descriptor of `thing`, or itself."""
    number = thing.fileno() if hasattr(thing, "fileno") else thing
    if not isinstance(number, int):
        raise TypeError(f"Expected int or long, got {type(number)}")
    return number


def _local() -> Any:
    from dualwsgi.green import local

    return local
