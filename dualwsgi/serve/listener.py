"""Listening sockets: an address to a socket that listens, or an error that tells the cure.

Sockets are the C ones, below whatever a green backend patches.  Nothing here accepts.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import Any, Final

from ..backends.stream import Borrowed
from ..config import BindAddress, Config, bracketed
from ..errors import ConfigError
from .bind_error import explain_bind
from .systemd import find_passed

_MAPPED: Final = "::ffff:"

_PEERCRED: Final[int] = getattr(_socket, "SO_PEERCRED", 0)
_UCRED: Final = struct.Struct("=iII")


class Listener:
    """A socket that listens, and what its address says to environ and to people."""

    def __init__(self, sock: _socket.socket, address: BindAddress, *, owned: bool = True) -> None:
        self.sock = sock
        self._path = address.path if owned and address.kind == "unix" else ""
        self._inode = _inode_of(self._path)
        self._unix = sock.family == _socket.AF_UNIX
        self.secure = False
        """What is accepted speaks TLS; whoever has the settings says so."""
        if self._unix:
            name = sock.getsockname()
            name = "@" + name[1:].decode() if isinstance(name, bytes) else name
            self._place = f"unix:{name}"
            self._host, self._port = "localhost", ""
            self._any = False
        else:
            host, port = sock.getsockname()[:2]
            self._host, self._port = host, str(port)
            self._any = host in ("0.0.0.0", "::")
            self._place = f"{bracketed(host)}:{port}"

    @property
    def url(self) -> str:
        """Where it listens: "http://127.0.0.1:8000", "https://[::1]:443", "unix:/run/app.sock"."""
        return self._place if self._unix else f"{self._scheme}://{self._place}"

    @property
    def _scheme(self) -> str:
        return "https" if self.secure else "http"

    def peer_environ(self, fd: int, address: Any) -> dict[str, str]:
        """REMOTE_* and SERVER_* of a connection; an IPv4 peer of a dual-stack socket is IPv4."""
        if self._unix:
            return {
                "REMOTE_ADDR": "",
                "REMOTE_PORT": "",
                "SERVER_NAME": self._host,
                "SERVER_PORT": "443" if self.secure else "80",  # PEP 3333: it may not be empty
                "wsgi.url_scheme": self._scheme,
                **_credentials(fd),
            }
        host = self._host
        if self._any:
            with Borrowed(fileno=fd) as sock:
                host = sock.getsockname()[0].removeprefix(_MAPPED)
        return {
            "REMOTE_ADDR": address[0].removeprefix(_MAPPED),
            "REMOTE_PORT": str(address[1]),
            "SERVER_NAME": bracketed(host),  # so that it makes a host with the port (RFC 3875 section 4.1.14)
            "SERVER_PORT": self._port,
            "wsgi.url_scheme": self._scheme,
        }

    @property
    def lost(self) -> bool:
        """The file of its unix socket was removed or replaced, so that no client can find it any more."""
        return bool(self._path) and (not self._inode or _inode_of(self._path) != self._inode)

    def disown(self) -> None:
        """From now on somebody else removes the file of a unix socket."""
        self._path = ""

    def leave(self) -> None:
        """Lets go of it in a child: who listens is the process that has forked it."""
        self.disown()
        try:
            self.sock.close()
        except OSError:
            pass

    def close(self) -> None:
        """Stops listening; removes the file of a unix socket if it is still this one."""
        self.sock.close()
        if self._path:
            try:
                if not self.lost:
                    os.unlink(self._path)
            except OSError:
                pass  # somebody else has removed it


def open_listener(address: BindAddress, config: Config) -> Listener:
    """Binds and listens as `config` says.  Raises ConfigError."""
    try:
        passed = address.fd if address.kind == "fd" else find_passed(address)
        if passed is not None:
            sock = _inherited(passed)
        elif address.kind == "tcp":
            sock = _tcp(address, config.reuse_port)
        else:
            sock = _unix(address, config)
    except OSError as error:
        raise explain_bind(address, error) from None
    try:
        sock.listen(config.backlog)
        sock.setblocking(False)
        return Listener(sock, address, owned=passed is None)
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


def _inode_of(path: str) -> int:
    """Which file that is; 0 if there is none."""
    try:
        return os.stat(path).st_ino if path else 0
    except OSError:
        return 0


def _credentials(fd: int) -> dict[str, str]:
    """Which process is at the other end of a unix socket, and whose it is, where the system tells."""
    if not _PEERCRED:
        return {}
    with Borrowed(fileno=fd) as sock:
        pid, uid, gid = _UCRED.unpack(sock.getsockopt(_socket.SOL_SOCKET, _PEERCRED, _UCRED.size))
    return {"X_REMOTE_PID": str(pid), "X_REMOTE_UID": str(uid), "X_REMOTE_GID": str(gid)}


def _inherited(fd: int) -> _socket.socket:
    sock = _socket.socket(fileno=os.dup(fd))
    os.set_inheritable(fd, False)  # the number stays ours; programs that we start need none of it
    if sock.family in (_socket.AF_INET, _socket.AF_INET6) and sock.type == _socket.SOCK_STREAM:
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    if sock.type != _socket.SOCK_STREAM:
        sock.close()
        raise ConfigError(f"bind: fd://{fd} is not a stream socket; give a descriptor that listens")
    return sock


def _tcp(address: BindAddress, reuse_port: bool) -> _socket.socket:
    host = address.host
    if not host:
        # Every interface: both families on one socket, where the machine has both.
        try:
            return _bound(_socket.AF_INET6, ("::", address.port), dual=True, reuse_port=reuse_port)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
        host = "0.0.0.0"
    infos = _socket.getaddrinfo(host, address.port, 0, _socket.SOCK_STREAM, 0, _socket.AI_PASSIVE)
    family, _, _, _, where = infos[0]
    return _bound(family, where, dual=False, reuse_port=reuse_port)


def _bound(family: int, where: Any, *, dual: bool, reuse_port: bool) -> _socket.socket:
    sock = _socket.socket(family, _socket.SOCK_STREAM, 0)
    try:
        os.set_inheritable(sock.fileno(), False)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0 if dual else 1)
        # Accepted sockets inherit it: responses are written whole, so there is nothing to gather.
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _unix(address: BindAddress, config: Config) -> _socket.socket:
    path = "\0" + address.path if address.kind == "abstract" else address.path
    mode = int(config.unix_socket_perms, 8) if config.unix_socket_perms else None
    owner = find_owner(config.unix_socket_owner) if config.unix_socket_owner else None
    if address.kind == "unix":
        _remove_stale(path)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    try:
        os.set_inheritable(sock.fileno(), False)
        if mode is not None:
            # Linux makes the file with the bits of the socket, less the umask: so it is never more
            # open than it should be, not even for a moment.
            os.fchmod(sock.fileno(), mode)
        sock.bind(path)
        if address.kind == "unix":
            if owner is not None:
                os.chown(path, *owner)
            if mode is not None:
                os.chmod(path, mode)
    except BaseException as error:
        sock.close()
        if isinstance(error, PermissionError) and owner is not None and os.path.exists(path):
            os.unlink(path)
            raise ConfigError(
                f"unix_socket_owner: {config.unix_socket_owner!r} may not be given {path!r} by this user; "
                "give this user, one of its groups as :GROUP, or start as root"
            ) from None
        raise
    return sock


def find_owner(text: str) -> tuple[int, int]:
    """USER, USER:GROUP or :GROUP, by name or number, as numbers; -1 for what is not to change.

    Raises ConfigError.
    """
    user, _, group = text.partition(":")
    return _number("user", user, _uid), _number("group", group, _gid)


def _number(kind: str, name: str, look_up: Callable[[str], int]) -> int:
    if not name:
        return -1
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return look_up(name)
    except KeyError:
        raise ConfigError(f"unix_socket_owner: there is no {kind} {name!r}; give one that there is") from None


def _uid(name: str) -> int:
    import pwd

    return pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    import grp

    return grp.getgrnam(name).gr_gid


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
