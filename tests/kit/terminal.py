"""A terminal under test: a program on a pseudo-terminal, and a screen that is read as a person reads it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from wire import PATIENCE


class Terminal:
    """Runs `command` on a screen of `width` by `height` cells; a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        width: int = 80,
        height: int = 24,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        import pyte  # late: most workers of a run of all tests draw nothing

        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.status: int | None = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", **(environ or {})})
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)
            os.execvp(command[0], list(command))
        self.resize(width, height)
        self.before = termios.tcgetattr(self.fd)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.resize(height, width)

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def until(self, seen: Callable[[str], object], patience: float = 2 * PATIENCE) -> str:
        """The screen once `seen(text)` holds."""
        deadline = monotonic() + patience
        while not seen(self.text):
            assert monotonic() < deadline, f"not seen on the screen:\n{self.text}"
            assert self._read(0.1), f"the program has ended:\n{self.text}"
            while select.select([self.fd], [], [], 0)[0] and self._read(0):
                pass  # the rest of what it drew: reading the screen is what takes time
        return self.text

    def shows(self, *words: str) -> str:
        return self.until(lambda text: all(word in text for word in words))

    def exit(self) -> int:
        """Waits for the end of the program; its exit code, or minus the signal."""
        deadline = monotonic() + 2 * PATIENCE
        while self._read(0.1):
            assert monotonic() < deadline, f"it does not end:\n{self.text}"
        if self.status is None:
            self.status = os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(self.status)

    def _read(self, timeout: float) -> bool:
        """Takes in what comes; False at the end."""
        if not select.select([self.fd], [], [], timeout)[0]:
            if self.status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.status = status
            return self.status is None
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
