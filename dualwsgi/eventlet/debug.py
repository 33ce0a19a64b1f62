"""eventlet.debug: what the hub tells of itself."""

from __future__ import annotations

import linecache
import re
import warnings
from typing import Any

from .ground import ground

__all__ = [
    "format_hub_listeners",
    "format_hub_timers",
    "hub_blocking_detection",
    "hub_exceptions",
    "hub_listener_stacks",
    "hub_prevent_multiple_readers",
    "hub_timer_stacks",
    "spew",
    "tpool_exceptions",
    "unspew",
]


def hub_exceptions(state: bool = True) -> None:
    """Whether what nobody catches in a greenlet or thread is printed to standard error (default: yes)."""
    ground.print_exceptions(state)


def tpool_exceptions(state: bool = False) -> None:
    """Whether what is raised in the pool of native threads is printed, besides being raised."""
    from . import tpool

    tpool.QUIET = not state


def hub_prevent_multiple_readers(state: bool = True) -> None:
    """Whether a second greenlet that waits to read, or to write, one socket gets RuntimeError.

    On threads True warns: several may always wait.
    """
    ground.prevent_multiple_readers(state)


def hub_listener_stacks(state: bool = False) -> None:
    """Warns: stacks are not kept; who waits for what is told by format_hub_listeners."""
    _warn_of_stacks("hub_listener_stacks", state)


def hub_timer_stacks(state: bool = False) -> None:
    """Warns, as hub_listener_stacks does."""
    _warn_of_stacks("hub_timer_stacks", state)


def _warn_of_stacks(name: str, state: bool) -> None:
    if state:
        warnings.warn(
            f"{name}: stacks are not kept; format_hub_listeners() tells who waits",
            RuntimeWarning,
            stacklevel=3,
        )


def hub_blocking_detection(state: bool = False, resolution: float = 1) -> None:
    """Raises RuntimeError in whoever has kept the hub for `resolution` seconds, by SIGALRM."""
    ground.blocking_detection(state, resolution)


def format_hub_listeners() -> str:
    """Which descriptors are waited for."""
    from .hubs import get_hub

    hub = get_hub()
    lines = ["READERS:", *map(repr, hub.get_readers()), "WRITERS:", *map(repr, hub.get_writers()), ""]
    return "\n".join(lines)


def format_hub_timers() -> str:
    """How many timers are pending."""
    from .hubs import get_hub

    return f"TIMERS: {get_hub().get_timers_count()}\n"


class Spew:
    """A trace function that prints every line that runs."""

    def __init__(self, trace_names: Any = None, show_values: bool = True) -> None:
        self.trace_names = trace_names
        self.show_values = show_values

    def __call__(self, frame: Any, event: str, arg: Any) -> Any:
        if event != "line":
            return self
        if "__file__" in frame.f_globals:
            name = frame.f_globals.get("__name__", "[unknown]")
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).rstrip()
        else:
            name, line = "[unknown]", ""
        if self.trace_names is None or name in self.trace_names:
            print(f"{name}:{frame.f_lineno}: {line or f'VM instruction #{frame.f_lasti}'}")
            if self.show_values:
                self._show(frame, line)
        return self

    def _show(self, frame: Any, line: str) -> None:
        found: dict[str, Any] = {}
        for word in re.split(r"\W+", line):
            if word in frame.f_locals:
                found[word] = frame.f_locals[word]
            elif word in frame.f_globals:
                found[word] = frame.f_globals[word]
        if found:
            print("\t" + " ".join(f"{word}={value!r}" for word, value in found.items()))


def spew(trace_names: Any = None, show_values: bool = False) -> None:
    """Prints every line that runs from now on, in the modules of these names.

    On threads: of the calling thread, and of those that begin after it.
    """
    ground.trace(Spew(trace_names, show_values))


def unspew() -> None:
    """Ends spew()."""
    ground.trace(None)
