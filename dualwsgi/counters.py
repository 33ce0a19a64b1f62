"""Counters and histograms: one block a thread or hub, added up by whoever reads.

A counter that two threads add to loses counts and costs a lock; blocks that nobody shares cost an
addition.  Of a request that ends, the owner only adds the facts to `done`.  They are folded into
figures many at once, mostly in C, by the owner now and then or by a reader who wants to know.  A
reader may see a block half a request behind, never a torn number.

Everything here can be merged: blocks of threads into those of a process, processes into a server.
"""

from __future__ import annotations

import struct
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from operator import sub
from time import monotonic, sleep
from typing import Any, Final, NamedTuple, Protocol

FOLD_EVERY: Final = 0.005
"""Seconds between two looks of an owner at what it has noted."""

FOLD_AT: Final = 256
"""Requests that are worth a fold then."""

RECENT: Final = 32
"""Requests that a block remembers one by one."""

SLOWEST: Final = 16
SLOW_LIFE: Final = 60.0
"""Seconds for which a request counts as one of the slowest."""

ROUTES: Final = 512
"""Routes that a block tells apart; further ones are counted together."""

NAMED_A_FOLD: Final = 256
"""Request lines that a fold finds the route of; of more, it takes a sample that counts for its neighbours."""

OTHER: Final = "(other)"
NO_REQUEST: Final = "(not a request)"

_UPPER, _LOWER = (7, 6) if sys.byteorder == "little" else (0, 1)  # the octets that name a bucket


class Line(Protocol):
    """What is asked of a request line."""

    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def name(self) -> str | None:
        """Its route_name() once that has been asked for."""
        ...

    def route_name(self) -> str: ...


Answer = tuple[int, int, int]
"""What was answered: the status, octets of content, and octets that went out for it and are not in
`bytes_sent` yet.  Of responses that are alike it is one object, which is quickly found to be the same."""

FACTS: Final = 5
"""Of a request that has ended, in this order: its line (None if it was no request), what its connection
says to environ, its Answer, and when it began and when it ended (monotonic seconds).  They stand in one
flat list: a tuple of each would be one more thing for the garbage collector to watch.  Nothing is computed
of them before the fold."""


PHASES: Final = ("head", "body", "queued", "application", "sending")
"""What the time of a request is made of, in order: from its first octet until its head was whole, from
then until a body that is collected was, from then until the application was called, in the application's
call and in the iterator that it returned, and all that is none of these: the server's own work, and above
all waiting for the client to read, also in the middle of a call that sends by write().  The last three make
up its latency."""

MEASURES: Final = (*PHASES, "first_byte", "cpu")
"""And what is no part of it: until the first octets of the response could go out, since the request was
whole, and the processor's time in the call."""

CLOCKED: Final = 2 + len(MEASURES)
"""Facts of a request that the phase clock has watched: its line, seconds of each of MEASURES, -1.0 where
that is not known, and its latency as in FACTS.  One flat list, too."""


class Past(NamedTuple):
    """A request that has ended, as it is remembered.  Times in monotonic seconds."""

    ended: float
    seconds: float
    line: Line | None
    peer: str
    status: int
    size: int
    phases: tuple[float, ...] | None = None
    """Seconds of each of MEASURES, if the phase clock has watched it."""


class Histogram:
    """How often which length of time came: log-linear, 16 steps an octave, so within 3 per cent.

    A bucket is named by the uppermost 16 bits of the lengths in it (IEEE 754 binary64, seconds).
    """

    __slots__ = ("counts", "seconds")

    def __init__(self, counts: Mapping[int, int] | None = None, seconds: float = 0.0) -> None:
        self.counts = Counter(counts or {})
        self.seconds = seconds  # all lengths together

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def add(self, other: Histogram) -> None:
        for bucket, count in list(other.counts.items()):
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.seconds += other.seconds

    def note(self, seconds: float) -> None:
        bucket = bucket_of(seconds)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.seconds += seconds

    def note_all(self, lengths: list[float]) -> Iterable[int]:
        """Notes all of them, at a tenth of the cost of one by one; says which buckets they fell in,
        the last one at least."""
        counts = self.counts
        octets = struct.pack(f"{len(lengths)}d", *lengths)
        upper, lower = octets[_UPPER::8], octets[_LOWER::8]
        first = upper[0]
        if upper.count(first) == len(upper):  # from 31 microseconds to 2 seconds, say: one octet tells
            seen = []
            named = first << 8
            left = len(lower)
            while left:  # as often as there are buckets, which is cheaper than a look at each length
                octet = lower[0]
                lower = lower.replace(lower[:1], b"")
                counts[named | octet] += left - len(lower)  # a Counter has 0 for what it lacks
                left = len(lower)
                seen.append(octet)
            found: Iterable[int] = [named | max(seen)]
        else:
            found = _buckets(lengths)
            counts.update(found)
        self.seconds += sum(lengths)
        return found

    def percentile(self, share: float) -> float:
        """The length, in seconds, that `share` (0 to 100) per cent do not exceed; 0.0 if there is none."""
        left = self.count * share / 100
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return middle_of(bucket)
        return 0.0

    def up_to(self, seconds: float) -> int:
        """How many lengths were at most this long, as far as the buckets tell."""
        last = bucket_of(seconds)
        return sum(count for bucket, count in self.counts.items() if bucket < last)


