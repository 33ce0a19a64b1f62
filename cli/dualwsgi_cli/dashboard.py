"""`dualwsgi run ... --dashboard`: the server is a child, and this process draws.

So drawing costs the server nothing, a print of the application tears no screen, and whatever becomes
of the dashboard, the server goes on until it is told to stop.  What it prints goes to a file that
this process reads, not into a pipe, which would break under the server if this process died.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dualwsgi_cli.top.feed import Feed
from dualwsgi_cli.top.loop import Dashboard, can_draw, write_lines

__all__ = ["run_with_dashboard"]

LOG_MAX = 10 << 20
"""Bytes of output after which the file is begun anew."""

FRAME = 0.25
LAST_LINES = 30


def run_with_dashboard(arguments: Sequence[str]) -> int:
    """Runs `dualwsgi ARGUMENTS` and draws; returns its exit code."""
    place = tempfile.mkdtemp(prefix="dualwsgi-")  # mode 0700
    drawn = can_draw()
    output = Path(place, "output.log")
    with output.open("ab") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "dualwsgi", *arguments, "--control-socket", f"{place}/"],
            stdin=subprocess.DEVNULL,
            stdout=sink if drawn else None,
            stderr=sink if drawn else None,
            start_new_session=True,  # Ctrl-C is ours, and becomes a stop
        )
    log = _Log(output)
    try:
        _watch(child, place, log if drawn else None)
    finally:
        code = _end(child)
        if drawn:
            log.take()
            tail = "\n".join(log.last[-LAST_LINES:])
            if tail and code:
                print(tail, file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
    return code


def _watch(child: subprocess.Popen[bytes], place: str, log: _Log | None) -> None:
    def ended() -> bool:
        return child.poll() is not None

    feed = Feed(place, FRAME)
    try:
        if log is not None:
            Dashboard(feed, FRAME, ended, log.take).run()
        else:
            write_lines(feed, 1.0, ended)
    except (KeyboardInterrupt, SystemExit):
        pass
    except Exception:
        import traceback

        traceback.print_exc()
        print("dualwsgi: the dashboard failed; the server goes on, Ctrl-C stops it", file=sys.stderr)
        try:
            child.wait()
        except KeyboardInterrupt:
            pass
    finally:
        feed.close()


def _end(child: subprocess.Popen[bytes]) -> int:
    """Has the server stop gently, at once when Ctrl-C is pressed again; its exit code."""
    while child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait()
        except KeyboardInterrupt:
            continue
    return child.returncode


class _Log:
    """What a file has grown by."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = b""
        self.last: list[str] = []

    def take(self) -> list[str]:
        """The lines that have come since the last call."""
        with self._path.open("r+b") as file:
            file.seek(self._at)
            data = self._rest + file.read(LOG_MAX)
            self._at = file.tell()
            if self._at > LOG_MAX:
                file.truncate(0)  # the server appends
                self._at = 0
        *lines, self._rest = data.split(b"\n")
        found = [line.decode("utf-8", "backslashreplace") for line in lines]
        self.last = (self.last + found)[-LAST_LINES:]
        return found
