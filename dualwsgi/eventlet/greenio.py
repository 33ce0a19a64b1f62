"""eventlet.greenio: sockets and pipes that wait as the chosen backend waits."""

from __future__ import annotations

import socket as _socket
from typing import Any

from .ground.net import net
from .serving.stream import shut_down as shutdown_safe

__all__ = ["SOCKET_BLOCKING", "SOCKET_CLOSED", "GreenPipe", "GreenSocket", "set_nonblocking", "shutdown_safe"]

GreenSocket: Any = net.socket
_fileobject: Any = _socket.SocketIO
SOCKET_BLOCKING = frozenset({11, 115, 114})
SOCKET_CLOSED = frozenset({32, 104, 107, 108})


class SSL:
    """What pyOpenSSL's module would bring; it is only asked for this name."""

    class ZeroReturnError(Exception):
        pass


def set_nonblocking(fd: Any) -> None:
    """`fd`, a descriptor or what has one, does not block at the level of the system."""
    import os

    os.set_blocking(fd if isinstance(fd, int) else fd.fileno(), False)


def GreenPipe(f: Any, mode: str = "r", bufsize: int = -1) -> Any:
    """A file over a pipe's descriptor, or over a duplicate of another file's; or a file by its name."""
    import os

    if isinstance(f, str):
        return open(f, mode, bufsize)
    return net.open_pipe(f if isinstance(f, int) else os.dup(f.fileno()), mode, bufsize)
