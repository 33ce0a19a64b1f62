"""Figures for a StatsD daemon, once a second, by UDP or a unix socket: what has come since the last time.

    dualwsgi.requests:512|c
    dualwsgi.request.status.2xx:512|c
    dualwsgi.request.duration:1.25|ms|@0.00625      160 requests took about 1.25 ms

Requests are not sent one by one: those of about the same length are one line whose rate says how many
it stands for, within the 3 per cent of a bucket.  Each worker sends its own, and the daemon adds up.
By a native thread, so that no request waits for it and a busy hub is told of.
https://github.com/statsd/statsd/blob/master/docs/metric_types.md
"""

from __future__ import annotations

import logging
from typing import Final

from ...counters import Counters, middle_of
from ...native import native_lock, start_native
from .datagram import connect_datagram
from .snapshot import CLASSES
from .subject import Subject

__all__ = ["Statsd", "spell_change"]

logger = logging.getLogger("dualwsgi")

PERIOD: Final = 1.0
"""Seconds between two reports."""

DATAGRAM: Final = 1400
"""Octets of a datagram that any Ethernet carries whole."""

UNIX: Final = "unix:"


def spell_change(now: Counters, before: Counters, prefix: str) -> list[str]:
    """The lines that tell what `now` has and `before` had not."""
    requests = now.requests - before.requests
    lines = [f"{prefix}.requests:{requests}|c"] if requests else []
    for name, count, earlier in zip(CLASSES, now.classes, before.classes, strict=True):
        if count > earlier:
            lines.append(f"{prefix}.request.status.{name}:{count - earlier}|c")
    known = before.times.counts
    for bucket, count in sorted(now.times.counts.items()):
        if (more := count - known.get(bucket, 0)) > 0:
            rate = f"|@{1 / more:.6g}" if more > 1 else ""
            lines.append(f"{prefix}.request.duration:{1000 * middle_of(bucket):.6g}|ms{rate}")
    for name in ("connections", "bytes_sent", "errors", "refused", "expired", "gone", "timeouts"):
        if more := getattr(now, name) - getattr(before, name):
            lines.append(f"{prefix}.{name}:{more}|c")
    return lines


class Statsd:
    """Reports to `where` (HOST:PORT or unix:PATH) until close().  Raises ConfigError."""

    def __init__(self, server: Subject, where: str, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self._before = Counters()
        self._failed = False
        self._sock, self._address = connect_datagram(
            where,
            setting="statsd_host",
            cure="give HOST:PORT or unix:PATH",
            path=where.removeprefix(UNIX).removeprefix("//") if where.startswith(UNIX) else None,
            place=where,
            host="localhost",
        )
        self._closing, self._ended = native_lock(), native_lock()
        self._closing.acquire()
        self._ended.acquire()
        start_native(self._report)

    def close(self) -> None:
        """Sends what is left.  May be called twice."""
        if self._closing.locked():
            self._closing.release()
            self._ended.acquire(timeout=PERIOD)

    def _report(self) -> None:
        try:
            while not self._closing.acquire(timeout=PERIOD):
                self._try()
            self._try()
        finally:
            self._sock.close()
            self._ended.release()

    def _try(self) -> None:
        """Sends; a fault in it is told once, and the next report may do better."""
        try:
            self._send()
        except Exception:
            if not self._failed:
                self._failed = True
                logger.error("figures could not be sent to StatsD; told once, and tried again", exc_info=True)

    def _send(self) -> None:
        now = self._server.counters
        lines = spell_change(now, self._before, self._prefix)
        self._before = now
        view = self._server.look()
        if view is not None and not self._server.supervisor:  # of many workers the last would win
            lines.append(f"{self._prefix}.busy:{len(view.calls)}|g")
            lines.append(f"{self._prefix}.queued:{len(view.queued)}|g")
        datagram = ""
        for line in lines:
            if datagram and len(datagram) + len(line) >= DATAGRAM:
                self._say(datagram)
                datagram = ""
            datagram += ("\n" if datagram else "") + line
        if datagram:
            self._say(datagram)

    def _say(self, datagram: str) -> None:
        octets = datagram.encode()
        try:
            self._sock.send(octets)
        except BlockingIOError:
            pass  # the daemon does not keep up
        except OSError:
            try:
                # A daemon that was started anew has made another socket of that name.
                self._sock.connect(self._address)
                self._sock.send(octets)
            except OSError:
                pass  # nobody listens just now, which is how StatsD is meant to be used
