"""eventlet.support.greendns: names to addresses.  They are asked of the system, in real threads, as
the standard library does it; dnspython is not needed, and its resolver is not here."""

from __future__ import annotations

import ipaddress
from typing import Any

from ..green import socket as _green_socket

__all__ = [
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "is_ip_addr",
    "is_ipv4_addr",
    "is_ipv6_addr",
]

_green: Any = _green_socket  # whose names are put into it

getaddrinfo = _green.getaddrinfo
gethostbyname = _green.gethostbyname
gethostbyname_ex = _green.gethostbyname_ex
getnameinfo = _green.getnameinfo


def _version(host: str | bytes | None) -> int:
    text = host.decode("latin-1") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def is_ipv4_addr(host: str | bytes | None) -> bool:
    """Whether it is an address in numbers, and no name."""
    return _version(host) == 4


def is_ipv6_addr(host: str | bytes | None) -> bool:
    """The same for IPv6, with a zone (`%eth0`) if there is one."""
    return _version(host) == 6


def is_ip_addr(host: str | bytes | None) -> bool:
    return _version(host) != 0
