"""How many connections each worker of a fleet has, in memory that they share: for accepting fairly.

All workers accept at the same listeners, and whoever wakes first would take a whole burst: keep-alive
clients stay where they came in, so one worker could have them all and another none.  So each worker
notes its connections here, and one that is well ahead of the least busy leaves a moment for it.  It
is a moment only: a worker that does not take them (it is stuck, or has just died) keeps nobody waiting.

Each number has one writer, and a torn or late one costs a little fairness, so there is no lock.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final

__all__ = ["Share", "Shares"]

SLOTS: Final = 4096
ABSENT: Final = 0xFFFFFFFF
SLACK: Final = 1
"""Connections, beside an eighth of its own, by which a worker may be ahead of the least busy.

With 4 of them, four connections that a proxy keeps were all one worker's.
"""


class Shares:
    """The supervisor's side.  `fileno` is for its workers to inherit.  Made when it is first asked for."""

    def __init__(self) -> None:
        self._fd = -1
        self._taken: set[int] = set()

    def _open(self) -> None:
        if self._fd >= 0:
            return
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("dualwsgi-shares", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                self._fd = os.dup(file.fileno())
        os.ftruncate(self._fd, SLOTS * 4)
        self._memory = mmap.mmap(self._fd, SLOTS * 4)
        self._slots = memoryview(self._memory).cast("I")
        for slot in range(1, SLOTS):
            self._slots[slot] = ABSENT
        self._slots[0] = 1  # where the used slots end

    def fileno(self) -> int:
        self._open()
        return self._fd

    def take(self) -> int:
        """A slot for a worker; 0, which means none, if there are no more."""
        self._open()
        slot = next((slot for slot in range(1, SLOTS) if slot not in self._taken), 0)
        if slot:
            self._taken.add(slot)
            self._slots[0] = max(self._taken) + 1
        return slot

    def free(self, slot: int) -> None:
        """A worker is gone."""
        if slot in self._taken:
            self._taken.discard(slot)
            self._slots[slot] = ABSENT
            self._slots[0] = max(self._taken, default=0) + 1

    def close(self) -> None:
        if self._fd >= 0:
            self._slots.release()
            self._memory.close()
            os.close(self._fd)
            self._fd = -1


class Share:
    """One worker's side."""

    __slots__ = ("_memory", "_slot", "_slots", "_yielded")

    def __init__(self, descriptor: int, slot: int) -> None:
        self._memory = mmap.mmap(descriptor, SLOTS * 4)
        self._slots = memoryview(self._memory).cast("I")
        self._slot = slot
        self._slots[slot] = 0  # the others know of it before it has accepted anything
        self._yielded = False

    def room(self, load: int, most: int) -> int:
        """How many connections, up to `most`, to accept now, with `load` of them open.

        0 means: leave a moment to the others, and ask again after it.
        """
        slots = self._slots
        slots[self._slot] = ABSENT  # so that the least busy is another
        least = min(slots[1 : slots[0]])
        slots[self._slot] = load
        if least == ABSENT:
            return most
        room = least + SLACK + (load >> 3) - load
        if room > 0:
            return min(room, most)
        self._yielded = not self._yielded
        return 0 if self._yielded else 1

    def leave(self) -> None:
        """Accepts no more."""
        self._slots[self._slot] = ABSENT
