"""What of eventlet works on which way, and what to do where it does not.

A way is where the application may go: `green` and `threads` are `dualwsgi.eventlet` on that backend,
served by its wsgi.server; `native` is whether it may be served by `dualwsgi run` besides, whose
environ has nothing of eventlet's.  What is not named here works as it did.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

__all__ = ["RULES", "WAYS", "Level", "Rule", "Way", "exists"]

Way = Literal["green", "threads", "native"]
WAYS: Final[tuple[Way, ...]] = ("green", "threads", "native")


class Level(IntEnum):
    """How something fares: as before; otherwise, which has to be looked at; not at all."""

    WORKS = 0
    DIFFERS = 1
    FAILS = 2


WORKS, DIFFERS, FAILS = Level.WORKS, Level.DIFFERS, Level.FAILS


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to know: how it fares on each way, why, and the cure."""

    green: Level
    threads: Level
    native: Level
    says: str
    cure: str

    def on(self, way: Way) -> Level:
        level: Level = getattr(self, way)
        return level


RULES: Final[dict[str, Rule]] = {
    # Patching
    "patch": Rule(
        *(WORKS, DIFFERS, WORKS),
        "on threads it does nothing but warn; `dualwsgi run --backend green` has patched before",
        "remove the call once it does not run on green; --strict-patch makes it an error on threads",
    ),
    "patch-in-function": Rule(
        *(DIFFERS, WORKS, WORKS),
        "it patches when the function is called: what was made until then may have kept what waits natively",
        "call it first of all in the module that is started",
    ),
    "patch-late": Rule(
        *(DIFFERS, WORKS, WORKS),
        "made before the patch, and out of its reach: it goes on waiting natively, and all others with it",
        "move monkey_patch() above it, or the import that leads to it",
    ),
    "patch-group": Rule(
        *(DIFFERS, WORKS, WORKS),
        "this group is not patched: what it names waits in C",
        "call the driver by tpool.execute, or take one that is written in Python",
    ),
    "patch-unknown": Rule(
        *(FAILS, FAILS, FAILS), "monkey_patch() knows no such keyword: TypeError", "see docs/eventlet.md"
    ),
    "no-patch": Rule(
        *(DIFFERS, WORKS, WORKS),
        "nothing is patched, so this keeps all other greenlets waiting",
        "call monkey_patch() first, take eventlet.green's module, or serve by `dualwsgi run`, which patches",
    ),
    # What threads cannot do
    "timeout": Rule(
        *(WORKS, DIFFERS, WORKS),
        "a thread is interrupted only where it waits in dualwsgi.eventlet; one that could not be warns",
        "give the timeout to what is called: a socket's, a lock's, a client's; or stay on green",
    ),
    "kill": Rule(
        *(WORKS, DIFFERS, WORKS),
        "a thread ends where it waits in dualwsgi.eventlet; elsewhere kill() warns, "
        "and it ends at its next wait",
        "have it look at an Event, or end it by a Queue; or stay on green",
    ),
    "hub-of-ones-own": Rule(
        *(FAILS, FAILS, FAILS), "there is one hub: use_hub() refuses a class", "remove the call"
    ),
    "hub": Rule(
        *(WORKS, DIFFERS, WORKS),
        "on threads there is no hub, only an object that says so",
        "use spawn_after, trampoline and the like instead of the hub's methods",
    ),
    "blocking-detection": Rule(
        *(WORKS, DIFFERS, WORKS),
        "on threads there is no hub that could be held: it warns",
        "natively `--max-blocking-time` and the watchdog tell",
    ),
    "no-effect": Rule(
        *(WORKS, DIFFERS, WORKS),
        "on threads it does nothing but warn: there is no hub and no pool of threads that it could change",
        "remove the call; a GreenPool or a Semaphore bounds what runs at once",
    ),
    "greenlet": Rule(
        *(WORKS, DIFFERS, WORKS),
        "greenlets of one's own switch within one thread, and none waits for another thread's",
        "use eventlet.spawn, or threading",
    ),
    # What only eventlet's server has
    "server": Rule(
        *(WORKS, WORKS, DIFFERS),
        "natively the server is started from outside",
        "`dualwsgi run MODULE:CALLABLE`, or dualwsgi.serve(app), with settings of the same meaning",
    ),
    "protocol": Rule(
        *(WORKS, WORKS, FAILS),
        "natively no class handles a connection: its hooks are never called",
        "do it in WSGI middleware; PROXY lines are --proxy-protocol, logs --access-log-format",
    ),
    "protocol-response": Rule(
        *(DIFFERS, DIFFERS, FAILS),
        "what eventlet's own does within it is done elsewhere here, by one driver for both backends",
        "override get_environ, parse_request or handle_one_request, or wrap the application",
    ),
    "posthooks": Rule(
        *(WORKS, WORKS, FAILS),
        "environ has no such key natively",
        "do it in close() of the iterable that the application returns",
    ),
    "set-idle": Rule(
        *(WORKS, WORKS, FAILS),
        "environ has no such key natively",
        "leave it out: --graceful-timeout bounds a stop",
    ),
    "minimum-chunk": Rule(
        *(WORKS, WORKS, DIFFERS), "natively each piece is sent as it comes", "leave it out"
    ),
    "eventlet-input": Rule(
        *(WORKS, WORKS, FAILS), "environ has no such key natively", "read environ['wsgi.input']"
    ),
    "raw-headers": Rule(
        *(WORKS, WORKS, FAILS), "environ has no headers_raw natively", "read the HTTP_* keys"
    ),
    "raw-path": Rule(
        *(WORKS, WORKS, FAILS), "environ has no RAW_PATH_INFO natively", "read RAW_URI, up to its '?'"
    ),
    "continue": Rule(
        *(WORKS, WORKS, FAILS),
        "natively 100 Continue is sent once, by itself, at the first read",
        "leave it out; other interim responses are environ['dualwsgi.send_interim']",
    ),
    "get-socket": Rule(
        *(WORKS, WORKS, FAILS),
        "natively wsgi.input does not give the socket away",
        "answer 101, and read wsgi.input and write() what follows",
    ),
    "already-handled": Rule(*(WORKS, WORKS, FAILS), "natively the server alone answers", "return a response"),
    "websocket": Rule(
        *(WORKS, WORKS, FAILS),
        "it takes the connection's socket, which only eventlet's server gives",
        "serve it by eventlet.wsgi.server, or take a library that upgrades over WSGI",
    ),
    "text": Rule(*(WORKS, WORKS, FAILS), "natively content is bytes (PEP 3333): str is a 500", "encode it"),
    "headers-dict": Rule(
        *(WORKS, WORKS, FAILS), "natively headers are a list of pairs (PEP 3333)", "list(headers.items())"
    ),
    # What is not there
    "missing": Rule(*(FAILS, FAILS, FAILS), "dualwsgi.eventlet has no such name", "see docs/eventlet.md"),
}

