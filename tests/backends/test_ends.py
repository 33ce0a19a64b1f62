"""Ends: who wants to know that a peer has gone is told, whatever becomes of the descriptor meanwhile."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import Any

from dualwsgi.backends.ends import Ends


class ClosedMeanwhile(dict[int, list[Callable[[], object]]]):
    """Has a descriptor closed by somebody else just when its end is told."""

    def pop(self, fd: int, *default: Any) -> Any:
        found = super().pop(fd, *default)
        os.close(fd)
        return found


def test_one_that_is_closed_while_its_end_is_told_does_not_keep_others_from_being_told() -> None:
    told: list[str] = []
    ends = Ends(lambda _: None, lambda callback: callback(), select.epoll)
    ends.watched = ClosedMeanwhile()
    pairs = [socket.socketpair() for _ in range(2)]
    for number, (near, far) in enumerate(pairs):
        ends.watch(near.detach(), lambda number=number: told.append(f"end {number}"))  # type: ignore[misc]
        far.close()
    ends.collect()
    ends.collect()
    ends.close()
    assert sorted(told) == ["end 0", "end 1"]
