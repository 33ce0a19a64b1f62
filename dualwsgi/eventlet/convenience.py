"""eventlet.convenience: listening, connecting, and a server for any protocol."""

from __future__ import annotations

import socket as _socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

from . import greenpool
from .ground import ground
from .ground.net import net

__all__ = ["StopServe", "connect", "listen", "serve", "wrap_ssl"]


class ReuseRandomPortWarning(Warning):
    """SO_REUSEPORT with port 0: each process would listen on a port of its own."""


class ReusePortUnavailableWarning(Warning):
    """reuse_port was asked for, and this system has no SO_REUSEPORT."""


def connect(addr: Any, family: int = _socket.AF_INET, bind: Any = None) -> Any:
    """A socket connected to `addr`, from the address `bind` if given."""
    sock = net.socket(family, _socket.SOCK_STREAM)
    try:
        if bind is not None:
            sock.bind(bind)
        sock.connect(addr)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(
    addr: Any,
    family: int = _socket.AF_INET,
    backlog: int = 50,
    reuse_addr: bool = True,
    reuse_port: bool | None = None,
) -> Any:
    """A socket that listens on `addr`: (host, port), or a path with AF_UNIX.

    As eventlet does, it sets SO_REUSEPORT where there is one, unless `reuse_port` is False.
    """
    sock = net.socket(family, _socket.SOCK_STREAM)
    try:
        if reuse_addr and sys.platform[:3] != "win":
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family in (_socket.AF_INET, _socket.AF_INET6):
            if reuse_port and addr[1] == 0:
                warnings.warn(
                    "listen on random port (0) with SO_REUSEPORT is dangerous. Double check your intent.",
                    ReuseRandomPortWarning,
                    stacklevel=3,
                )
            if reuse_port is None or reuse_port:
                _share_port(sock, bool(reuse_port))
        sock.bind(addr)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _share_port(sock: Any, was_asked_for: bool) -> None:
    """SO_REUSEPORT, which eventlet sets unless it is told not to."""
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
    except (OSError, AttributeError):
        if was_asked_for:
            warnings.warn("SO_REUSEPORT cannot be set here", ReusePortUnavailableWarning, stacklevel=4)


class StopServe(Exception):
    """Raised by a handler of serve(), to end it."""


def serve(sock: Any, handle: Callable[[Any, Any], Any], concurrency: int = 1000) -> None:
    """Calls handle(connection, address) for each connection, up to `concurrency` at once.

    Returns when a handler has raised StopServe; what else a handler raises is raised here.
    """
    pool = greenpool.GreenPool(concurrency)
    interrupt = ground.Interrupter()
    try:
        while True:
            conn, address = ground.accept(sock)
            thread = pool.spawn(_handle, handle, conn, address, interrupt)
            del conn, address, thread
    except StopServe:
        return
    finally:
        interrupt.close()


def _handle(
    handle: Callable[[Any, Any], Any], conn: Any, address: Any, interrupt: Callable[[BaseException], None]
) -> None:
    """One connection of serve(); what its handler raises ends the loop, where it is raised again."""
    try:
        try:
            handle(conn, address)
        finally:
            conn.close()
    except ground.GreenletExit:
        pass
    except Exception as error:
        interrupt(error)


def wrap_ssl(sock: Any, *args: Any, **kwargs: Any) -> Any:
    """`sock` as a TLS socket; arguments are those of ssl.wrap_socket, as it was until Python 3.11:

    keyfile, certfile, server_side, cert_reqs, ssl_version, ca_certs, do_handshake_on_connect,
    suppress_ragged_eofs, ciphers, server_hostname.
    """
    from .green import ssl

    return ssl.wrap_socket(sock, *args, **kwargs)
