"""Listening sockets: an address to a socket that listens, or an error that tells the cure.

Sockets are the C ones, below whatever a green backend patches.  Nothing here accepts.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat
from typing import Any, Final

from ..config import BindAddress
from ..errors import ConfigError
from .bind_error import explain_bind

_MAPPED: Final = "::ffff:"


class Listener:
    """A socket that listens, and what its address says to environ and to people."""

    def __init__(self, sock: _socket.socket, address: BindAddress, *, owned: bool = True) -> None:
        self.sock = sock
        self._path = address.path if owned and address.kind == "unix" else ""
        self._inode = os.stat(self._path).st_ino if self._path else 0
        self._unix = sock.family == _socket.AF_UNIX
        if self._unix:
            name = sock.getsockname()
            name = "@" + name[1:].decode() if isinstance(name, bytes) else name
            self.url = f"unix:{name}"
            self._host, self._port = "localhost", "80"  # PEP 3333: neither may be empty
            self._any = False
        else:
            host, port = sock.getsockname()[:2]
            self._host, self._port = host, str(port)
            self._any = host in ("0.0.0.0", "::")
            self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def peer_environ(self, sock: _socket.socket, address: Any) -> dict[str, str]:
        """REMOTE_* and SERVER_* of a connection; an IPv4 peer of a dual-stack socket is IPv4."""
        if self._unix:
            return {
                "REMOTE_ADDR": "",
                "REMOTE_PORT": "",
                "SERVER_NAME": self._host,
                "SERVER_PORT": self._port,
                "wsgi.url_scheme": "http",
            }
        host = sock.getsockname()[0].removeprefix(_MAPPED) if self._any else self._host
        return {
            "REMOTE_ADDR": address[0].removeprefix(_MAPPED),
            "REMOTE_PORT": str(address[1]),
            "SERVER_NAME": host,
            "SERVER_PORT": self._port,
            "wsgi.url_scheme": "http",
        }

    def disown(self) -> None:
        """From now on somebody else removes the file of a unix socket."""
        self._path = ""

    def close(self) -> None:
        """Stops listening; removes the file of a unix socket if it is still this one."""
        self.sock.close()
        if self._path:
            try:
                if os.stat(self._path).st_ino == self._inode:
                    os.unlink(self._path)
            except OSError:
                pass  # somebody else has removed it


def open_listener(address: BindAddress, backlog: int) -> Listener:
    """Binds and listens.  Raises ConfigError."""
    try:
        if address.kind == "fd":
            sock = _inherited(address.fd)
        elif address.kind == "tcp":
            sock = _tcp(address)
        else:
            sock = _unix(address)
    except OSError as error:
        raise explain_bind(address, error) from None
    try:
        sock.listen(backlog)
        sock.setblocking(False)
        return Listener(sock, address)
    except OSError as error:
        sock.close()
        raise explain_bind(address, error) from None


def adopt_listener(address: BindAddress, fd: int, *, owned: bool) -> Listener:
    """Takes over a descriptor that listens at `address`, opened by another process of this server.

    `owned`: the file of a unix socket is ours to remove.
    """
    os.set_inheritable(fd, False)
    sock = _socket.socket(fileno=fd)
    sock.setblocking(False)
    return Listener(sock, address, owned=owned)


def _inherited(fd: int) -> _socket.socket:
    sock = _socket.socket(fileno=os.dup(fd))
    if sock.type != _socket.SOCK_STREAM:
        sock.close()
        raise ConfigError(f"bind: fd://{fd} is not a stream socket; give a descriptor that listens")
    return sock


def _tcp(address: BindAddress) -> _socket.socket:
    host = address.host
    if not host:
        # Every interface: both families on one socket, where the machine has both.
        try:
            return _bound(_socket.AF_INET6, ("::", address.port), dual=True)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
        host = "0.0.0.0"
    infos = _socket.getaddrinfo(host, address.port, 0, _socket.SOCK_STREAM, 0, _socket.AI_PASSIVE)
    family, _, _, _, where = infos[0]
    return _bound(family, where, dual=False)


def _bound(family: int, where: Any, *, dual: bool) -> _socket.socket:
    sock = _socket.socket(family, _socket.SOCK_STREAM, 0)
    try:
        os.set_inheritable(sock.fileno(), False)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0 if dual else 1)
        # Accepted sockets inherit it: responses are written whole, so there is nothing to gather.
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _unix(address: BindAddress) -> _socket.socket:
    path = "\0" + address.path if address.kind == "abstract" else address.path
    if address.kind == "unix":
        _remove_stale(path)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    try:
        os.set_inheritable(sock.fileno(), False)
        sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """A socket that a dead server left behind is removed; a live one, or any other file, is not."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ConfigError(f"bind: unix:{path}: a file that is no socket is there; give another path")
    except FileNotFoundError:
        return
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError:
        pass  # bind() will say what is wrong
    finally:
        probe.close()
