"""The kinds of work, the mixtures of them and the shapes of the load, as data.  Imports no locust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Step:
    """One request of a user.  `expect` is what the body must hold: an answer of 200 can be wrong, too."""

    path: str
    method: str = "GET"
    body: bytes = b""
    kind: str = ""
    """The Content-Type of the body."""
    expect: bytes = b""


@dataclass(frozen=True)
class Kind:
    """What one sort of user does: its steps in turn, again and again.

    `wait` is how long it thinks between two steps, in seconds, lowest and highest. `client` is how it speaks:
    "keep" holds its connection, "new" makes one for each request, "slow" sends its head in pieces with
    pauses, "reader" reads the answer slowly.
    """

    name: str
    title: str
    steps: tuple[Step, ...]
    wait: tuple[float, float] = (0.0, 0.0)
    client: str = "keep"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("Json", "tiny JSON", (Step("/json", expect=b'"ok"'),)),
        Kind("Page", "a page from a template", (Step("/page?q=shoes", expect=b"shoes"),)),
        Kind("Download", "1 MB down", (Step("/download"),)),
        Kind(
            "Upload",
            "5 MB up",
            (
                Step(
                    "/upload",
                    "POST",
                    b"u" * (5 * MEGABYTE),
                    "application/octet-stream",
                    b"%d" % (5 * MEGABYTE),
                ),
            ),
        ),
        Kind("Stream", "80 KB streamed in 20 chunks", (Step("/stream"),)),
        Kind("Events", "server-sent events, 10 in 200 ms", (Step("/events", expect=b"id: 9"),)),
        Kind("Upstream", "a slow upstream: waits 50 ms", (Step("/upstream", expect=b"upstream"),)),
        Kind("Driver", "a driver in C that waits 20 ms", (Step("/driver", expect=b"driver"),)),
        Kind("Database", "two queries", (Step("/db", expect=b"item"),)),
        Kind("Cpu", "CPU-bound", (Step("/cpu"),)),
        Kind(
            "Browse",
            "a browsing session: logs in, looks around, fills a basket; thinks 50 to 150 ms",
            (
                Step("/login", "POST", b"user=me", "application/x-www-form-urlencoded", b"welcome"),
                Step("/page?q=shoes", expect=b"shoes"),
                Step("/page?q=boots", expect=b"boots"),
                Step("/basket", "POST", b"item=boots", "application/x-www-form-urlencoded", b"boots"),
                Step("/basket", expect=b"boots"),
            ),
            wait=(0.05, 0.15),
        ),
        Kind("Churn", "a new connection for each request", (Step("/json", expect=b'"ok"'),), client="new"),
        Kind("SlowSender", "a head that takes 300 ms to send", (Step("/json"),), client="slow"),
        Kind(
            "SlowReader",
            "1 MB read at some 2 MB/s by a small receive buffer",
            (Step("/download"),),
            client="reader",
        ),
    )
}

MIXTURES: Mapping[str, Mapping[str, int]] = {
    # How many of each hundred users (or so) are of which kind.
    "api": {"Json": 60, "Database": 30, "Upstream": 10},
    "shop": {"Browse": 70, "Page": 20, "Download": 5, "Upload": 1, "Events": 4},
    "proxy": {"Upstream": 80, "Events": 10, "Json": 10},
    "hostile": {"Json": 40, "SlowSender": 40, "SlowReader": 10, "Churn": 10},
    "mixed": {"Json": 30, "Page": 20, "Database": 20, "Upstream": 20, "Cpu": 2, "Download": 4, "Events": 4},
    "everything": dict.fromkeys(KINDS, 1),
}


def mixture(name: str) -> Mapping[str, int]:
    """The weights that `name` stands for: a mixture, or kinds separated by commas.

    Raises ValueError, which says what there is.
    """
    if name in MIXTURES:
        return MIXTURES[name]
    kinds = [kind.strip() for kind in name.split(",") if kind.strip()]
    known = {kind.lower(): kind for kind in KINDS}
    if not kinds or any(kind.lower() not in known for kind in kinds):
        raise ValueError(
            f"MIX: {name!r} is no mixture; there are {', '.join(MIXTURES)}, and the kinds {', '.join(KINDS)}"
        )
    return {known[kind.lower()]: 1 for kind in kinds}


@dataclass(frozen=True)
class Stage:
    """Until `until` seconds from the start there are to be `users`, at most `rate` more each second."""

    until: float
    users: int
    rate: float


SHAPES: Mapping[str, tuple[Stage, ...]] = {
    "ramp": (Stage(120, 200, 2),),
    "step": tuple(Stage(30 * number, 25 * number, 25) for number in range(1, 9)),
    "spike": (Stage(30, 20, 20), Stage(60, 400, 400), Stage(120, 20, 400)),
    "soak": (Stage(60, 100, 2), Stage(4 * 3600, 100, 10)),
}


def stage_at(shape: tuple[Stage, ...], seconds: float) -> tuple[int, float] | None:
    """How many users there are to be after `seconds`, and how many may come each second; None: it is over."""
    return next(((stage.users, stage.rate) for stage in shape if seconds < stage.until), None)
