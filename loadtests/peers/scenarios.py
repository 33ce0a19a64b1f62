"""The scenarios, as data: what is asked of which servers, which figures are shown, which goals we have."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.peers.drives import Drive, IdleCrowd, QuickAmongSlow, Slowloris, StartUp, Upload, Wrk
from loadtests.peers.wrk import Load

OURS = "dualwsgi"
FLOOR = ("plain-blocking", "plain-poller")
SINGLE = ("bjoern",)
POOLS = ("granian-threads", "gunicorn-gthread", "waitress", "cheroot", "uwsgi")
GREEN = ("gunicorn-gevent", "eventlet", "gevent")
EVERYONE = (OURS, "bjoern", "granian", "gunicorn-gthread", "waitress", "cheroot", "uwsgi", *GREEN, *FLOOR)

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
    """A figure as it is shown: times `scale`, with `digits` after the point."""

    figure: str
    title: str
    scale: float = 1.0
    digits: int = 1


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


CPU = Column("cpu", "CPU/request us", 1e6)
RATE = Column("rate", "requests/s", 1, 0)
P50 = Column("p50", "p50 ms", 1e3, 2)
P99 = Column("p99", "p99 ms", 1e3, 2)
WORST = Column("worst", "worst ms", 1e3, 1)
SLOW = Column("slow", "slow requests/s", 1, 0)
CORE = Column("core", "core %", 100, 0)
P50_ALONE = Column("p50_alone", "p50 before ms", 1e3, 2)
P99_ALONE = Column("p99_alone", "p99 before ms", 1e3, 2)
COST = (CPU, RATE, P50, P99, CORE)

BJOERN = Goal("cpu", 1.0, "bjoern", equal=1.03)
GRANIAN = Goal("cpu", 1.0, "granian", equal=1.03)
GTHREAD = Goal("cpu", 0.1, "gunicorn-gthread")

_UNANNOUNCED = "closes without saying `Connection: close`"

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "hello",
            "hello world, 64 keep-alive connections, wrk's own head",
            Wrk(),
            COST,
            goals=(BJOERN, GTHREAD),
        ),
        Scenario(
            "hello-browser",
            "hello world, 64 keep-alive connections, eleven browser fields with cookies",
            Wrk(Load(headers=BROWSER)),
            COST,
            goals=(BJOERN,),
        ),
        Scenario(
            "hello-unique",
            "hello world, 64 keep-alive connections, three short fields and a unique one",
            Wrk(Load(script="unique_short.lua")),
            COST,
            goals=(GRANIAN,),
        ),
        Scenario(
            "hello-unique-browser",
            "hello world, 64 keep-alive connections, eleven browser fields and a unique one",
            Wrk(Load(headers=BROWSER, script="unique_browser.lua")),
            COST,
            goals=(GRANIAN,),
        ),
        Scenario(
            "post1k",
            "POST of 1 KB, 64 keep-alive connections",
            Wrk(Load(script="post1k.lua")),
            COST,
            app="post",
            goals=(GRANIAN,),
        ),
        Scenario(
            "close",
            "a new connection for each request, 64 at a time",
            Wrk(Load(headers={"Connection": "close"}), refused=_UNANNOUNCED),
            COST,
            goals=(Goal("cpu", 1.3, "granian"),),
            remark="wrk is often the limit here; CPU a request is the server's alone and holds all the same.",
        ),
        Scenario(
            "big",
            "1 MB response, 64 keep-alive connections",
            Wrk(),
            COST,
            app="megabyte",
            goals=(Goal("cpu", 1.0, "best peer", equal=1.03),),
        ),
        Scenario(
            "log",
            "hello world with the access log to a regular file, and without",
            Wrk(),
            COST,
            servers=(OURS, "dualwsgi-log"),
            goals=(Goal("cpu", 1.35, OURS, subject="dualwsgi-log"),),
        ),
        Scenario(
            "sleep10",
            "an application that sleeps 10 ms, 64 connections, 64 threads: at best 6,400 requests/s",
            Wrk(saturating=False),
            COST,
            app="sleep10",
            threads=64,
            servers=(OURS, *FLOOR, *POOLS, *GREEN),
            goals=(
                Goal("rate", 0.95 * 6400, at_least=True),
                *(Goal("cpu", 1.0, pool, equal=1.03) for pool in FLOOR),
            ),
        ),
        Scenario(
            "quick-among-slow",
            "4 connections on a quick route while 32 hammer one that sleeps 100 ms, 16 threads",
            QuickAmongSlow(Load("/sleep", connections=32)),
            (P99, P50, WORST, RATE, SLOW),
            app="mixed",
            threads=16,
            servers=(OURS, *POOLS, *GREEN),
            goals=(Goal("p99", 0.015),),
        ),
        Scenario(
            "quick-among-cpu",
            "4 connections on a quick route while 32 hammer one that computes for 10 ms, 16 threads",
            QuickAmongSlow(Load("/spin", connections=32)),
            (P99, P50, WORST, RATE, SLOW),
            app="mixed",
            threads=16,
            servers=(OURS, *POOLS, *GREEN),
        ),
        Scenario(
            "idle10k",
            "10,000 idle keep-alive connections, and one client among them",
            IdleCrowd(),
            (
                Column("each", "RSS each KB", 1 / 1024, 2),
                Column("slower", "p50 among/before", 1, 2),
                P50_ALONE,
                P50,
                P99_ALONE,
                P99,
                Column("kept", "kept", 1, 0),
            ),
            servers=(OURS, "bjoern", *POOLS, *GREEN, "plain-poller"),
            fresh=True,
            most_rounds=3,
            goals=(Goal("each", 4096), Goal("slower", 1.0, equal=1.1)),
            remark="Latencies are a Python client's: compare before with among, not with other scenarios.",
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
            servers=(OURS, "bjoern", *POOLS, *GREEN, *FLOOR),
            fresh=True,
            most_rounds=3,
            goals=(Goal("held", 0),),
        ),
        Scenario(
            "upload100",
            "one chunked upload of 100 MB, read in pieces of 64 KB",
            Upload(),
            (
                Column("growth", "RSS growth MB", 1 / 1024**2),
                Column("seconds", "s", 1, 2),
                Column("cpu", "CPU s", 1, 2),
            ),
            app="upload",
            servers=(OURS, "bjoern", *POOLS, *GREEN),
            fresh=True,
            most_rounds=3,
            ratios=False,
            goals=(Goal("growth", 10 * 1024**2),),
        ),
        Scenario(
            "startup",
            "from the start of the process to the first 200, warm cache",
            StartUp(),
            (Column("ready", "ready after ms", 1e3, 0),),
            servers=(OURS, "dualwsgi-example", *EVERYONE[1:]),
            fresh=True,
            goals=(Goal("ready", 0.250, subject="dualwsgi-example"),),
        ),
    )
}
