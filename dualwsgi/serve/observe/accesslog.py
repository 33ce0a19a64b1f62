"""The access log: one line a response, in the combined format or in any other (see logformat.py).

    127.0.0.1 - - [24/Nov/2026:03:49:49 +0000] "GET /a?b=c HTTP/1.1" 200 1234 "referer" "user agent"

Lines are gathered and written many at a time, each write ending with a whole line; what is not
written yet is lost if the process is killed: at most one second's lines.  What clients sent is
escaped: a double quote or backslash by a backslash, any other character outside printable ASCII as
\\xHH, so that a line cannot be forged or play tricks on a terminal.

No request waits for whoever reads a log.  What is no file of a disk (a pipe, a terminal) is written by a
native thread of its own, since one that nobody reads would else keep a leader, and then another, and a
hub for good.  What such a reader leaves unread is held up to HELD_MOST; then lines are dropped, counted
and told.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections import deque
from posix import write
from typing import Any, Final

from ...config import Config
from ...errors import ConfigError
from ...gateway.heads import Request
from ...gateway.site import logger
from ...http11.head import HTTP_11
from ...native import Bell, native_lock, native_sleep, start_native
from ..nonblocking import AGAIN_AFTER, open_for_log, whole_lines
from .datagram import connect_datagram
from .journal import Journal
from .logformat import COMBINED, MONTHS, Ended, Format, escaped

__all__ = ["AccessLog", "FormattedLog", "Skip", "check_log", "open_journal", "open_log"]

LINES_HELD: Final = 512
"""Lines after which they are written without waiting for the end of the second."""

HELD_MOST: Final = 8 << 20
"""Characters that wait for a reader who does not keep up."""

COMPLAINT_INTERVAL: Final = 60.0
"""Seconds between two reports that the log cannot be written, or opened anew."""

LAST_PATIENCE: Final = 2.0
"""Seconds that a pipe has to take the last lines."""

NEWLINE: Final = 10

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the file was moved away."""

SYSLOG: Final = "syslog:"
SYSLOG_PRIORITY: Final = 16 * 8 + 6
"""local0.info (RFC 5424 section 6.2.1)."""


Complaint = tuple[Any, ...]
"""What goes to the error log: a text, and what stands for the signs in it."""


