"""Names and addresses: the system's own resolver, in real threads.

So /etc/hosts, nsswitch, mDNS and search lists work as everywhere; a greenlet that asks waits, and
stops waiting when it is killed (the lookup itself ends in its thread).  What needs no lookup is
answered at once.
"""

from __future__ import annotations

import socket
from typing import Any

from dualwsgi.green import originals
from dualwsgi.green.hub import current_hub
from dualwsgi.green.pool import ThreadPool

__all__ = ["getaddrinfo", "getfqdn", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo"]

_pool = ThreadPool(16, signals=False)


def _in_thread(fn: Any, *args: Any, **kwargs: Any) -> Any:
    """`fn(...)`, in a real thread if others could run here meanwhile."""
    if current_hub() is None:
        return fn(*args, **kwargs)
    return _pool.apply(fn, *args, **kwargs)


def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
    """As `socket.getaddrinfo`."""
    try:
        return originals.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        if host is None:
            raise
    return _in_thread(originals.getaddrinfo, host, port, family, type, proto, flags)


def _is_ipv4(host: Any) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, TypeError, ValueError):
        return False
    return True


def gethostbyname(hostname: str) -> str:
    """As `socket.gethostbyname`."""
    if _is_ipv4(hostname) or not hostname:
        return originals.gethostbyname(hostname)
    return _in_thread(originals.gethostbyname, hostname)  # type: ignore[no-any-return]


def gethostbyname_ex(hostname: str) -> Any:
    """As `socket.gethostbyname_ex`."""
    return _in_thread(originals.gethostbyname_ex, hostname)


def gethostbyaddr(ip_address: str) -> Any:
    """As `socket.gethostbyaddr`."""
    return _in_thread(originals.gethostbyaddr, ip_address)


def getnameinfo(sockaddr: Any, flags: int) -> Any:
    """As `socket.getnameinfo`."""
    if flags & socket.NI_NUMERICHOST:
        return originals.getnameinfo(sockaddr, flags)
    return _in_thread(originals.getnameinfo, sockaddr, flags)


def getfqdn(name: str = "") -> str:
    """As `socket.getfqdn`."""
    return _in_thread(originals.getfqdn, name)  # type: ignore[no-any-return]


def numeric(family: int, address: Any) -> Any:
    """The address with its host name resolved, so that the C code below has nothing to look up."""
    if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple) or not address:
        return address
    host = address[0]
    if not host or not isinstance(host, str | bytes) or host in ("<broadcast>", "<any>"):
        return address
    if family == socket.AF_INET and _is_ipv4(host):
        return address
    if len(address) < 2 or not isinstance(address[1], int):
        return address  # the C code says what is wrong with it
    found = getaddrinfo(host, None, family)[0][4]
    if family == socket.AF_INET6 and len(address) < 4 and len(found) == 4:
        # An address without a scope of its own takes that of its name (fe80::1%eth0).
        return (found[0], *address[1:], *(0, found[3])[len(address) - 2 :])
    return (found[0], *address[1:])
