"""eventlet.backdoor: a Python console inside of a running process, for those who may connect to it.

Whoever can connect can do anything in the process: listen on a unix socket, or on loopback alone.
What the code of a console prints while it runs goes to its client, and so does what others print
meanwhile.
"""

from __future__ import annotations

import code
import contextlib
import sys
from typing import Any

from . import greenthread
from .ground import ground

__all__ = ["SocketConsole", "backdoor", "backdoor_server"]


class SocketConsole(code.InteractiveConsole):
    """A console over the two files of a connection (one for both would lose what it has read ahead)."""

    def __init__(self, lines: Any, out: Any, names: dict[str, Any] | None) -> None:
        super().__init__({"__builtins__": __builtins__, **(names or {})})
        self._lines = lines
        self._out = out

    def raw_input(self, prompt: str = "") -> str:
        self.write(prompt)
        line: str = self._lines.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def write(self, data: str) -> None:
        self._out.write(data)
        self._out.flush()

    def flush(self) -> None: ...

    def runcode(self, code: Any) -> None:
        with contextlib.redirect_stdout(self):  # type: ignore[type-var]
            super().runcode(code)


def backdoor_server(sock: Any, locals: dict[str, Any] | None = None) -> None:
    """Gives each client of the listening socket a console, whose names are `locals`; until it is closed."""
    try:
        while True:
            conn, address = ground.accept(sock)
            greenthread.spawn_n(backdoor, (conn, address), locals)
    except OSError:
        if sock.fileno() >= 0:
            raise
    finally:
        sock.close()


def backdoor(conn_info: Any, locals: dict[str, Any] | None = None) -> None:
    """The console of one client, (connection, address)."""
    conn, _ = conn_info
    try:
        with (
            conn.makefile("r", encoding="utf-8", errors="replace", newline="\n") as lines,
            conn.makefile("w", encoding="utf-8", errors="replace", newline="\n") as out,
        ):
            console = SocketConsole(lines, out, locals)
            with contextlib.suppress(SystemExit):
                console.interact(f"Python {sys.version} on {sys.platform}\n(InteractiveConsole)", exitmsg="")
    except (OSError, ValueError):
        pass  # the client is gone
    finally:
        conn.close()
