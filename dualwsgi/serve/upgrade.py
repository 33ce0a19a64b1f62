"""Handing the listeners to a new program: the elder supervisor starts it, and waits for its word.

The new supervisor is a process of its own, started from the same command line, so that a program that
does not work costs nothing: the elder goes on.  It inherits the listeners and one end of a channel,
both named in the environment, and says `ready` when its workers serve.
"""

from __future__ import annotations

import _socket
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from ..config import parse_bind
from .channel import Channel, pair
from .listener import Listener, adopt_listener
from .process import interpreter_flags

__all__ = ["Upgrade", "inherit"]

VARIABLE: Final = "_DUALWSGI_INHERITED"
"""The channel's descriptor, then a line for each listener: its descriptor, a space, its address."""

LINEAGE: Final = "_DUALWSGI_LINEAGE"
"""What the counts of a server's supervisors stand under, the first one's name; see observe/ledger.py."""

try:
    _START_DIRECTORY: str | None = os.getcwd()
except OSError:  # it has been removed
    _START_DIRECTORY = None


class Upgrade:
    """A new supervisor of the same lineage on its way.  Raises OSError if it cannot be started."""

    def __init__(self, listeners: Sequence[tuple[str, Listener]], lineage: str) -> None:
        self.channel, theirs = pair()
        numbers = [listener.sock.fileno() for _, listener in listeners]
        lines = [str(theirs.fileno())]
        lines += [f"{number} {text}" for number, (text, _) in zip(numbers, listeners, strict=True)]
        try:
            self._popen = subprocess.Popen(
                _command(),
                cwd=_START_DIRECTORY,
                env=os.environ | {VARIABLE: "\n".join(lines), LINEAGE: lineage},
                pass_fds=[theirs.fileno(), *numbers],
            )
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.pid = self._popen.pid

    def stop(self, number: signal.Signals) -> None:
        """Ends the new supervisor as its elder is ended: it does not serve yet, or has just begun to."""
        self._popen.send_signal(number)

    def outcome(self) -> str | None:
        """ "" once it serves; why it never will; None while that is open."""
        ready = any(word == "ready" for word, _, _ in self.channel.lines())
        if not ready and not self.channel.closed:
            return None
        self.channel.close()
        if ready:
            # It outlives us: its end is not ours to wait for.
            self._popen.returncode = 0
            return ""
        return f"ended with code {self._popen.wait()}"


def _command() -> list[str]:
    """The command line that this program was started by."""
    if not sys.orig_argv[1:]:
        return [sys.executable, *interpreter_flags(), *sys.argv]
    return [sys.executable, *sys.orig_argv[1:]]


def inherit() -> tuple[Channel | None, list[tuple[str, Listener]], str]:
    """What an elder supervisor has left to this process: a channel to it, its listeners, and its lineage."""
    text, lineage = os.environ.pop(VARIABLE, ""), os.environ.pop(LINEAGE, "")
    if not text:
        return None, [], ""
    number, *lines = text.split("\n")
    listeners = []
    for line in lines:
        descriptor, _, address = line.partition(" ")
        listeners.append((address, adopt_listener(parse_bind(address), int(descriptor), owned=True)))
    os.set_inheritable(int(number), False)
    return Channel(_socket.socket(fileno=int(number))), listeners, lineage
