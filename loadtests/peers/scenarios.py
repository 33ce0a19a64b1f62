"""The scenarios, as data: what is asked of which servers, which figures are shown, which goals we have."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.peers.drives import Drive, IdleCrowd, QuickAmongSlow, Slowloris, StartUp, Upload, Wrk
from loadtests.peers.wrk import Load

OURS = "dualwsgi"
GREENER = "dualwsgi-green"
"""Ours on the other backend."""
FLOOR = ("plain-blocking", "plain-poller")
SINGLE = ("bjoern",)
POOLS = ("granian-threads", "gunicorn-gthread", "waitress", "cheroot", "uwsgi")
GREEN = ("gunicorn-gevent", "eventlet", "gevent")
EVERYONE = (
    OURS,
    GREENER,
    "bjoern",
    "granian",
    "gunicorn-gthread",
    "waitress",
    "cheroot",
    "uwsgi",
    *GREEN,
)

BROWSER = {
    # Eleven fields: these ten and Host.
    "Connection": "keep-alive",
    "Cache-Control": "max-age=0",
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en;q=0.8,de;q=0.6,fr;q=0.4",
    "Cookie": "sessionid=4f3a9c1e77b2405d8a6e0c9b1f2d3e4a; csrftoken=Zk3v8Qw1nT5yB7uJ2mXc9LrP4sHd6; t=dark",
}


@dataclass(frozen=True)
class Column:
    """A figure as it is shown: times `scale`, with `digits` after the point.

    `tells` is the ratio from which on one server is said to be before another by it; 0 says that it is shown
    and not judged. No run tells 1.00 from 1.02, and a 99th percentile less.
    """

    figure: str
    title: str
    scale: float = 1.0
    digits: int = 1
    tells: float = 0
    more_is_better: bool = False


@dataclass(frozen=True)
class Goal:
    """What a figure of ours is to reach: at most or at least `value`, times another server's figure if it
    names one.

    `against` is a server, or "best peer" for the lowest median among servers that are not ours. A ratio up to
    `equal` counts as reached: no run tells 1.00 from 1.02.
    """

    figure: str
    value: float
    against: str = ""
    at_least: bool = False
    subject: str = OURS
    equal: float = 1.0


@dataclass(frozen=True)
class Scenario:
    """`threads` is what {threads} of a command line gets. Column one ranks servers and gives ratios.

    `fresh` starts each server anew for each round, where a first time differs from a second.
    """

    name: str
    title: str
    drive: Drive
    columns: tuple[Column, ...]
    app: str = "hello"
    servers: tuple[str, ...] = EVERYONE
    threads: int = 8
    fresh: bool = False
    most_rounds: int = 99
    ratios: bool = True
    goals: tuple[Goal, ...] = ()
    remark: str = ""
    tls: bool = False
    database: bool = False
    """It needs PostgreSQL, and gives servers its DATABASE_URL."""
    why: str = ""
    """Where others may be before us: the reason, for the documentation."""
    more: bool = False
    """Measured when it is asked for by name or with --all, and not otherwise."""

    @property
    def target(self) -> str:
        """The application as servers are given it."""
        return "loadtests.peers.djangoapp:app" if self.database else f"loadtests.peers.apps:{self.app}"


CPU = Column("cpu", "CPU/request us", 1e6, tells=1.03)
RATE = Column("rate", "requests/s", 1, 0, tells=1.05, more_is_better=True)
P50 = Column("p50", "p50 ms", 1e3, 2)
P99 = Column("p99", "p99 ms", 1e3, 2, tells=1.25)
WORST = Column("worst", "worst ms", 1e3, 1)
SLOW = Column("slow", "slow requests/s", 1, 0)
CORE = Column("core", "core %", 100, 0)
P50_ALONE = Column("p50_alone", "p50 alone ms", 1e3, 2)
P99_ALONE = Column("p99_alone", "p99 alone ms", 1e3, 2)
COST = (CPU, RATE, P50, P99, CORE)

BJOERN = Goal("cpu", 1.0, "bjoern", equal=1.03)
GRANIAN = Goal("cpu", 1.0, "granian", equal=1.03)
GTHREAD = Goal("cpu", 0.1, "gunicorn-gthread")

_PARSING = "C and Rust parse quicker than Python; what repeats is looked up here, and nothing repeats"
_WAITING = (
    "a thread that wakes takes Python's lock from another; greenlets switch without it, and C without Python"
)
_CROWD = "a connection is an object of Python here, with its deadlines; theirs is a structure of C or Rust"
_UNANNOUNCED = "closes without saying `Connection: close`"

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "hello",
            "hello world, 64 keep-alive connections, wrk's own head",
            Wrk(),
            COST,
            servers=(*EVERYONE, *FLOOR),
            goals=(BJOERN, GTHREAD),
            why="beside two system calls and the application there is only Python left; a C server saves it",
        ),
        Scenario(
            "hello-browser",
            "hello world, 64 keep-alive connections, eleven browser fields with cookies",
            Wrk(Load(headers=BROWSER)),
            COST,
            goals=(BJOERN,),
            why="as for `hello`",
            more=True,
        ),
        Scenario(
            "hello-unique",
            "hello world, 64 keep-alive connections, three short fields and a unique one",
            Wrk(Load(script="unique_short.lua")),
            COST,
            goals=(GRANIAN,),
            why=_PARSING,
        ),
        Scenario(
            "hello-unique-browser",
            "hello world, 64 keep-alive connections, eleven browser fields and a unique one",
            Wrk(Load(headers=BROWSER, script="unique_browser.lua")),
            COST,
            goals=(GRANIAN,),
            why=_PARSING,
            more=True,
        ),
        Scenario(
            "post1k",
            "POST of 1 KB, 64 keep-alive connections",
            Wrk(Load(script="post1k.lua")),
            COST,
            app="post",
            goals=(GRANIAN,),
            why="the body is a buffer in C or Rust there, and an object of Python with its limits here",
        ),
        Scenario(
            "close",
            "a new connection for each request, 64 at a time",
            Wrk(Load(headers={"Connection": "close"}), refused=_UNANNOUNCED),
            COST,
            goals=(Goal("cpu", 1.3, "granian"),),
            remark="wrk is often the limit here; CPU a request is the server's alone and holds all the same.",
            why=_CROWD,
        ),
        Scenario(
            "big",
            "1 MB response, 64 keep-alive connections",
            Wrk(),
            COST,
            app="megabyte",
            goals=(Goal("cpu", 1.0, "best peer", equal=1.03),),
            why="the kernel copies the megabyte for all; what differs is how often a server is woken",
        ),
        Scenario(
            "streamed",
            "80 KB streamed in 20 chunks from a generator, 64 keep-alive connections",
            Wrk(),
            COST,
            app="streamed",
            why="each piece is out before the next is asked for; theirs gather in a queue or the kernel",
        ),
        Scenario(
            "tls",
            "hello world over TLS, 64 keep-alive connections",
            Wrk(Load(tls=True)),
            COST,
            tls=True,
            servers=(OURS, GREENER, "granian", *POOLS, *GREEN),
            remark="Handshakes are made before the rounds: this is the cost of records.",
            why="records pass the ssl module of Python twice, on their way in and out of memory",
        ),
        Scenario(
            "tls-close",
            "a new TLS connection for each request, 64 at a time",
            Wrk(Load(tls=True, headers={"Connection": "close"}), refused=_UNANNOUNCED),
            COST,
            tls=True,
            servers=(OURS, GREENER, "granian", *POOLS, *GREEN),
            why="as for `tls` and `close`; the handshake itself is the same work for all",
            more=True,
        ),
        Scenario(
            "django",
            "a Django page with two queries to PostgreSQL and a template, 64 connections, 16 threads",
            Wrk(),
            COST,
            threads=16,
            database=True,
            servers=(OURS, GREENER, *POOLS, *GREEN),
            remark="PostgreSQL runs beside the clients; CPU a request is the server's, Django included.",
            why="the page and its queries are most of the work on every server",
        ),
        Scenario(
            "log",
            "hello world with the access log to a regular file, and without",
            Wrk(),
            COST,
            servers=(OURS, "dualwsgi-log"),
            goals=(Goal("cpu", 1.35, OURS, subject="dualwsgi-log"),),
            more=True,
        ),
        Scenario(
            "sleep10",
            "an application that sleeps 10 ms, 64 connections, 64 threads: at best 6,400 requests/s",
            Wrk(saturating=False),
            COST,
            app="sleep10",
            threads=64,
            servers=(OURS, GREENER, *FLOOR, *POOLS, *GREEN),
            goals=(
                Goal("rate", 0.95 * 6400, at_least=True),
                *(Goal("cpu", 1.0, pool, equal=1.03) for pool in FLOOR),
            ),
            why=_WAITING,
        ),
        Scenario(
            "sleep10-512",
            "an application that sleeps 10 ms, 512 connections, 512 threads",
            Wrk(Load(connections=512), saturating=False),
            COST,
            app="sleep10",
            threads=512,
            servers=(OURS, GREENER, *POOLS, *GREEN),
            why=_WAITING,
        ),
        Scenario(
            "sleep100-500",
            "an application that sleeps 100 ms, 500 connections, 500 threads: at best 5,000 requests/s",
            Wrk(Load(connections=500), saturating=False),
            COST,
            app="sleep100",
            threads=500,
            servers=(OURS, GREENER, *POOLS, *GREEN),
            more=True,
            why=_WAITING,
        ),
        Scenario(
            "quick-among-slow",
            "4 connections on a quick route while 32 hammer one that sleeps 100 ms, 16 threads",
            QuickAmongSlow(Load("/sleep", connections=32)),
            (P99, P50, WORST, RATE, SLOW),
            app="mixed",
            threads=16,
            servers=(OURS, GREENER, *POOLS, *GREEN),
            goals=(Goal("p99", 0.015),),
            why="a quick request can come while the lead changes hands; greenlets hand nothing over",
        ),
        Scenario(
            "quick-among-cpu",
            "4 connections on a quick route while 32 hammer one that computes for 10 ms, 16 threads",
            QuickAmongSlow(Load("/spin", connections=32)),
            (P99, P50, WORST, RATE, SLOW),
            app="mixed",
            threads=16,
            servers=(OURS, GREENER, *POOLS, *GREEN),
            more=True,
            why="Python's lock changes hands every 5 ms between threads that compute",
        ),
        Scenario(
            "idle10k",
            "10,000 idle keep-alive connections, and one client among them",
            IdleCrowd(),
            (
                Column("each", "RSS each KB", 1 / 1024, 2, tells=1.03),
                Column("slower", "p50 among/alone", 1, 2),
                P50_ALONE,
                P50,
                P99_ALONE,
                P99,
                Column("kept", "kept", 1, 0),
            ),
            servers=(OURS, GREENER, "bjoern", *POOLS, *GREEN, "plain-poller"),
            fresh=True,
            most_rounds=3,
            goals=(Goal("each", 4096), Goal("slower", 1.0, equal=1.1)),
            remark="Latencies are a Python client's: compare among with alone (before and after).",
            why=_CROWD,
        ),
        Scenario(
            "slowloris500",
            "500 clients send a head a byte a second; a new connection for each honest request",
            Slowloris(),
            (
                P99,
                P99_ALONE,
                P50,
                P50_ALONE,
                Column("held", "threads more", 1, 0),
                Column("threads", "threads", 1, 0),
                Column("kept", "kept", 1, 0),
            ),
            servers=(OURS, GREENER, "bjoern", *POOLS, *GREEN, *FLOOR),
            fresh=True,
            most_rounds=3,
            goals=(Goal("held", 0),),
            more=True,
            why="each slow head is looked at by Python, a byte a time",
        ),
        Scenario(
            "upload100",
            "one chunked upload of 100 MB, read in pieces of 64 KB",
            Upload(),
            (
                Column("growth", "RSS growth MB", 1 / 1024**2, tells=1.25),
                Column("seconds", "s", 1, 2),
                Column("cpu", "CPU s", 1, 2),
            ),
            app="upload",
            servers=(OURS, GREENER, "bjoern", *POOLS, *GREEN),
            fresh=True,
            most_rounds=3,
            ratios=False,
            goals=(Goal("growth", 10 * 1024**2),),
            more=True,
            why="chunks are taken apart by Python, with their limits",
        ),
        Scenario(
            "startup",
            "from the start of the process to the first 200, warm cache",
            StartUp(),
            (Column("ready", "ready after ms", 1e3, 0, tells=1.05),),
            servers=(OURS, "dualwsgi-example", *EVERYONE[1:]),
            fresh=True,
            goals=(Goal("ready", 0.250, subject="dualwsgi-example"),),
            why="a server in Python is imported, with its settings and its log; uWSGI is a program in C",
            more=True,
        ),
    )
}
