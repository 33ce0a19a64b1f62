"""Why an address cannot be listened on, and what to do: from an OSError to a ConfigError.

Knows what the kernel's errors mean to an operator; opens and probes nothing.
"""

from __future__ import annotations

import errno
from _socket import gaierror

from ..config import BindAddress
from ..errors import ConfigError

__all__ = ["BindError", "explain_bind"]

# Up to here a port is the superuser's, unless the kernel is told otherwise.
LAST_PRIVILEGED_PORT = 1023


class BindError(ConfigError):
    """An address that cannot be listened on.  The text names it and the cure."""


def explain_bind(address: BindAddress, error: OSError) -> BindError:
    """The error to raise (`from error`) where making, binding or listening on a socket failed."""
    on_disk = address.kind == "unix"
    match error.errno:
        case _ if isinstance(error, gaierror):
            problem, cure = "is a host that no name service knows", "give an address of this machine"
        case errno.EADDRINUSE if on_disk:
            problem, cure = "is in use by a running server", f"see which: ss -xlp src {address.path}"
        case errno.EADDRINUSE if address.kind == "tcp":
            problem = "is in use"
            cure = f"give another port, or see who holds it: ss -tlnp sport = :{address.port}"
        case errno.EADDRINUSE:
            problem, cure = "is in use", "give another"
        case errno.EADDRNOTAVAIL:
            problem, cure = (
                "is no address of this machine",
                f"give 127.0.0.1:{address.port} or :{address.port}",
            )
        case errno.EAFNOSUPPORT:
            problem, cure = "is of a family that this machine has switched off", "give an IPv4 address"
        case errno.EACCES | errno.EPERM if address.kind == "tcp" and address.port <= LAST_PRIVILEGED_PORT:
            problem = f"needs a privilege, as every port up to {LAST_PRIVILEGED_PORT}"
            cure = "give a higher port, or grant CAP_NET_BIND_SERVICE"
        case errno.EACCES | errno.EPERM | errno.EROFS if on_disk:
            problem, cure = "may not be made", "give a directory that this user may write to"
        case errno.ENOENT | errno.ENOTDIR if on_disk:
            problem, cure = "is in a directory that does not exist", "make it, or give another"
        case errno.EBADF | errno.ENOTSOCK | errno.EINVAL if address.kind == "fd":
            problem, cure = (
                "is not a listening socket",
                "give the number of one that was passed to this process",
            )
        case _:
            problem, cure = f"cannot be listened on ({error.strerror or error})", "give another"
    return BindError(f"bind: {address} {problem}; {cure}")