class AccessLog:
    """Writes to `target`: a path, appended to, "-" for standard output, or what open_syslog() takes.

    Raises ConfigError if the file cannot be opened.
    """

    reads = frozenset({"referer", "user-agent"})

    def __init__(self, target: str) -> None:
        self._target = target
        self._syslog = target.startswith(SYSLOG)
        self._take_up(self._open())
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""
        # All locks are native, and `write` too: a hub's greenlets come here, and must not switch.
        self._lock = native_lock()  # for moments: over what waits, and the count of what does not
        self._waiting: deque[tuple[list[str], int]] = deque()  # and their length
        self._held = 0  # characters that wait
        self._dropped = 0  # lines, since it was last written
        self._next_complaint = 0.0
        self._writing = native_lock()  # whoever writes holds it, and what follows is theirs
        self._stale = False
        self._torn = False  # the last line in the file has no end
        self._looked = 0.0
        self._wake = Bell()  # for its thread, which sleeps on it
        self._has_thread = False
        self._closed = False

    def _take_up(self, fd: int) -> None:
        self._fd = fd
        # A file, or the socket of a daemon, which never makes anybody wait.
        self._is_regular = self._syslog or stat.S_ISREG(os.fstat(fd).st_mode)

    def _open(self) -> int:
        if self._syslog:
            return open_syslog(self._target)
        try:
            if self._target == "-":
                return sys.stdout.fileno()
        except (AttributeError, OSError, ValueError):
            raise ConfigError("access_log: standard output is closed; give the path of a file") from None
        try:
            return open_for_log(self._target)
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
        named = {name.lower(): value for name, value, _ in request.lines}
        referer, agent = escaped(named.get("referer", "-")), escaped(named.get("user-agent", "-"))
        version = "HTTP/1.1" if line.version >= HTTP_11 else "HTTP/1.0"
        said = (f'"{line.method} {escaped(line.target)} {version}" ', f' "{referer}" "{agent}"\n')
        request.logged = said
        return said

    def _turn_second(self, second: int) -> None:
        local = time.localtime(second)
        # Not %b, which speaks the language of the locale.
        self._stamp = time.strftime(f" - - [%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z] ", local)
        self._second = second

    def flush(self) -> None:
        """Has what is held written; waits for nobody but a disk.  Never raises."""
        if self._is_regular:
            self.write_out()
            return
        complaint = self._put_by()
        try:
            if complaint is not None:
                start_native(logger.error, *complaint)  # by who may wait: it may go where nobody reads, too
            if not self._has_thread and not self._closed:
                self._has_thread = True
                start_native(self._work)
        except RuntimeError:  # there are no threads just now; the next flush tries again
            self._has_thread = False
        self._wake.ring()

    def _put_by(self) -> Complaint | None:
        """Lets the lines wait to be written, or drops them if too much waits already."""
        lines = self._lines
        with self._lock:
            count = len(lines)
            if not count:
                return None
            # Lines are only ever added at the end, so nobody loses one while these go.
            held, lines[:count] = lines[:count], []
            size = sum(map(len, held))
            if self._held + size <= HELD_MOST or not self._waiting:
                self._held += size
                self._waiting.append((held, size))
                return None
            return self._drop(count, "nobody reads it" if self._writing.locked() else "no thread can be had")

    def _work(self) -> None:
        """The life of the log's thread."""
        while not self._closed:
            self._wake.wait()
            self.write_out()
        self._shut()

    def write_out(self) -> None:
        """Writes what is held, in this thread.  What cannot be written is dropped, and reported."""
        complaints = [self._put_by()]
        with self._writing:
            complaints.append(self._open_anew() if self._stale or self._is_moved() else None)
            while self._waiting:
                held, size = self._waiting[0]
                complaints.append(self._write_lines(held))
                with self._lock:
                    self._waiting.popleft()
                    self._held -= size
        # Only now: the handlers of a log may wait, and whoever else writes must not wait for them.
        for complaint in complaints:
            if complaint is not None and not self._closed:  # close() has said what is lost
                logger.error(*complaint)

    def _write_lines(self, lines: list[str]) -> Complaint | None:
        try:
            if self._syslog:
                self._send(lines)
            else:
                self._write(lines)
        except OSError as error:
            with self._lock:
                return self._drop(len(lines), error.strerror)
        with self._lock:
            missing, self._dropped = self._dropped, 0
        return ("the access log is written again; %d lines are missing", missing) if missing else None

    def _write(self, lines: list[str]) -> None:
        octets = memoryview("".join(lines).encode("latin-1", "backslashreplace"))
        if self._torn:
            octets = memoryview(b"\n" + octets)
        while octets and self._fd >= 0:
            piece = octets if self._is_regular else octets[: whole_lines(octets)]
            try:
                count = write(self._fd, piece)
            except BlockingIOError:
                if self._closed:
                    raise
                native_sleep(AGAIN_AFTER)
                continue
            self._torn = octets[count - 1] != NEWLINE  # until the rest of that line is out, too
            octets = octets[count:]

    def _drop(self, count: int, why: str | None) -> Complaint | None:
        """Counts lines that could not be written, and says so once in a while: a disk stays full for long."""
        self._dropped += count
        return self._seldom(
            ("cannot write the access log (lines dropped so far: %d): %s", self._dropped, why)
        )

    def _seldom(self, complaint: Complaint) -> Complaint | None:
        now = time.monotonic()
        if now < self._next_complaint:
            return None
        self._next_complaint = now + COMPLAINT_INTERVAL
        return complaint

    def _send(self, lines: list[str]) -> None:
        """A datagram a line (RFC 5424).  Where the daemon does not keep up, lines are dropped."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        prefix = f"<{SYSLOG_PRIORITY}>1 {stamp} {os.uname().nodename} dualwsgi {os.getpid()} access - "
        for line in lines:
            octets = (prefix + line.rstrip("\n")).encode("latin-1", "backslashreplace")
            try:
                write(self._fd, octets)
            except BlockingIOError:
                continue
            except OSError:
                if not self._connect_again():
                    raise
                write(self._fd, octets)

    def _connect_again(self) -> bool:
        """A daemon that was started anew has made another socket of that name; to UDP it is the same one."""
        where = self._target.removeprefix(SYSLOG)
        if self._fd < 0 or (where and not where.startswith("/")):
            return False
        try:
            fresh = self._open()
        except ConfigError:
            return False
        os.close(self._fd)
        self._fd = fresh
        return True

    def reopen(self) -> None:
        """Has the file opened anew before anything more is written: the present one was moved away.

        From any thread or signal handler, so it does no more than to take a note of it.
        """
        self._stale = True

    def _is_moved(self) -> bool:
        """Whether the file of that name is another by now, as after a rotation that sends no signal."""
        now = time.time()
        if self._syslog or self._target == "-" or self._fd < 0 or 0 <= now - self._looked < LOOK_EVERY:
            return False
        self._looked = now
        try:
            there, ours = os.stat(self._target), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return stat.S_ISREG(ours.st_mode) and not os.path.samestat(there, ours)

    def _open_anew(self) -> Complaint | None:
        was_told, self._stale = self._stale, False
        if self._target == "-" or self._fd < 0:
            return None
        try:
            fresh = self._open()
        except ConfigError as error:
            complaint = ("cannot reopen the access log, going on with the old one: %s", error)
            return complaint if was_told else self._seldom(complaint)  # it is tried every second
        os.close(self._fd)
        self._take_up(fresh)
        return None

    def close(self) -> None:
        """Writes what is held; to a pipe only if that is read soon, so that none keeps a server."""
        if self._is_regular:
            self.write_out()
        else:
            self.flush()
            deadline = time.monotonic() + LAST_PATIENCE
            while self._waiting and time.monotonic() < deadline:
                native_sleep(0.005)
        lost = self._dropped + sum(len(held) for held, _ in list(self._waiting))
        self._closed = True
        self._wake.ring()
        if lost:
            logger.error("the access log ends without its last %d lines, which could not be written", lost)
        if self._is_regular or not self._waiting:  # else its thread is in the middle of them
            self._shut()

    def _shut(self) -> None:
        # A call that outlives its server may still log; the number may be another file's by then.
        with self._writing:
            fd, self._fd = self._fd, -1
        if self._target != "-" and fd >= 0:
            os.close(fd)


def open_syslog(target: str) -> int:
    """A descriptor for `syslog:` (the daemon of this machine), `syslog:HOST:PORT` (UDP) or `syslog:/PATH`.

    Raises ConfigError.
    """
    where = target.removeprefix(SYSLOG) or "/dev/log"
    is_path = where.startswith("/")
    sock, _ = connect_datagram(
        target,
        setting="access_log",
        cure="give syslog:, syslog:HOST:PORT or a path",
        cure_unreached="give syslog:HOST:PORT or a path",
        path=where if is_path else None,
        place=where,
    )
    return sock.detach()


_SKIPPED: Final = re.compile(r"/.*|[1-5](?:[0-9][0-9]|xx)")


class Skip:
    """Which responses are not worth a line: words such as `/healthz`, `/static/*`, `304` and `2xx`.

    `slow` (seconds): only those that took as long, and errors (5xx), which nobody wants to miss.

    Raises ConfigError for a word that could never match.
    """

    def __init__(self, words: str, slow: float) -> None:
        given = words.replace(",", " ").split()
        for word in given:
            if not _SKIPPED.fullmatch(word):
                raise ConfigError(
                    f"access_log_skip: {word!r} is neither a path nor a status; "
                    "give words such as /healthz, /static/*, 304 or 2xx"
                )
        self._slow = slow
        self._paths = {word for word in given if word.startswith("/") and not word.endswith("*")}
        self._prefixes = tuple(word[:-1] for word in given if word.startswith("/") and word.endswith("*"))
        self._statuses = {word for word in given if not word.startswith("/")}

    def __bool__(self) -> bool:
        return bool(self._slow or self._paths or self._prefixes or self._statuses)

    def __call__(self, request: Request | None, status: str, seconds: float) -> bool:
        if seconds < self._slow and status[0] != "5":
            return True
        if status[:3] in self._statuses or status[0] + "xx" in self._statuses:
            return True
        if request is None:
            return False
        path = request.line.path
        return path in self._paths or path.startswith(self._prefixes)


class FormattedLog(AccessLog):
    """An access log in any format, without the responses that are to be skipped."""

    def __init__(self, target: str, form: Format, skip: Skip, journal: Journal | None) -> None:
        super().__init__(target)
        self.reads = form.reads
        self._format = form
        self._skip = skip
        self._journal = journal

    def __call__(
        self, request: Request | None, peer: dict[str, str], status: str, size: int, seconds: float
    ) -> None:
        call = self._journal.take(peer) if self._journal is not None else None
        if self._skip(request, status, seconds):
            return
        ended = Ended(request, peer, status, size, seconds, {}, [])
        if call is not None and request is not None:
            ended.environ = call.environ
            ended.fields = call.fields
            ended.queued, ended.application, ended.sending, ended.first_byte, ended.cpu = call.told(seconds)
            ended.request_id = call.request_id
            ended.trace_id = call.trace_id
        try:
            line = self._format(ended)
        except Exception as error:  # an object of the application's own, say, that has no text
            logger.error("a line of the access log could not be written: %r", error)
            return
        self._lines.append(line + "\n")
        if len(self._lines) >= LINES_HELD:
            self.flush()


def check_log(config: Config) -> None:
    """Raises ConfigError for what is said of a log and makes no sense, though there may be no log."""
    Format(config.access_log_format)
    Skip(config.access_log_skip, config.access_log_slow)


def open_log(config: Config, journal: Journal | None) -> AccessLog | None:
    """The access log that the settings ask for.  Raises ConfigError."""
    if config.access_log is None:
        return None
    skip = Skip(config.access_log_skip, config.access_log_slow)
    if config.access_log_format == COMBINED and not skip:
        return AccessLog(config.access_log)  # the quick way; it writes the same
    return FormattedLog(config.access_log, Format(config.access_log_format), skip, journal)


def open_journal(config: Config) -> Journal | None:
    """A journal of the application's calls, if the settings ask for what it knows.  Raises ConfigError."""
    form = Format(config.access_log_format) if config.access_log is not None else None
    watched = form is not None and form.watches_calls
    if not (watched or config.request_id or config.server_timing):
        return None
    cpu = form is not None and form.asks_cpu
    return Journal(keeps=form is not None, cpu=cpu, ids=config.request_id, timing=config.server_timing)
