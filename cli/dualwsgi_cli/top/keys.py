"""The terminal: keys as they are pressed, and everything as it was before when we leave."""

from __future__ import annotations

import os
import select
import termios
import tty
from types import TracebackType
from typing import Final

__all__ = ["Keyboard"]

NAMES: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\t": "tab",
    b"\r": "enter",
    b"\n": "enter",
    b"\x1b": "escape",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x03": "q",
    b"\x0c": "redraw",
    b" ": "space",
}

PREFIXES: Final = {name[:length] for name in NAMES for length in range(1, len(name))}


class Keyboard:
    """Reads keys from a terminal; a context manager that restores its settings."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._before: list[object] | None = None
        self._held = b""

    def __enter__(self) -> Keyboard:
        self._before = termios.tcgetattr(self.fd)
        tty.setcbreak(self.fd)
        mode = termios.tcgetattr(self.fd)
        mode[3] &= ~termios.ISIG  # Ctrl-C is a key here, and Ctrl-Z would leave a broken screen
        termios.tcsetattr(self.fd, termios.TCSADRAIN, mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            try:
                termios.tcsetattr(self.fd, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]
            except (termios.error, OSError):
                pass  # the terminal is gone

    def read(self, timeout: float) -> list[str]:
        """The keys that come within `timeout` seconds; raises EOFError if the terminal is gone."""
        found: list[str] = []
        while self._ready(0.0 if found else timeout):
            data = os.read(self.fd, 1024)
            if not data:
                raise EOFError
            self._held += data
            found += self._take()
        if self._held:
            # An escape that nothing follows is the key of that name.
            found += self._take(final=not self._ready(0.05))
        return found

    def _ready(self, timeout: float) -> bool:
        return bool(select.select([self.fd], [], [], max(0.0, timeout))[0])

    def _take(self, *, final: bool = False) -> list[str]:
        found = []
        while self._held:
            length = next((size for size in (4, 3, 1) if self._held[:size] in NAMES), 0)
            if length == 1 and self._held in PREFIXES and not final:
                break
            if length:
                found.append(NAMES[self._held[:length]])
                self._held = self._held[length:]
                continue
            if self._held[:1] == b"\x1b":  # a key that means nothing here
                self._held = self._held[3:]
                continue
            text = self._held[:1].decode("utf-8", "ignore")
            self._held = self._held[1:]
            if text.isprintable() and text:
                found.append(text)
        return found
