"""A lane whose watchdog sees nothing: the test passes the lead on itself, when it wants."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dualwsgi.backends.threads.lane import Lane


class Unwatched(Lane):
    """Whatever it looks at, it sees nothing twice."""

    def _glance(self) -> Any:
        return object(), 0.0


def leaders(lane: Lane) -> int:
    """How many threads there are that neither follow nor wait: one, but for the moment of a change."""
    return len(lane._crew._workers) - len(lane._crew._idle) - lane._crew.busy - lane._crew._staying


def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
