"""The seam between HTTP and waiting: what a connection says, what a stream does, on one screen.

The driver (gateway.connection) is written once.  It never waits in `advance`; in `run` the
application runs, and there the stream may wait.  A backend parks connections, and on RUN it
chooses who calls `run`, when, or refuses.  Neither side knows the other's trade: a backend knows
no HTTP, the driver knows no thread and no greenlet.
"""

from __future__ import annotations

import _socket
import enum
import errno
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .counters import Counters, Line

if TYPE_CHECKING:
    from socket import socket


class Verdict(enum.Enum):
    """What a connection wants next."""

    WANT_READ = enum.auto()  # park it until it is readable; everything that was there has been read
    WANT_WRITE = enum.auto()  # park it until it is writable
    AGAIN = enum.auto()  # its turn is over but it can go on at once: do not wait for an event
    RUN = enum.auto()  # call run(): the whole request is here
    SEND = enum.auto()  # call send(), soon: the whole response is here, and may go out together with others
    STREAM = enum.auto()  # call run() where it may wait: it will read or write what the client paces
    CLOSE = enum.auto()  # call close()


class Turn:
    """Who serves: one a thread (or a hub), written by it alone."""

    __slots__ = ("aside", "counters", "guard", "now")

    def __init__(self, now: float) -> None:
        self.now = now  # monotonic seconds, as of the last look at the clock
        self.counters = Counters()
        self.guard: Guard | None = None  # where calls may be interrupted
        # Where who must not wait outside of run() has the application called; None: it may wait.
        self.aside: Callable[[Callable[[], object]], None] | None = None


class Guard(Protocol):
    """The stretches of a thread's life in which an exception may be raised in it by another."""

    def enter(self) -> None: ...

    def leave(self) -> None:
        """From here on none comes; if one is on its way, it may come out of this."""
        ...


def closed(_: object) -> Any:
    """`read` and `write` of a stream that is closed: its descriptor may be another's by then."""
    raise OSError(errno.EBADF, "the connection is closed")


