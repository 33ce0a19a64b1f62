"""The dashboard at work: frames, keys, commands, until somebody leaves or the server has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from rich.console import Console
from rich.control import Control
from rich.text import Text

from dualwsgi.errors import DualwsgiError
from dualwsgi_cli.top.feed import Feed
from dualwsgi_cli.top.keys import Keyboard
from dualwsgi_cli.top.model import Figures, History
from dualwsgi_cli.top.screen import SORTS, VIEWS, Look, draw, rows
from dualwsgi_cli.top.text import spell_bytes, spell_count, spell_seconds

__all__ = ["Dashboard", "can_draw", "write_lines"]

LOG_LINES: Final = 500
MESSAGE_TIME: Final = 4.0
"""Seconds for which an answer to a key is shown."""
PAGE: Final = 10
WHOLE_EVERY: Final = 5.0
"""Seconds after which all of the screen is drawn anew, in case another program has written on it."""


def can_draw() -> bool:
    """Whether there is a terminal for a full screen."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Dashboard:
    """Draws what `feed` brings, `every` so many seconds.

    `ended` says whether the server has ended for good; `log` gives what it has printed since it was
    last asked.  Both are None where the server is not ours.
    """

    def __init__(
        self,
        feed: Feed,
        every: float,
        ended: Callable[[], bool] | None = None,
        log: Callable[[], list[str]] | None = None,
    ) -> None:
        self._feed = feed
        self._every = every
        self._ended = ended
        self._take_log = log
        encoding = (sys.stdout.encoding or "").lower()
        self.look = Look(owned=ended is not None, unicode=encoding.startswith("utf"))
        self._history = History()
        self._figures: Figures | None = None
        self._leaving = False
        self._shown: list[Text] = []  # what stands on the screen
        self._whole = 0.0  # when all of it was last drawn
        self._told = 0.0  # when there was last a key
        self._console = Console(force_terminal=True, highlight=False, markup=False, emoji=False)

    def run(self) -> None:
        """Until the user leaves or the server has ended; the terminal is then as it was."""
        with _as_exceptions(signal.SIGTERM, signal.SIGHUP), Keyboard(sys.stdin.fileno()) as keyboard:
            self._console.set_alt_screen(True)
            self._console.show_cursor(False)
            try:
                self._loop(keyboard)
            except (EOFError, BrokenPipeError):
                pass  # the terminal is gone
            finally:
                with contextlib.suppress(OSError):
                    self._console.show_cursor(True)
                    self._console.set_alt_screen(False)

    def _loop(self, keyboard: Keyboard) -> None:
        due = 0.0
        while not self._leaving:
            now = time.monotonic()
            if now >= due:
                self._learn()
                self._draw()
                due = now + self._every
            keys = keyboard.read(min(due - now, 0.1))
            for key in keys:
                self._press(key)
                self._told = now
            if now - self._told > MESSAGE_TIME:
                self.look.message = ""
            if keys or self._size() != self._console.size:
                self._draw()
            if self._ended is not None and self._ended():
                break

    def _learn(self) -> None:
        look = self.look
        if self._take_log is not None and not look.paused:
            look.log = (look.log + self._take_log())[-LOG_LINES:]
        latest = self._feed.latest()
        if latest and not look.paused:
            try:
                self._history.add(latest, self._feed.departed())
            except (ValueError, KeyError) as error:
                look.message = f"this server cannot be shown: {error}"
                return
            self._figures = self._history.figures()
            if look.message.startswith("no server") or look.message.startswith("the server at"):
                look.message = ""
        elif not latest and self._ended is None:
            look.message = self._feed.error or "no server is there; waiting for one"

    def _size(self) -> Any:
        try:
            return os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return self._console.size

    def _draw(self) -> None:
        console, size = self._console, self._size()
        size_changed = size != console.size
        console.size = size
        width, height = size
        lines = draw(self._figures, self.look, width, height)
        now = time.monotonic()
        if size_changed or now - self._whole > WHOLE_EVERY:
            self._shown, self._whole = [], now
        # Only what has changed is sent: a frame over ssh is some hundred bytes then, and nothing flickers.
        for number, line in enumerate(lines):
            if number >= len(self._shown) or line != self._shown[number]:
                console.control(Control.move_to(0, number))
                console.print(line, end="", no_wrap=True, overflow="crop", crop=False)
        self._shown = lines
        console.file.flush()

    # Keys

    def _press(self, key: str) -> None:
        look = self.look
        if look.editing:
            self._edit(key)
        elif look.asked:
            command, look.asked = look.asked, ""
            if key in ("y", "Y"):
                self._tell(command)
        else:
            look.message = ""
            self._command(key)

    def _edit(self, key: str) -> None:
        look = self.look
        if key == "escape":
            look.filter, look.editing = "", False
        elif key == "enter":
            look.editing = False
        elif key == "backspace":
            look.filter = look.filter[:-1]
        elif key == "space":
            look.filter += " "
        elif len(key) == 1 and len(look.filter) < 100:
            look.filter += key

    def _command(self, key: str) -> None:
        look = self.look
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE}
        if key in ("q", "Q"):
            self._leaving = True
        elif key == "redraw":
            self._whole = 0.0
        elif key in ("?", "h"):
            look.help = not look.help
        elif key in ("escape", "backspace"):
            if not look.help and look.stack is None and look.detail is None:
                look.filter = ""
            look.help, look.stack, look.detail = False, None, None
        elif key in steps and look.stack is not None:
            look.stack_top = max(0, look.stack_top + steps[key])
        elif key in steps:
            step = -steps[key] if look.view == "log" else steps[key]  # there it counts from the foot
            look.selected, look.anchor = max(0, look.selected + step), None
        elif key in "1234" or key == "tab":
            number = (VIEWS.index(look.view) + 1) % len(VIEWS) if key == "tab" else int(key) - 1
            look.view, look.selected, look.anchor = VIEWS[number], 0, None
            look.stack = look.detail = None
        elif key == "l":
            look.view, look.stack, look.detail = "log", None, None
        elif key == "o":
            look.sort[look.view] = (look.sort.get(look.view, 0) + 1) % len(SORTS[look.view])
        elif key == "/":
            look.editing = True
        elif key in ("p", "space"):
            look.paused = not look.paused
        elif key == "enter":
            self._show_detail()
        elif key in ("m", "M"):
            self._measure()
        elif key in ("+", "-"):
            self._scale(1 if key == "+" else -1)
        elif key in ("w", "W"):
            self._tell("scale", by=1 if key == "w" else -1)
        elif key in ("r", "R"):
            look.asked = "reload"
        elif key in ("d", "D"):
            look.asked = "drain"

    def _tell(self, do: str, **arguments: Any) -> list[Any]:
        # One worker speaks for its supervisor; stacks and limits are each process's own.
        one = do in ("drain", "reload", "scale") and self._has_supervisor()
        try:
            answers = self._feed.tell(do, one, **arguments)
        except DualwsgiError as error:
            self.look.message = str(error)
            return []
        self.look.message = {
            "drain": "draining: it stops when all requests have ended",
            "reload": "reloading: new workers take over",
            "scale": f"a worker {'more' if arguments.get('by', 0) > 0 else 'fewer'}",
        }.get(do, "")
        return answers

    def _has_supervisor(self) -> bool:
        """Whether all that is shown is one fleet."""
        workers = self._figures.snapshot["workers"] if self._figures is not None else ()
        supervisors = {worker["supervisor"] for worker in workers}
        return len(supervisors) == 1 and supervisors != {0}

    def _show_detail(self) -> None:
        look = self.look
        if look.stack is not None:
            self._show_stack()
            return
        found = rows(self._figures, look) if self._figures is not None else []
        if not found or look.detail is not None:
            return
        row = found[min(look.selected, len(found) - 1)]
        if row.request is not None:
            look.stack_of, look.stack_top = row.request, 0
            self._show_stack()
        else:
            look.detail = row.past or row.route

    def _show_stack(self) -> None:
        """As it is right now."""
        answers = self._tell("stacks", request=self.look.stack_of)
        self.look.stack = [stack for answer in answers for stack in answer]

    def _measure(self) -> None:
        """All requests, or a sample again."""
        if self._figures is None:
            return
        wanted = "sampled" if self._figures.snapshot.get("phase_clock") == "all" else "all"
        if self._tell("set", phase_clock=wanted):
            of = "all requests" if wanted == "all" else "a sample of the requests"
            self.look.message = f"phases are measured of {of}"

    def _scale(self, step: int) -> None:
        if self._figures is None:
            return
        limit = max(1, self._figures.snapshot["workers"][0]["limit"] + step)
        if self._tell("set", threads=limit):
            self.look.message = f"up to {limit} calls at once"


