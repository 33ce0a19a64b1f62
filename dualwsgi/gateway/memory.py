"""A bounded memory of what comes again: for heads of requests and of responses.

It keeps values by key and knows nothing of what they are.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """Values by key, for keys that come again, within bounds of number, size and age.

    A value is kept only when its key comes a second time; of first times only a keyed hash is
    kept, so that one-off keys and the secrets in them are not, and push nothing out.  What has not
    been asked for during one to two lives is forgotten: a full or old generation is set aside
    whole, and what is asked for there moves back.
    """

    LIFE: Final = 30.0
    """Seconds."""

    def __init__(self, entries: int, octets: int) -> None:
        self.known: dict[Hashable, V] = {}
        self._older: dict[Hashable, V] = {}
        self._seen: set[int] = set()
        self._entries = entries
        self._octets = octets
        self._held = 0
        self._turned = 0.0

    def recall(self, key: Hashable) -> V | None:
        """The value of a key that `known` lacks, from the older generation."""
        value = self._older.pop(key, None)
        if value is not None:
            self._keep(key, value, 0)
        return value

    def comes_again(self, key: Hashable) -> bool:
        """Whether `key` has come before; from now on it has.  hash() of octets is keyed (PEP 456)."""
        mark = hash(key)
        if mark in self._seen:
            return True
        if len(self._seen) >= 8 * self._entries:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def keep(self, key: Hashable, value: V, octets: int) -> None:
        """Remembers it; `octets` is what it takes, roughly."""
        self._seen.discard(hash(key))
        self._keep(key, value, octets)

    def _keep(self, key: Hashable, value: V, octets: int) -> None:
        if len(self.known) >= self._entries or self._held + octets > self._octets:
            self._turn()
        self.known[key] = value
        self._held += octets

    def age(self, now: float) -> None:
        """To be called now and then with monotonic seconds."""
        if now - self._turned > self.LIFE:
            self._turned = now
            self._turn()

    def _turn(self) -> None:
        self._older, self.known, self._held = self.known, {}, 0