NAMES: Final[dict[str, str]] = {
    "eventlet.wsgi.ALREADY_HANDLED": "already-handled",
    "eventlet.wsgi.WSGI_LOCAL": "already-handled",
    "eventlet.websocket.WebSocketWSGI": "websocket",
    "eventlet.wsgi.server": "server",
    "eventlet.hubs.get_hub": "hub",
    "greenlet": "greenlet",
}
"""Names whose every use counts."""

CALLS: Final[dict[str, str]] = {
    "eventlet.Timeout": "timeout",
    "eventlet.timeout.Timeout": "timeout",
    "eventlet.with_timeout": "timeout",
    "eventlet.timeout.with_timeout": "timeout",
    "eventlet.greenthread.with_timeout": "timeout",
    "eventlet.greenthread.exc_after": "timeout",
    "eventlet.kill": "kill",
    "eventlet.greenthread.kill": "kill",
    "eventlet.debug.hub_blocking_detection": "blocking-detection",
    "eventlet.debug.hub_prevent_multiple_readers": "no-effect",
    "eventlet.hubs.use_hub": "no-effect",
    "eventlet.tpool.set_num_threads": "no-effect",
}
"""Names of which only a call counts: `except eventlet.Timeout` is fine everywhere."""

METHODS: Final[dict[str, str]] = {
    "set_hundred_continue_response_headers": "continue",
    "send_hundred_continue_response": "continue",
}
"""Methods that nothing else has."""

KEYS: Final[dict[str, str]] = {
    "eventlet.posthooks": "posthooks",
    "eventlet.set_idle": "set-idle",
    "eventlet.minimum_write_chunk_size": "minimum-chunk",
    "eventlet.input": "eventlet-input",
    "headers_raw": "raw-headers",
    "RAW_PATH_INFO": "raw-path",
}
"""Keys of environ."""

SPAWNERS: Final = frozenset(
    f"eventlet.{place}{name}"
    for place in ("", "greenthread.")
    for name in ("spawn", "spawn_n", "spawn_after", "spawn_after_local")
)
"""What they return can be killed."""

PATCHERS: Final = frozenset({"eventlet.monkey_patch", "eventlet.patcher.monkey_patch"})
PATCH_GROUPS: Final = frozenset(
    {"all", "builtins", "os", "select", "socket", "thread", "time", "subprocess", "psycopg"}
)
UNPATCHED_GROUPS: Final = frozenset({"MySQLdb"})

WAITING: Final = frozenset(
    {
        *("time.sleep", "select.select", "select.poll", "socket.socket", "socket.create_connection"),
        *("socket.getaddrinfo", "threading.Lock", "threading.RLock", "threading.Thread", "queue.Queue"),
        *("subprocess.Popen", "subprocess.run", "subprocess.call", "subprocess.check_call"),
        *("subprocess.check_output", "urllib.request.urlopen", "os.waitpid", "os.system"),
        *("http.client.HTTPConnection", "http.client.HTTPSConnection", "requests.get", "requests.post"),
        *("requests.put", "requests.delete", "requests.head", "requests.request", "requests.Session"),
    }
)
"""Of the standard library and what stands on it: what waits natively unless it is patched."""

MISSING: Final[dict[str, str]] = {
    "eventlet.db_pool": "the pool of the database's own library, or eventlet.pools.Pool",
    "eventlet.dagpool": "GreenPool, and the order by Event",
    "eventlet.asyncio": "asyncio in a thread of its own",
    "eventlet.green.zmq": "pyzmq in a thread, by tpool.execute",
    "eventlet.green.MySQLdb": "PyMySQL, which is patched as Python code is",
    "eventlet.green.OpenSSL": "the standard ssl module",
}
"""What is known to be missing, and what to take in its place."""


def exists(name: str) -> bool:
    """Whether dualwsgi.eventlet has this name of eventlet's; what a class or a function has is not asked."""
    parts = name.split(".")[1:]
    found: object = importlib.import_module("dualwsgi.eventlet")
    place = "dualwsgi.eventlet"
    for part in parts:
        if not hasattr(found, part):
            try:
                found = importlib.import_module(f"{place}.{part}")
            except ImportError:
                return not hasattr(found, "__path__") and not hasattr(found, "__spec__")
        else:
            found = getattr(found, part)
        place = f"{place}.{part}"
        if not hasattr(found, "__spec__"):
            break  # a class or a function: what it has is not looked into
    return True
