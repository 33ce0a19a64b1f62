"""The access log: one line a response, in the combined format.

    127.0.0.1 - - [24/Nov/2026:03:49:49 +0000] "GET /a?b=c HTTP/1.1" 200 1234 "referer" "user agent"

Lines are gathered and written many at a time, each write ending with a whole line; what is not
written yet is lost if the process is killed: at most one second's lines.  What clients sent is
escaped: a double quote or backslash by a backslash, any other character outside printable ASCII as
\\xHH, so that a line cannot be forged or play tricks on a terminal.
"""

from __future__ import annotations

import os
import re
import sys
import time
from _thread import allocate_lock
from posix import write
from typing import Final

from ...errors import ConfigError
from ...gateway.heads import Request
from ...gateway.site import logger
from ...http11.head import HTTP_11

LINES_HELD: Final = 512

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return "\\" + character if character in '"\\' else f"\\x{ord(character):02x}"


def escaped(text: str) -> str:
    """`text` as it may stand between double quotes in a log line."""
    return _UNSAFE.sub(_escape, text)


class AccessLog:
    """Writes to `target`: a path, appended to, or "-" for standard output.

    Raises ConfigError if the file cannot be opened.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._fd = self._open()
        self._lines: list[str] = []
        self._flushing = allocate_lock()  # native, and `write` with it: a hub flushes it, and must not switch
        self._second = 0
        self._stamp = ""
        self._stale = False

    def _open(self) -> int:
        try:
            if self._target == "-":
                return sys.stdout.fileno()
        except (AttributeError, OSError, ValueError):
            raise ConfigError("access_log: standard output is no file here; give a path") from None
        try:
            return os.open(self._target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(
                f"access_log: cannot write {self._target!r}: {error.strerror}; give a path that can be"
            ) from None

    def __call__(
        self, request: Request | None, peer: dict[str, str], status: str, size: int, seconds: float
    ) -> None:
        """Notes one response.  Never raises."""
        if request is None:
            said = ('"-" ', ' "-" "-"\n')
        else:
            said = request.logged or self._say(request)
        now = time.time()
        if int(now) != self._second:
            self._turn_second(int(now))
        lines = self._lines
        lines.append(
            f"{peer.get('REMOTE_ADDR') or '-'}{self._stamp}{said[0]}{status[:3]} {size or '-'}{said[1]}"
        )
        if len(lines) >= LINES_HELD:
            self.flush()

    def _say(self, request: Request) -> tuple[str, str]:
        line = request.line
        named = {name.lower(): value for name, value, _ in request.fields.lines}
        referer, agent = escaped(named.get("referer", "-")), escaped(named.get("user-agent", "-"))
        version = "HTTP/1.1" if line.version >= HTTP_11 else "HTTP/1.0"
        said = (f'"{line.method} {escaped(line.target)} {version}" ', f' "{referer}" "{agent}"\n')
        request.logged = said
        return said

    def _turn_second(self, second: int) -> None:
        local = time.localtime(second)
        # Not %b, which speaks the language of the locale.
        self._stamp = time.strftime(f" - - [%d/{_MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z] ", local)
        self._second = second

    def flush(self) -> None:
        """Writes what is held.  A log that cannot be written is reported, and its lines dropped."""
        lines = self._lines
        with self._flushing:
            if self._stale:
                self._open_anew()
            count = len(lines)
            if not count:
                return
            # Lines are only ever added at the end, so nobody loses one while these go.
            octets = memoryview("".join(lines[:count]).encode("latin-1", "backslashreplace"))
            del lines[:count]
            try:
                while octets and self._fd >= 0:
                    octets = octets[write(self._fd, octets) :]
            except OSError as error:
                logger.error("cannot write the access log: %s", error.strerror)

    def reopen(self) -> None:
        """Has the file opened anew before anything more is written: the present one was moved away.

        From any thread or signal handler, so it does no more than to take a note of it.
        """
        self._stale = True

    def _open_anew(self) -> None:
        self._stale = False
        if self._target == "-" or self._fd < 0:
            return
        try:
            fresh = self._open()
        except ConfigError as error:
            logger.error("cannot reopen the access log, going on with the old one: %s", error)
            return
        os.close(self._fd)
        self._fd = fresh

    def close(self) -> None:
        self.flush()
        # A call that outlives its server may still log; the number may be another file's by then.
        with self._flushing:
            fd, self._fd = self._fd, -1
        if self._target != "-" and fd >= 0:
            os.close(fd)
