"""Counters: one block a thread or hub, written by its owner alone, added up by whoever reads.

A counter that two threads add to loses counts and costs a lock; blocks that nobody shares cost an
addition.  A reader may see a block half a request behind, never a torn number.
"""

from __future__ import annotations

from collections.abc import Iterable


class Counters:
    """What one thread or hub has done."""

    __slots__ = (
        "bytes_sent",
        "classes",
        "connections",
        "errors",
        "expired",
        "gone",
        "head_hits",
        "hub_held",
        "inline",
        "refused",
    )

    def __init__(self) -> None:
        self.connections = 0  # accepted
        self.classes = [0] * 6  # finished responses by the first digit of their status
        self.bytes_sent = 0  # octets of responses, heads and framing included
        self.head_hits = 0  # request heads that were known octet for octet
        self.hub_held = 0  # times that a call has kept the hub for max_blocking_time, on green
        self.inline = 0  # application calls made by a leader
        self.errors = 0  # requests that the parser refused
        self.refused = 0  # requests answered 503 without a call
        self.expired = 0  # waits on clients that ran out
        self.gone = 0  # responses whose client had left

    @property
    def requests(self) -> int:
        """Responses sent, those of the server itself included."""
        return sum(self.classes)

    def add(self, other: Counters) -> None:
        """Adds another block to this one."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(
                self,
                name,
                [a + b for a, b in zip(mine, theirs, strict=True)] if name == "classes" else mine + theirs,
            )


def total(blocks: Iterable[Counters]) -> Counters:
    """The sum of many blocks."""
    result = Counters()
    for block in blocks:
        result.add(block)
    return result
