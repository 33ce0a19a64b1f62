"""For scripts in a process of their own: did others run while this call waited?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dualwsgi import green

monotonic = time.monotonic


def cooperative(fn: Callable[..., Any], *args: Any, at_least: int = 1, gate: str = "", **kwargs: Any) -> Any:
    """`fn(*args, **kwargs)`; fails if another greenlet did not get `at_least` turns meanwhile.

    One turn tells: it takes 2 ms for which the call must not have held the thread.  Where the system had this
    thread wait for a core most of the time, what was waited for may have been there before those 2 ms
    had passed: that, and a call that was over within 2 ms, tells nothing.

    `gate` names a pipe, made here, that gets a line after the first turn, for which a child can wait.
    """
    turns, opener = 0, -1
    if gate:
        if not Path(gate).exists():
            os.mkfifo(gate)
        opener = os.open(gate, os.O_RDWR)

    def tick() -> None:
        nonlocal turns
        while True:
            green.sleep(0.002)
            turns += 1
            if gate and turns == 1:
                os.write(opener, b"\n")

    ticker = green.spawn(tick)
    start, waited = monotonic(), waited_for_a_core()
    try:
        result = fn(*args, **kwargs)
    finally:
        had = turns  # before the kill, which lets it have another
        took, starved = monotonic() - start, waited_for_a_core() - waited
        ticker.kill()
        if gate:
            os.close(opener)
    tells = took > 0.002 and starved < took / 2
    assert had >= at_least or not tells, f"{fn} let others run {had} times only"
    return result


def waited_for_a_core() -> float:
    """Seconds for which this thread was ready to run and others had the cores; 0 where nobody tells."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


class timed:
    """`with timed(most) as t: ...` fails if the block takes longer than `most` seconds."""

    def __init__(self, most: float, least: float = 0.0) -> None:
        self.most = most
        self.least = least

    def __enter__(self) -> timed:
        self.start = monotonic()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.seconds = monotonic() - self.start
        if kind is None:
            assert self.seconds <= self.most, f"took {self.seconds:.3f} s, more than {self.most}"
            assert self.seconds >= self.least, f"took {self.seconds:.3f} s, less than {self.least}"
