"""A datagram socket to a daemon, by UDP or by a unix socket: for what is sent whether or not it is heard."""

from __future__ import annotations

import _socket
from typing import Any

from ...errors import ConfigError

__all__ = ["connect_datagram"]


def connect_datagram(
    shown: str,
    *,
    setting: str,
    cure: str,
    cure_unreached: str = "",
    path: str | None = None,
    place: str = "",
    host: str = "",
) -> tuple[_socket.socket, Any]:
    """A socket that never waits, and the address that it is connected to: a `path`, or a `place` HOST:PORT.

    `host` is for a place that names none.  Raises ConfigError, which names the setting, what it was (as
    `shown`) and the cure, another one where nobody listens.
    """
    try:
        address: Any
        if path is not None:
            family, address = _socket.AF_UNIX, path
        else:
            name, _, port = place.rpartition(":")
            found = _socket.getaddrinfo(name.strip("[]") or host, port, 0, _socket.SOCK_DGRAM)[0]
            family, address = found[0], found[4]
        sock = _socket.socket(family, _socket.SOCK_DGRAM)
        sock.setblocking(False)
    except OSError as error:
        raise ConfigError(f"{setting}: there is no {shown!r}: {error.strerror}; {cure}") from None
    try:
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"{setting}: cannot reach {shown!r}: {error.strerror}; {cure_unreached or cure}"
        ) from None
    return sock, address