class Stream(Protocol):
    """A connection's octets.  Nothing here blocks but the two waits.

    `read` and `write` of a plain socket are the kernel's own calls, because two layers of calls
    cost as much as parsing a request: they raise BlockingIOError when they would block and any
    other OSError when the connection is broken, and the driver takes those for ClientGone in one
    place.
    """

    @property
    def read(self) -> Callable[[int], bytes]: ...

    @property
    def write(self) -> Callable[[bytes | memoryview], int]: ...

    @property
    def fd(self) -> int: ...

    @property
    def lookahead(self) -> bool:
        """A short read does not mean that nothing more is there, and there is a handshake (TLS)."""
        ...

    @property
    def rest(self) -> Verdict:
        """What waits for more, once all that was read is dealt with: WANT_READ if what comes makes an edge,
        AGAIN if some of it may be here already."""
        ...

    @property
    def is_greeted(self) -> bool:
        """The client has begun the handshake, where there is one."""
        ...

    @property
    def peer_environ(self) -> dict[str, Any]:
        """REMOTE_*, SERVER_* and what else the connection, not the request, says to environ.

        The driver's to add to."""
        ...

    def writev(self, buffers: Sequence[bytes | memoryview]) -> int: ...

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """As os.sendfile; raises NotImplementedError where the octets must pass through here."""
        ...

    def unread(self, data: bytes) -> None:
        """Octets of the handshake that were read before it."""
        ...

    def handshake(self) -> Verdict:
        """Goes on with what must precede the first octet.  RUN says that it is done, and from then on
        `peer_environ` is what it adds to that.  Raises BadRequest for HTTP, and OSError."""
        ...

    def wait_readable(self, timeout: float) -> None:
        """Waits up to `timeout` seconds; raises DeadlineExceeded after them."""
        ...

    def wait_writable(self, timeout: float) -> None: ...

    def peer_ended(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds for the peer to end its side; whether it has.  Never raises."""
        ...

    def watch_end(self, callback: Callable[[], object]) -> None:
        """Has `callback` called once the peer has ended its side, in a thread or greenlet of its own."""
        ...

    def is_broken(self) -> bool:
        """Whether nothing can be sent any more, as far as the system knows.  Never raises."""
        ...

    def unsent(self) -> int:
        """Octets that were written and have not come to the peer; 0 where that is unknown."""
        ...

    @property
    def has_socket(self) -> bool:
        """hand_over() can be called: what the socket carries is what the connection carries."""
        ...

    def hand_over(self) -> socket:
        """A blocking socket of its own for the connection, which the caller closes.  Raises OSError."""
        ...

    def take_back(self) -> None:
        """Nothing here waits again, whatever was done with the socket that was handed over."""
        ...

    def interrupt(self) -> None:
        """Makes present and coming waits end, from another thread.  Never raises."""
        ...

    def abort(self) -> None:
        """Resets the connection, from another thread; close() is still its owner's.  Never raises."""
        ...

    def shutdown_write(self) -> None:
        """No more will be sent.  Never raises."""
        ...

    def break_off(self) -> None:
        """Makes the coming close() a reset, so that no client takes what was sent for whole."""
        ...

    def close(self) -> None: ...


class _Line(Line, Protocol):
    route: Any
    """A place for what the backend remembers of requests like this one."""


class _Request(Protocol):
    @property
    def line(self) -> _Line: ...


class Parked(Protocol):
    """What a backend sees of a connection."""

    fd: int
    stream: Any  # the backend's own Stream, unless its `lookahead` says that another is laid over it
    since: float
    """When it began to wait for what it waits for.  Whoever parks it after run() sets it, but not after SEND:
    then it is still when the request came, and send() sets it."""

    @property
    def has_begun(self) -> bool:
        """Whether the response is under way, so that refusing would cut it."""
        ...

    @property
    def awaits_octets(self) -> bool:
        """Whether it waits to read and for nothing else."""
        ...

    @property
    def request(self) -> _Request: ...

    def advance(self, turn: Turn) -> Verdict: ...
    def run(self, turn: Turn) -> Verdict: ...

    def send(self, turn: Turn) -> Verdict:
        """After SEND: the response counts as ended at `turn.now`.  May wait for nothing but a disk."""
        ...

    def refuse(self, turn: Turn, reason: str) -> Verdict:
        """Instead of run(): the server is overloaded."""
        ...

    def forgo(self, turn: Turn) -> Verdict | None:
        """Instead of run(), after a wait for it, if there is nobody to run it for; else None."""
        ...

    def hung_up(self) -> None:
        """The peer has ended its side, and edge-triggered polling may have said so for the last time."""
        ...

    def overdue(self, now: float) -> bool: ...

    def expire(self, turn: Turn) -> Verdict:
        """Once it is overdue."""
        ...

    def dismiss(self, turn: Turn, before: float) -> Verdict:
        """A server that is stopping gives it up if it has waited for a request since `before`.

        It looks once more: what has come in meanwhile is still served, and the verdict says how.
        WANT_READ leaves it as it is.
        """
        ...

    def is_late(self, now: float) -> bool:
        """Whether its call has outlived its deadline."""
        ...

    def time_out(self, turn: Turn, frame: FrameType | None) -> bool:
        """Ends the request of a call that is late, from another thread or greenlet; the call goes on.

        `frame` is what it is at.  False if nothing is to be done, or not yet.
        """
        ...

    def describe(self) -> str:
        """Peer and request, for a log line; any thread may ask."""
        ...

    def interrupt(self) -> None:
        """Ends a wait inside run(), from another thread."""
        ...

    def close(self) -> None: ...


class Share(Protocol):
    """The part of a process among those that accept at the same listeners."""

    def room(self, load: int, most: int) -> int:
        """How many connections, up to `most`, to accept now, with `load` of them open; 0: ask again later."""
        ...


class Door(Protocol):
    """Where connections come in: a listening socket and what is made of what it accepts."""

    sock: _socket.socket
    share: Share | None
    flush: Callable[[], object] | None
    """Writes what is held back: to be called after tick(), where it may wait.  None for no log."""

    def peer_environ(self, fd: int, address: Any) -> dict[str, Any]:
        """What the connection, not the request, says to environ; the caller's to keep."""
        ...

    def welcome(self, stream: Stream, turn: Turn) -> Parked:
        """The driver for a connection that was accepted here."""
        ...

    def tick(self, now: float) -> None:
        """To be called about once a second while there is work, and before a long sleep."""
        ...

    def drain(self) -> None:
        """From now on, connections end with their next response."""
        ...


class Call(NamedTuple):
    """A request that somebody is at."""

    conn: Parked
    thread: int  # the thread's identifier, as in sys._current_frames()
    greenlet: Any  # None where there is none, or where it is the one that its thread runs just now


class View(NamedTuple):
    """What a backend has in hand at one moment; every list is the reader's own."""

    calls: list[Call]
    queued: list[Parked]
    parked: list[Parked]
    limit: int  # calls at once
    idle: int  # threads or greenlets that wait for a call
    lag: float  # seconds by which what should come once a second came late, of late


class Backend(Protocol):
    """Who waits and who runs."""

    def start(self, make_doors: Callable[[], Sequence[Door]], *, here: bool) -> None:
        """Begins to serve; each call of `make_doors` makes a set of doors to the same listeners.

        `here`: the calling thread has nothing else to do than to wait by `wait_readable`.
        """
        ...

    def drain(self) -> None:
        """Accept no more and finish what is in flight.  The listeners may be closed then."""
        ...

    def dismiss(self, before: float) -> None:
        """Close the connections that have waited for a request since `before` (monotonic seconds).

        May return before that is done.
        """
        ...

    def wait_idle(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds for every connection to end; whether they have."""
        ...

    def wait_readable(self, fd: int, timeout: float | None) -> bool:
        """Waits up to `timeout` seconds (None: for ever) in the thread that called start(); whether it is.

        For descriptors that are no connection's.  On the hub's own thread the hub serves meanwhile.
        """
        ...

    def poke(self, act: Callable[[], object]) -> None:
        """Has `act` called once every leader or hub has come round once more, by the last of them."""
        ...

    def close(self) -> None:
        """End everything now: connections are cut, threads or greenlets are let go."""
        ...

    def counters(self) -> Counters: ...

    def set_limit(self, calls: int) -> None:
        """From now on so many application calls at once, at least 1; by any thread."""
        ...

    def gave_way(self) -> bool:
        """In a call: whether others may have used its thread since it began."""
        ...

    def look(self) -> View:
        """May be called by any thread at any time, and never waits: who reads does the work."""
        ...
