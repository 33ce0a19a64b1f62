"""What a call is at, read from its frames by another thread or greenlet."""

from __future__ import annotations

import traceback
from os.path import dirname, join
from types import FrameType
from typing import Final

HERE: Final = dirname(__file__)
ROUND_IT: Final = (HERE, join(dirname(HERE), "serve"), join(dirname(HERE), "serve", "observe"))
"""Where the frames are from that stand between a connection and the application."""


def call_stack(frame: FrameType | None) -> str:
    """The frames of a call from the application inwards, the innermost last."""
    frames = traceback.extract_stack(frame) if frame is not None else []
    ours = [at for at, summary in enumerate(frames) if dirname(summary.filename) in ROUND_IT]
    # Of ours, the one that calls the application stands for all before it.
    starts = [at for at in ours if at + 1 == len(frames) or at + 1 not in ours]
    return "".join(traceback.format_list(frames[starts[0] + 1 :] if starts else frames)).rstrip()


_PASSING: Final = ("ssl", "dualwsgi.green")
_DRIVER: Final = ("dualwsgi.gateway", "dualwsgi.backends")


def is_in_driver(frame: FrameType) -> bool:
    """Whether a call is at the driver's, not at the application's: in the middle of a read, say."""
    at: FrameType | None = frame
    while at is not None and at.f_globals.get("__name__", "").startswith(_PASSING):
        at = at.f_back  # on the way of whoever has called it
    return at is not None and at.f_globals.get("__name__", "").startswith(_DRIVER)