@contextlib.contextmanager
def _as_exceptions(*numbers: signal.Signals) -> Iterator[None]:
    """Signals that would kill unwind instead, so that the terminal is restored."""

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_lines(feed: Feed, every: float, ended: Callable[[], bool] | None = None) -> None:
    """A line every so many seconds, for where there is no terminal; until the server has ended."""
    history = History()
    while True:
        feed.came.wait(every)
        feed.came.clear()
        latest = feed.latest()
        if latest:
            history.add(latest, feed.departed())
            figures = history.figures()
            assert figures is not None
            print(_spell(figures), flush=True)
        elif feed.seen and ended is None:
            return
        deadline = time.monotonic() + every
        while (left := deadline - time.monotonic()) > 0:
            if ended is not None and ended():
                return
            time.sleep(min(left, 0.05))


def _spell(figures: Figures) -> str:
    snapshot = figures.snapshot
    workers = snapshot["workers"]
    busy, limit, queued, held = (
        sum(worker[name] for worker in workers) for name in ("busy", "limit", "queued", "rss_bytes")
    )
    classes = " ".join(f"{name} {count}" for name, count in figures.classes.items() if count)
    return (
        f"{time.strftime('%H:%M:%S', time.localtime(snapshot['time']))}"
        f" requests {snapshot['totals']['requests']} rps {spell_count(figures.rate)}"
        f" p50 {spell_seconds(figures.p50)} p95 {spell_seconds(figures.p95)} p99 {spell_seconds(figures.p99)}"
        f" busy {busy}/{limit} queue {queued} cpu {100 * sum(row.cpu for row in figures.workers):.0f}%"
        f" rss {spell_bytes(held)} {classes}"
    )
