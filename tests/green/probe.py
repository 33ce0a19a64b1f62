"""For scripts in a process of their own: did others run while this call waited?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dualwsgi import green

monotonic = time.monotonic


def cooperative(fn: Callable[..., Any], *args: Any, at_least: int = 1, **kwargs: Any) -> Any:
    """`fn(*args, **kwargs)`; fails if another greenlet did not get `at_least` turns meanwhile.

    One turn tells: it takes 2 ms for which the call must not have held the thread, and of a machine that is
    busy otherwise no more can be asked.
    """
    turns = 0

    def tick() -> None:
        nonlocal turns
        while True:
            green.sleep(0.002)
            turns += 1

    ticker = green.spawn(tick)
    try:
        result = fn(*args, **kwargs)
    finally:
        ticker.kill()
    assert turns >= at_least, f"{fn} let others run {turns} times only"
    return result


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