def bucket_of(seconds: float) -> int:
    """The bucket of a length of time."""
    return int.from_bytes(struct.pack(">d", max(0.0, seconds))[:2], "big")


def _buckets(lengths: list[float]) -> list[int]:
    """bucket_of() each."""
    words = memoryview(struct.pack(f"{len(lengths)}d", *lengths)).cast("H")
    return words[_UPPER // 2 :: 4].tolist()


def bounds_of(bucket: int) -> tuple[float, float]:
    """The least length of a bucket and that of the next one, in seconds."""
    low, high = struct.unpack(
        ">2d", (bucket << 48).to_bytes(8, "big") + (bucket + 1 << 48).to_bytes(8, "big")
    )
    return low, high


@cache
def middle_of(bucket: int) -> float:
    """The middle of a bucket, in seconds."""
    return sum(bounds_of(bucket)) / 2 if bucket else 0.0


SUMS: Final = ("clocked", "cpu_clocked", *MEASURES)
"""What is known of the phases of many requests: how many they are, of how many processor time is known,
and all their seconds together."""


class RouteFigures:
    """The requests of one route."""

    __slots__ = ("errors", "phases", "times")

    def __init__(self) -> None:
        self.errors = 0  # answered 5xx
        self.times = Histogram()
        self.phases = dict.fromkeys(SUMS, 0.0)  # of those that the phase clock has watched

    def add_group(self, status: int, bucket: int, count: int) -> None:
        """`count` requests were answered `status`, after times of one bucket."""
        counts = self.times.counts
        counts[bucket] = counts.get(bucket, 0) + count
        self.times.seconds += middle_of(bucket) * count
        if status >= 500:
            self.errors += count

    def add_phases(self, columns: list[list[float]]) -> None:
        """`columns`: of some requests the seconds of each of MEASURES."""
        phases = self.phases
        phases["clocked"] += len(columns[0])
        for name, seconds in zip(MEASURES, columns, strict=True):
            phases[name] += sum(seconds)
        cpu = columns[-1]
        unknown = cpu.count(-1.0)
        phases["cpu"] += unknown
        phases["cpu_clocked"] += len(cpu) - unknown

    def add(self, other: RouteFigures) -> None:
        self.errors += other.errors
        self.times.add(other.times)
        for name, value in other.phases.items():
            self.phases[name] += value


class Counters:
    """What one thread or hub has done."""

    OWN = (
        "bytes_sent",
        "connections",
        "errors",
        "expired",
        "gone",
        "heads_read",
        "hub_held",
        "lost",
        "refused",
        "timeouts",
    )
    """The plain numbers, which the owner counts itself."""

    __slots__ = (
        *OWN,
        "_bytes_folded",
        "_folding",
        "_last",
        "_last_clocked",
        "classes",
        "clocked",
        "done",
        "due",
        "phases",
        "recent",
        "routes",
        "slowest",
        "waits",
    )

    def __init__(self) -> None:
        self.connections = 0  # accepted
        self.bytes_sent = 0  # octets of responses, heads and framing included
        self.heads_read = 0  # request heads that were not known octet for octet, or but for some values
        self.hub_held = 0  # times that a call has kept the hub for max_blocking_time, on green
        self.errors = 0  # requests that the parser refused
        self.refused = 0  # requests answered 503 without a call
        self.expired = 0  # waits on clients that ran out
        self.gone = 0  # responses whose client had left
        self.timeouts = 0  # requests that were ended by their deadline
        self.lost = 0  # threads that did not come back from a call after that, and were replaced
        self.waits = Histogram()  # of requests that had to queue for a call
        self.done: list[Any] = []  # FACTS of each; only the owner adds to it
        self.clocked: list[Any] = []  # CLOCKED of each request that the phase clock has watched; as `done`
        self.due = 0.0  # when the owner should call look(), in monotonic seconds

        # Whoever holds the token folds.  It is no lock because patching can make locks wait in a hub,
        # and because an owner who finds it taken has better things to do than to wait.
        self._folding = [True]
        self._bytes_folded = 0
        self.classes = [0] * 6  # ended requests by the first digit of their status
        self.routes: dict[str, RouteFigures] = {}
        self.phases = {name: Histogram() for name in MEASURES}
        self._last: list[Any] = []  # FACTS of the last RECENT requests
        self._last_clocked: list[Any] = []  # CLOCKED of the last RECENT of those that were watched
        self.recent: list[Past] = []  # the last RECENT, in order; of a block that others were added to
        self.slowest: list[Past] = []  # of the last SLOW_LIFE seconds, in order

    @property
    def requests(self) -> int:
        """Requests that have ended, those that the server answered itself included."""
        return sum(self.classes)

    @property
    def times(self) -> Histogram:
        """Of all requests: from the last octet of head and body to the end of the response."""
        times = Histogram()
        for figures in self.routes.values():
            times.add(figures.times)
        return times

    # Folding

    def look(self, now: float) -> None:
        """Folds if that is worth it; the owner's, with a request that ended at `now` or after `due`.

        A comparison of times is all that most requests pay for it.
        """
        self.due = now + FOLD_EVERY
        if len(self.done) >= FOLD_AT * FACTS and self._take():
            try:
                # Lists of its own for what comes: only the owner may do that, who adds nothing meanwhile.
                done, self.done = self.done, []
                clocked, self.clocked = self.clocked, []
                self._fold(done)
                self._fold_clocked(clocked)
            finally:
                self._folding.append(True)

    def fold(self) -> None:
        """Makes figures of what is noted, unless somebody else is at it."""
        if self._take():
            try:
                self._fold_noted()
            finally:
                self._folding.append(True)

    def _take(self) -> bool:
        try:
            return self._folding.pop()
        except IndexError:
            return False

    def _fold_noted(self) -> None:
        """Folds, whoever asks."""
        # In this order: what is clocked has been noted as done before, so the slowest are known by then.
        clocked = _taken(self.clocked)
        self._fold(_taken(self.done))
        self._fold_clocked(clocked)

    def _fold(self, done: list[Any]) -> None:
        if not done:
            return
        lines, answers = done[0::FACTS], done[2::FACTS]
        lengths = list(map(sub, done[4::FACTS], done[3::FACTS]))
        line, answer, count = lines[0], answers[0], len(lines)
        if lines.count(line) == count and answers.count(answer) == count:
            status, _, sent = answer
            self._bytes_folded += sent * count
            self.classes[status // 100] += count
            route = self._route(NO_REQUEST if line is None else line.route_name())
            buckets: Iterable[int] = route.times.note_all(lengths)
            if status >= 500:
                route.errors += count
        else:
            statuses, _, sents = zip(*answers, strict=True)
            self._bytes_folded += sum(sents)
            buckets = _buckets(lengths)
            self._add_groups(Counter(zip(lines, statuses, buckets, strict=True)))
        self._last = (done if count >= RECENT else self._last + done)[-RECENT * FACTS :]
        if count <= RECENT:
            for at in range(count):
                self._weigh(_past(done, at))
        elif len(self.slowest) < SLOWEST or self._may_be_slow(max(buckets), done[-1]):
            self._weigh(_past(done, lengths.index(max(lengths))))

    def _add_groups(self, groups: Mapping[tuple[Any, int, int], int]) -> None:
        """`groups`: how often which line, status and bucket came together."""
        classes = self.classes
        unnamed = []
        for (line, status, bucket), count in groups.items():
            classes[status // 100] += count
            if line is None:
                self._route(NO_REQUEST).add_group(status, bucket, count)
            elif line.name is not None:
                self._route(line.name).add_group(status, bucket, count)
            else:
                unnamed.append((line, status, bucket, count))
        step = max(1, -(-len(unnamed) // NAMED_A_FOLD))
        for at in range(0, len(unnamed), step):
            line, status, bucket, _ = unnamed[at]
            count = sum(one[3] for one in unnamed[at : at + step])
            self._route(line.route_name()).add_group(status, bucket, count)

    def _fold_clocked(self, clocked: list[Any]) -> None:
        if not clocked:
            return
        lines = clocked[0::CLOCKED]
        columns = [clocked[at::CLOCKED] for at in range(1, CLOCKED - 1)]
        for name, seconds in zip(MEASURES, columns, strict=True):
            times = self.phases[name]
            if not any(seconds):
                times.counts[0] += len(seconds)  # most heads, and bodies, take no time
            elif name != "cpu":
                times.note_all(seconds)
            elif known := [one for one in seconds if one >= 0.0]:
                times.note_all(known)
        if lines.count(lines[0]) == len(lines):
            self._route(lines[0].route_name()).add_phases(columns)
        else:
            places: dict[Line, list[int]] = {}
            for at, line in enumerate(lines):
                places.setdefault(line, []).append(at)
            for line, ats in places.items():
                of_line = [[column[at] for at in ats] for column in columns]
                self._route(line.route_name()).add_phases(of_line)
        self._last_clocked = (self._last_clocked + clocked[-RECENT * CLOCKED :])[-RECENT * CLOCKED :]
        lengths = clocked[CLOCKED - 1 :: CLOCKED]
        for at, past in enumerate(self.slowest):
            if past.phases is None and past.seconds in lengths:
                begin = lengths.index(past.seconds) * CLOCKED
                self.slowest[at] = _with_phases(past, _phases(clocked[begin : begin + CLOCKED]))

    def _route(self, name: str) -> RouteFigures:
        routes = self.routes
        figures = routes.get(name)
        if figures is None:
            figures = routes.setdefault(name if len(routes) < ROUTES else OTHER, RouteFigures())
        return figures

    def _may_be_slow(self, bucket: int, now: float) -> bool:
        least = self.slowest[0]
        return bounds_of(bucket)[1] > least.seconds or least.ended < now - SLOW_LIFE

    def _weigh(self, past: Past) -> None:
        """Keeps it if it is one of the slowest of late."""
        slowest = self.slowest
        if len(slowest) >= SLOWEST:
            oldest = past.ended - SLOW_LIFE
            if past.seconds <= slowest[0].seconds and slowest[0].ended >= oldest:
                return
            slowest = [one for one in slowest if one.ended >= oldest]
        self.slowest = sorted([*slowest, past], key=_seconds)[-SLOWEST:]

    # Adding up

    def add(self, other: Counters) -> None:
        """Adds another block to this one, which must be the caller's alone.

        What was noted before the call is in the figures after it.
        """
        taken = other._take()
        for _ in range(200):
            if taken:
                break
            sleep(0.001)  # another reader is at it
            taken = other._take()
        try:
            if taken:
                other._fold_noted()
            self._add(other)
        finally:
            if taken:
                other._folding.append(True)

    def _add(self, other: Counters) -> None:
        for name in self.OWN:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.bytes_sent += other._bytes_folded
        self.classes = [a + b for a, b in zip(self.classes, other.classes, strict=True)]
        self.waits.add(other.waits)
        for name, figures in other.routes.items():
            known = name in self.routes or len(self.routes) < ROUTES
            self.routes.setdefault(name if known else OTHER, RouteFigures()).add(figures)
        for name, times in other.phases.items():
            self.phases[name].add(times)
        phases = _phases(other._last_clocked)
        recent = [_with_phases(_past(other._last, at), phases) for at in range(len(other._last) // FACTS)]
        self.recent = sorted([*self.recent, *other.recent, *recent], key=_ended)[-RECENT:]
        oldest = monotonic() - SLOW_LIFE
        both = [past for past in (*self.slowest, *other.slowest) if past.ended >= oldest]
        self.slowest = sorted(both, key=_seconds)[-SLOWEST:]


def _ended(past: Past) -> float:
    return past.ended


def _seconds(past: Past) -> float:
    return past.seconds


def _past(facts: list[Any], number: int) -> Past:
    line, connection, (status, size, _), began, ended = facts[number * FACTS : (number + 1) * FACTS]
    return Past(ended, ended - began, line, connection.get("REMOTE_ADDR") or "", status, size)


def _phases(clocked: list[Any]) -> dict[tuple[Line, float], tuple[float, ...]]:
    """The seconds of each of MEASURES, by line and latency, which are those of FACTS to the last bit."""
    each = (clocked[at : at + CLOCKED] for at in range(0, len(clocked), CLOCKED))
    return {(line, seconds): tuple(phases) for line, *phases, seconds in each}


def _with_phases(past: Past, phases: Mapping[tuple[Line, float], tuple[float, ...]]) -> Past:
    found = phases.get((past.line, past.seconds)) if past.line is not None else None
    return past if found is None else past._replace(phases=found)


def _taken(noted: list[Any]) -> list[Any]:
    """Takes all out of a list to whose end its owner may add meanwhile."""
    taken = noted[:]
    del noted[: len(taken)]
    return taken


def total(blocks: Iterable[Counters]) -> Counters:
    """The sum of many blocks."""
    result = Counters()
    for block in blocks:
        result.add(block)
    return result
