"""The driver: the life of one connection, from its first octet to its close.

    FRESH ─ HANDSHAKE ─┐
      │                │            ┌────────────── pipelined, or kept alive ─────────────┐
      └────────────────┴─> IDLE ─> HEAD ─> BODY ─> (run: the application) ─> FLUSH ─> DRAIN ─> IDLE
                            └──── a head in one read that is known ──┘           └─> LINGER ─> close

`advance` goes on without waiting, `run` calls the application and may wait; both say by a Verdict
what comes next.  In every state but the run the connection holds no thread and no greenlet.

One rule is owed to edge-triggered polling: WANT_READ is only returned when the last read found
the socket empty or came back short.  A read that filled its buffer leaves `_more` set, and the
verdict is AGAIN instead.

A connection is used by one thread at a time; who, is the backend's to say.  Only `interrupt` and
`describe` may be called from others.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..counters import Answer
from ..errors import ApplicationError, BadRequest, ClientGone, DeadlineExceeded, RequestTimeout
from ..http11.head import (
    HTTP_11,
    check_unfinished,
    find_head_end,
    skip_empty_lines,
)
from ..http11.response import Framing, ResponsePlan, Stamp, encode_interim
from ..seam import Stream, Turn, Verdict
from . import answers, overtime
from .answers import CLIENT_CLOSED
from .deadline import Deadline
from .entrance import Entrance
from .environ import HANDLES, Environ
from .exchange import Exchange
from .gone import GoneSignal
from .handover import SOCKET_KEYS, ClientSocket
from .heads import HEAD_SIZE, NO_REQUEST, Request
from .input import Input
from .outlet import JOINED_UP_TO, Outlet
from .phase import RATE_GRACE, Phase
from .requestbody import BODY_READ, READS_A_TURN, RequestBody
from .site import Site, logger

if TYPE_CHECKING:
    from .forwarding import Edge, Forwarding

WANT_READ, WANT_WRITE, AGAIN = Verdict.WANT_READ, Verdict.WANT_WRITE, Verdict.AGAIN
RUN, SEND, STREAM, CLOSE = Verdict.RUN, Verdict.SEND, Verdict.STREAM, Verdict.CLOSE

HEAD_READ: Final = HEAD_SIZE
SIP: Final = 479
"""Octets of a read by a client that repeats itself and takes fewer: up to here bytes come from Python's own
allocator, and beyond from the system's, which costs a small request a twentieth more."""
HEADS_KEPT: Final = 32
"""Request heads that one connection may add to the memory of its site."""

IN_FLIGHT: Final = 14_000
"""Octets that a system sends before it hears of the peer (RFC 6928), so that no reset keeps them back."""

AT_ONCE: Final = (0.0, 0.0)
"""The arrival of a request whose head, and body if it was collected, came in one read."""

Made = tuple[bytes, Answer, ResponsePlan]
"""A whole response, what is noted of it, and what it was made of.  Its exchange is gone by then: those of a
batch would not fit in the processor's cache."""

_IDLE = Phase.IDLE
_WAITING: Final = frozenset({Phase.FRESH, Phase.PREAMBLE, Phase.IDLE, Phase.LINGER})
LF: Final = 10
CR: Final = 13


class Connection:
    """One client's connection to one site.

    OPEN names the methods that a subclass may override, each where a decision stands that is not
    HTTP's but its server's: how the application is called, what ends a request and how that is told,
    how the connection ends.  The annexe's does; the rest is this file's own.
    """

    OPEN: ClassVar = frozenset(
        {"run", "may_keep_alive", "_note", "_fail", "_drain_body", "_close_gently", "_sends_on"}
    )

    __slots__ = (
        "_came",
        "_entrance",
        "_environ",
        "_exchange",
        "_forwarding",
        "_head_out",
        "_heads",
        "_input",
        "_kept",
        "_line_is_good",
        "_made",
        "_more",
        "_outlet",
        "_peer",
        "_prepared",
        "_read",
        "_resembling",
        "_resting",
        "_scanned",
        "_served",
        "_sip",
        "_usual",
        "_write",
        "arrival",
        "body",
        "buffer",
        "deadline",
        "fd",
        "is_sending",
        "is_tunnel",
        "on_close",
        "phase",
        "request",
        "since",
        "site",
        "stream",
        "turn",
        "waited",
    )

    def __init__(self, site: Site, stream: Stream, turn: Turn) -> None:
        self.site = site
        self.stream = stream
        self.fd = stream.fd
        self.phase = Phase.FRESH
        self.request: Request = NO_REQUEST
        self.since = turn.now
        self._read = stream.read
        self._write = stream.write
        self._heads = site.heads.plain
        self._resembling = site.heads.resembling
        self.deadline = deadline = Deadline(self)
        # A method kept in a dictionary of its own object is a cycle; close() breaks it.
        self._peer = peer = stream.peer_environ
        peer["wsgi.early_hints"] = self.early_hints
        peer["dualwsgi.send_interim"] = self.send_interim
        peer["dualwsgi.deadline"] = deadline
        peer["dualwsgi.client_gone"] = GoneSignal(self)
        # What to say when a response is out and nothing more was read; None: the stream knows.
        self._resting: Verdict | None = None if stream.lookahead else WANT_READ
        self._usual: Request = NO_REQUEST  # the last one that is known
        self._prepared: Environ | None = None  # what is copied for it, once it has come again
        self._sip = HEAD_READ  # octets that the next one's read asks for
        self._environ: Environ | None = None
        self.buffer: bytes | bytearray = b""  # what came in and is not parsed; of a body, what follows it
        self._scanned = 0  # how much of it is known to hold no end of a head
        self._line_is_good = False  # in those is a request line
        self._more = False  # the last read filled its buffer
        self.body: RequestBody | None = None  # while octets of it may come
        self._input: Input | None = None
        self._made: Made | None = None  # from run() to send()
        self._exchange: Exchange | None = None  # whose end waits for the client
        self._came = 0.0  # when its head was whole (in BODY), when it was (in FLUSH): `since` is the progress
        self.arrival = AT_ONCE  # seconds that the head and the small body of the present request took
        self.turn = turn  # the present one, or the last
        self._outlet: Outlet | None = None
        self.is_sending = False  # its call waits for the client to read
        self.waited = 0.0  # seconds in which its calls have done so, all of them together
        self.on_close: Callable[[], None] | None = None  # called once, after the connection has ended
        self._head_out = False  # the head of the final response has been made
        self.is_tunnel = False  # what the client sends is no HTTP
        self._served = 0
        self._kept = 0  # heads given to the memory of the site
        self._forwarding: Forwarding | None = None  # what fields say depends on who sends them
        self._entrance: Entrance | None = None  # until HTTP begins, if anything comes before it
        if stream.lookahead or site.edge is not None:
            self._enter(site.edge)

    @property
    def outlet(self) -> Outlet:
        """What responses go out by that take more than a write; made when there is one."""
        outlet = self._outlet
        if outlet is None:
            outlet = self._outlet = Outlet(self)
        return outlet

    # Reading a request

    def advance(self, turn: Turn) -> Verdict:
        """Goes on as far as it can without waiting."""
        if self.phase is not _IDLE:
            return self._resume(turn)
        read = self._read  # a local: CPython 3.11 takes twice as long to call what is in a slot
        try:
            data = read(self._sip)
        except BlockingIOError:
            self._more = False
            return WANT_READ
        except OSError:
            return CLOSE
        # Clients repeat their heads octet for octet.  The shortest way: it is the last one again, alone
        # or with its body.  A look-up in the memory and nine keys laid over a copy are a tenth of all that
        # a small request costs here.
        usual = self._usual
        if data == usual.alone:
            environ = self._prepared or self._prepare(usual, len(data))  # run() copies it
        elif len(data) == usual.whole and data.startswith(usual.head):
            environ = (self._prepared or self._prepare(usual, len(data))).copy()
            self._input = environ["wsgi.input"] = Input(bytes, data[len(usual.head) :])
        else:
            return self._recognize(data, turn)
        self.request = usual
        self.since = turn.now
        self._environ = environ
        return RUN

    def _recognize(self, data: bytes, turn: Turn) -> Verdict:
        """The second shortest way: it is another head that is known, or like one but for some values."""
        if len(data) == SIP:
            data = self._gulp(data)
        if not data or data[-1] != LF:  # what comes with a body is long, and no head alone
            return self._take(data, turn)
        request = self._heads.known.get(data)
        if request is not None:
            self._environ = request.environ | self._peer
            self._get_used_to(request)
        else:
            found = self._resembling(data)
            if found is None:
                return self._take(data, turn)
            request, values = found
            if request is not self._usual:
                self._get_used_to(request)
            self._environ = (self._prepared or self._prepare(request, len(data))) | values
        self.request = request
        self.since = turn.now
        return RUN

    def _get_used_to(self, request: Request) -> None:
        """The next one may be this again."""
        self._usual, self._prepared, self._sip = request, None, HEAD_READ

    def _prepare(self, request: Request, size: int) -> Environ:
        """What each environ of requests like this one is a copy of, for this connection alone: whatever a
        connection says of itself is never kept with the head.  It is here again, with `size` octets."""
        prepared = self._prepared = request.environ | self._peer
        if size < SIP:
            self._sip = SIP
        return prepared

    def _gulp(self, data: bytes) -> bytes:
        """`data` and what there is after it, as if one read had brought both."""
        self._sip = HEAD_READ
        try:
            return data + self._read(HEAD_READ - SIP)
        except OSError:  # nothing, or the end, which makes an event of its own
            return data

    def _resume(self, turn: Turn) -> Verdict:
        """advance() in every phase but IDLE."""
        phase = self.phase
        if phase is Phase.HEAD:
            return self._read_head(turn)
        if phase is Phase.FRESH:
            return self._begin_life(turn)
        if phase is Phase.BODY:
            return self._collect_body(turn)
        if phase is Phase.FLUSH:
            return self._flush(turn)
        if phase is Phase.DRAIN:
            return self._drain_body(turn)
        if self._entrance is not None and (phase is Phase.HANDSHAKE or phase is Phase.PREAMBLE):
            return self._entrance.advance(turn)
        if phase is Phase.LINGER:
            return self._linger()
        if phase is Phase.UNWELCOME and not self.stream.lookahead:  # a handshake is not worth it
            turn.counters.refused += 1
            return answers.turn_away(self, turn, "too many connections from this address", logged=False)
        return CLOSE

    def _begin_life(self, turn: Turn) -> Verdict:
        try:
            data = self._read(HEAD_READ)
        except BlockingIOError:
            return WANT_READ
        except OSError:
            return CLOSE
        self.phase = _IDLE
        return self._recognize(data, turn)

    def _enter(self, edge: Edge | None) -> None:
        """Finds out what comes before HTTP."""
        lookahead = self.stream.lookahead
        expects_header = False
        if edge is not None:  # the site hears proxies
            if edge.forwarders is not None:
                self._heads = edge.no_heads
                self._resembling = edge.no_resemblance
            expects_header = edge.expects_header(self._peer)
            if not expects_header:
                self._forwarding = edge.forwarding(self._peer)
        if expects_header or lookahead:
            self._entrance = Entrance(self)
            self.phase = Phase.PREAMBLE if expects_header else Phase.HANDSHAKE

    def speak_for(self, environ: Environ) -> None:
        """A proxy has said whose connection it is."""
        edge = self.site.edge
        assert edge is not None
        self._peer.update(environ)
        self._forwarding = edge.forwarding(self._peer)

    def let_in(self, turn: Turn, data: bytes = b"", *, more: bool = False) -> Verdict:
        """HTTP begins, with `data` that was read before it; `more` may be there to read."""
        stream = self.stream
        self._read, self._write = stream.read, stream.write
        self._peer.update(stream.peer_environ)
        self._entrance = None
        self._more = more
        self.phase = Phase.FRESH
        self.since = turn.now
        return self._take(data, turn) if data else AGAIN

    def _take(self, data: bytes, turn: Turn) -> Verdict:
        """Octets of a new request, whose head is not one that is known."""
        end, size = find_head_end(data, 0), len(data)
        if end > 0 and size < HEAD_READ and data[0] != CR:
            # The short way: one read brought the whole head, and perhaps its body.
            if end != size:
                data, self.buffer = data[:end], data[end:]
            return self._begin_request(data, turn)
        if not data:
            return CLOSE
        self._more |= size == HEAD_READ
        self.buffer = data
        self._scanned = 0
        self.phase = Phase.HEAD
        self.since = turn.now
        return self._parse_head(turn)

    def _read_head(self, turn: Turn) -> Verdict:
        if len(self.buffer) > self._scanned:
            # A pipelined request, all or part of which came with the one before.
            return self._parse_head(turn)
        try:
            data = self._read(HEAD_READ)
        except BlockingIOError:
            self._more = False
            return WANT_READ
        except OSError:
            return CLOSE
        if not data and not self.buffer.strip(b"\r\n"):
            return CLOSE
        if not data:
            turn.counters.errors += 1
            return answers.reject(self, turn, BadRequest(400, "the request head was cut short"), self.buffer)
        self._more = len(data) == HEAD_READ
        if not isinstance(self.buffer, bytearray):
            self.buffer = bytearray(self.buffer)  # grows without being copied for every octet
        self.buffer += data
        return self._parse_head(turn)

    def _parse_head(self, turn: Turn) -> Verdict:
        """Parses the head at the front of the buffer, if it is whole."""
        try:
            if self.buffer[:1] == b"\r" and not self._pass_over_empty_lines():
                return AGAIN
            end = find_head_end(self.buffer, self._scanned)
            if end < 0:
                known = self._line_is_good and self._scanned > 0
                self._line_is_good = check_unfinished(self.buffer, self._scanned, self.site.limits, known)
                self._scanned = len(self.buffer)
                return AGAIN  # an end that came with the last octets was told with them, and never again
            if end == len(self.buffer):
                head, self.buffer = bytes(self.buffer), b""
            else:
                head, self.buffer = bytes(self.buffer[:end]), bytes(self.buffer[end:])
            self._scanned = 0
        except BadRequest as error:
            turn.counters.errors += 1
            return answers.reject(self, turn, error, self.buffer)
        # Not below 0.0: its batch may be older than the response before it.
        self.arrival = (max(0.0, turn.now - self.since), 0.0)
        return self._begin_request(head, turn)

    def _begin_request(self, head: bytes, turn: Turn) -> Verdict:
        """A whole head is here, and what came after it is in the buffer."""
        turn.counters.heads_read += 1
        try:
            request, environ, kept = self.site.heads.request(head, self._kept < HEADS_KEPT)
        except BadRequest as error:
            turn.counters.errors += 1
            self.phase = Phase.HEAD
            return answers.reject(self, turn, error, head)
        self._kept += kept
        self.request = request
        health = self.site.health
        if health is not None and (check := health.find(request)) is not None:
            return answers.tell_health(self, turn, health, check)
        environ.update(self._peer)
        if self._forwarding is not None:
            self._forwarding.apply(environ, self._peer)
        elif request.whole >= 0:
            self._get_used_to(request)
        self._environ = environ
        self.since = turn.now
        if not request.has_body:
            self.phase = Phase.RUNNING
            return self._ready(turn) if request.may_tunnel else RUN
        size = request.small_body
        if size and len(self.buffer) >= size:
            # The short way: a small body has come with its head, which needs no decoder.
            content, self.buffer = bytes(self.buffer[:size]), self.buffer[size:]
            self._input = environ["wsgi.input"] = Input(bytes, content)
            self.phase = Phase.RUNNING
            return RUN
        self.body = RequestBody(self, request.fields)
        self._came = turn.now
        return self._collect_body(turn)

    def _pass_over_empty_lines(self) -> bool:
        """Drops empty lines once a request line follows them; whether one does.

        Until then they stay in the buffer, where their number is bounded however they come.
        """
        rest = bytes(self.buffer[skip_empty_lines(self.buffer, 0) :])
        if rest in (b"", b"\r"):
            self._scanned = len(self.buffer)
            return False
        self.buffer = rest
        self._scanned = 0
        return True

    def read_more(self) -> bool:
        """Reads into the buffer, which must be empty; False at the end.  Raises what the stream does."""
        self.buffer = data = self._read(BODY_READ)
        self._more = len(data) == BODY_READ
        return len(data) > 0

    # Collecting a body

    def _collect_body(self, turn: Turn) -> Verdict:
        """Reads a body before the application is called, so that no call waits for it."""
        body = self.body
        assert body is not None
        if not body.is_collected:
            return self._ready(turn, body)
        self.phase = Phase.BODY
        try:
            return self._ready(turn, body) if body.collect(turn) else AGAIN
        except BlockingIOError:
            self._more = False
            return WANT_READ
        except BadRequest as error:
            turn.counters.errors += 1
            return answers.reject(self, turn, error)
        except OSError:
            return self._lost(None)

    def _ready(self, turn: Turn, body: RequestBody | None = None) -> Verdict:
        """The application can be called."""
        if self.phase is Phase.BODY:
            self.arrival = (self.arrival[0], turn.now - self._came)
        self.phase = Phase.RUNNING
        self.since = turn.now
        may_tunnel = self.request.may_tunnel
        if body is None:
            if not may_tunnel:
                return RUN
            body = RequestBody(self, self.request.fields)
        environ = self._environ
        assert environ is not None
        if body.spill is not None and self.request.fields.chunked:
            # RFC 9112 section 7.1.3: decoded, it is a body of known length, and no transfer coding is left.
            environ["CONTENT_LENGTH"] = str(body.spill.size)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        self._input = environ["wsgi.input"] = Input(body.read)
        if may_tunnel:
            self._offer_socket(environ)
        return RUN if self.body is None and not may_tunnel else STREAM

    # Calling the application

    def run(self, turn: Turn) -> Verdict:
        """Calls the application and sends its response; may wait for the client.

        SEND: the whole response is made, and waits for send().
        """
        self.turn = turn
        environ = self._environ
        if environ is None:
            return self._flush_file()
        if environ is self._prepared:
            # Only now: copies for a batch of requests, made while they are read, would not fit in the
            # processor's cache, nor in what the allocator has at hand.
            environ = environ.copy()
        self._environ = None
        site, request = self.site, self.request
        exchange = Exchange(self)
        app = site.app
        try:
            result = app(environ, exchange.start_response)
            # The short way, for the commonest response there is: one piece of content whose head
            # was sent before.  Exchange.respond is the long way and sends the same octets.
            if (
                type(result) is not list
                or len(result) != 1
                or type(content := result[0]) is not bytes
                or (plan := exchange.plan) is None
                or exchange.head_sent
                or self.body is not None
            ):
                return self._respond(exchange, result)
            size = len(content)
            date, made_for, head, answer = plan.stamped_last if request.is_last else plan.stamped
            if date is not site.stamp or made_for != size or not request.is_plain:
                stamp = self._stamp(plan, size)
                if stamp is None:
                    return self._respond(exchange, result)
                _, _, head, answer = stamp
            exchange.ended = True
            self._made = head + content, answer, plan
        except BaseException as error:
            return self._fail(exchange, error)
        if size <= site.held_up_to:
            return SEND
        began, turn.now = turn.now, monotonic()
        verdict = self.send(turn)
        turn.now = began  # the others of the batch have waited since then
        return verdict

    def send(self, turn: Turn) -> Verdict:
        """After SEND: puts the response on the wire.  It counts as ended at `turn.now`."""
        self.turn = turn
        octets, answer, plan = self._made  # type: ignore[misc]  # SEND says that it is there
        self._made = None
        write = self._write
        try:
            sent = write(octets)
        except BlockingIOError:
            sent = 0
        except OSError:
            return self._lost(Exchange(self))
        if sent != len(octets):
            return self._leave_rest(octets, sent, answer, plan)
        site, request = self.site, self.request
        counters, now = turn.counters, turn.now
        done = counters.done
        done += (request.line, self._peer, answer, self.since, now)
        if now >= counters.due:
            counters.look(now)
        if site.log is not None:
            site.log(request, self._peer, plan.status, answer[1], now - self.since)
        self.since = now
        if request.is_last:
            return self._close_gently(answered=self._may_send_on(sent))
        if self.phase is not _IDLE:
            return self._next_request()
        if self._input is not None:
            self._input.close()
            self._input = None
        return self._resting or self.stream.rest

    def _leave_rest(self, octets: bytes, sent: int, answer: Answer, plan: ResponsePlan) -> Verdict:
        """The client's end of send(): it takes no more than `sent` octets just now."""
        exchange = Exchange(self)  # another one, as hardly any response needs it for so long
        exchange.plan = plan
        exchange.ended = True
        exchange.keep_alive = not self.request.is_last
        exchange.content_sent = answer[1]
        self.outlet.rest = memoryview(octets)[sent:]
        turn = self.turn
        turn.counters.bytes_sent += sent
        verdict = self._settle(exchange)
        self.since = turn.now
        return verdict

    def stamped(self, plan: ResponsePlan, length: int | None) -> Stamp | None:
        """What makes the head of a plain response of this plan, and so much content as far as that is known;
        None if that takes more thought."""
        request = self.request
        if self.body is not None or not request.is_plain:
            return None
        size = plan.length if length is None else length
        if size is None and request.line.version is not HTTP_11:
            return None  # what is remembered was made for others, who know chunks
        stamp = plan.stamped_last if request.is_last else plan.stamped
        return stamp if stamp[0] is self.site.stamp and stamp[1] == size else self._stamp(plan, size)

    def _stamp(self, plan: ResponsePlan, size: int | None) -> Stamp | None:
        """Makes what stamped() finds again."""
        date, request = self.site.stamp, self.request
        if plan.never_has_content or plan.has_date or plan.length not in (None, size):
            return None
        if date is None or not request.is_plain:
            return None
        if size is not None:
            if size > JOINED_UP_TO:  # run() joins what is stamped
                return None
            framing = b"Content-Length: %d\r\n" % size
        else:
            framing = b"Transfer-Encoding: chunked\r\n"
        close = b"Connection: close\r\n" if request.is_last else b""
        head = b"%b%b%b%b\r\n" % (plan.head, framing, close, date)
        stamp = date, size, head, (plan.code, size or 0, len(head) + (size or 0))
        if request.is_last:
            plan.stamped_last = stamp
        else:
            plan.stamped = stamp
        return stamp

    def _respond(self, exchange: Exchange, result: Any) -> Verdict:
        """The long way: whatever PEP 3333 allows an application to return."""
        if self.is_tunnel and not exchange.head_sent:
            exchange.drop(result)
            return self._end_handover()
        try:
            exchange.respond(result)
        except BaseException as error:
            return self._fail(exchange, error)
        if self.outlet.file is None:
            exchange.close_result()
        return self._settle(exchange)

    # For the exchange

    def may_keep_alive(self) -> bool:
        """Whether this connection can carry another request after the present one."""
        site = self.site
        config = site.config
        if not self.request.fields.keep_alive or site.draining or config.keep_alive <= 0:
            return False
        if config.max_keepalive_requests and self._served + 1 >= config.max_keepalive_requests:
            return False
        return self.body is None or self.body.is_worth_draining

    def head_is_out(self, *, tunnel: bool) -> None:
        """The head of the final response has been made: interim ones are over.

        `tunnel`: after it, what the client sends is no HTTP.
        """
        self._head_out = True
        if tunnel:
            self.deadline.set(None)
        if self.body is not None:
            self.body.continue_owed = False
        self.is_tunnel = tunnel

    def _offer_socket(self, environ: Environ) -> None:
        """The application may answer an upgrade by itself."""
        request = self.request
        assert self._input is not None
        if request.fields.upgrade is not None and not request.has_body and self.stream.has_socket:
            sock = ClientSocket(self, self._input)
            environ.update(dict.fromkeys(SOCKET_KEYS, sock))

    def is_about(self, body: Input) -> bool:
        """Whether the present request is the one that has this body."""
        return self._input is body

    def handed_over(self) -> None:
        """The application has the client's socket, and whatever is said to the client.  Raises OSError."""
        if self._head_out:
            raise OSError(errno.EBUSY, "the response has begun")
        self.deadline.begin()
        self.head_is_out(tunnel=True)

    def early_hints(self, headers: list[tuple[str, str]]) -> None:
        """environ["wsgi.early_hints"]: sends 103 with these fields (RFC 8297)."""
        self.send_interim("103 Early Hints", headers)

    def send_interim(self, status: str, headers: list[tuple[str, str]]) -> None:
        """environ["dualwsgi.send_interim"]: sends an interim response (RFC 9110 section 15.2).

        `status` is "102 Processing" and the like, not 100 and not 101.  Does nothing for an HTTP/1.0
        client or once the response has begun.  Raises ApplicationError.
        """
        octets = encode_interim(status, headers)
        if self.request.line.version >= HTTP_11 and not self._head_out:
            self.outlet.send(octets)

    # The end of a response

    def _settle(self, exchange: Exchange) -> Verdict:
        """The response is made; whether its tail waits or it is complete."""
        if not self.deadline.finish():
            return overtime.leave(self, exchange)
        outlet = self.outlet
        if outlet.is_empty:
            return self._complete(exchange)
        self.phase = Phase.FLUSH
        self._came = self.since
        self._exchange = exchange
        if outlet.file is not None:
            return STREAM
        outlet.look()
        return WANT_WRITE

    def _flush(self, turn: Turn) -> Verdict:
        """Sends on the tail of a response to a client that reads slowly."""
        outlet = self.outlet
        if outlet.file is not None:
            return STREAM
        self.turn = turn
        before = len(outlet.rest or b"")
        try:
            outlet.flush()
        except BlockingIOError:
            self._went_on(turn.now, before - len(outlet.rest or b""))
            return WANT_WRITE
        except OSError:
            return self._lost(self._exchange) if self._exchange is not None else CLOSE
        self.since = turn.now
        return self._complete(self._exchange)

    def _flush_file(self) -> Verdict:
        """Sends on a file: in run(), since reading it may wait for a disk."""
        outlet, exchange = self.outlet, self._exchange
        assert outlet.file is not None
        assert exchange is not None
        before = outlet.file.count
        try:
            outlet.flush_file()
        except BlockingIOError:
            self._went_on(self.turn.now, before - outlet.file.count)
            return WANT_WRITE
        except (ClientGone, ApplicationError, DeadlineExceeded, OSError) as error:
            return self._fail(exchange, error)
        exchange.close_result()
        return self._complete(exchange)

    def _went_on(self, now: float, octets: int) -> None:
        """The client has taken so much of the tail, and takes no more just now."""
        self.since = min(now, self.since + octets * self.site.response_pace)
        self.outlet.look()

    def _complete(self, exchange: Exchange | None) -> Verdict:
        """The whole response is out."""
        self._exchange = None
        if exchange is None:  # an answer of the server's own
            return self._close_gently(answered=True)
        plan = exchange.plan
        assert plan is not None
        self._note(self.request, plan.status, exchange.content_sent)
        # A body that broke after the head was out: nobody can tell where the next request starts.
        body = self.body
        if not exchange.keep_alive or (body is not None and body.error is not None):
            return self._close_gently(answered=self._may_send_on(exchange.content_sent))
        if body is not None:
            self.phase = Phase.DRAIN
            return self._drain_body(self.turn)
        return self._next_request()

    def _end_handover(self) -> Verdict:
        """The application is done with the client's socket.  What it returned or raised says nothing."""
        self.stream.take_back()
        self._note(self.request, "101 Switching Protocols", 0)
        return self._close_gently()

    def _note(self, request: Request | None, status: str, size: int) -> None:
        """A request has ended, `request` None if it was none; as the short way in run() does."""
        now, came = monotonic(), self.came
        counters = self.turn.counters
        line = request.line if request is not None else None
        counters.done += (line, self._peer, (int(status[:3]), size, 0), came, now)
        if now >= counters.due:
            counters.look(now)
        log = self.site.log
        if log is not None:
            log(request, self._peer, status, size, now - came)

    def _next_request(self) -> Verdict:
        if self._input is not None:
            self._input.close()
            self._input = None
        self._head_out = False
        self._served += 1
        self.request = NO_REQUEST
        self.arrival = AT_ONCE
        if self.buffer:
            self._scanned = 0
            self.phase = Phase.HEAD
            return AGAIN
        self.phase = _IDLE
        return AGAIN if self._more else self._resting or self.stream.rest

    def _drain_body(self, turn: Turn) -> Verdict:
        """Reads what the application left of the body, within a bound, for the next request's sake."""
        body = self.body
        assert body is not None
        self.turn = turn
        try:
            if not body.drain(turn):
                return AGAIN
            return self._next_request() if self.body is None else self._close_gently()
        except BlockingIOError:
            self._more = False
            return WANT_READ
        except BadRequest as error:
            logger.info("%s: %s in the rest of the body; closed", self.describe(), error.reason)
            return self._close_gently()
        except OSError:
            return CLOSE

    def _fail(self, exchange: Exchange, error: BaseException) -> Verdict:
        """The application, the client or the clock ended the response early."""
        if not self.deadline.finish():
            return overtime.leave(self, exchange)
        self.outlet.clear()
        exchange.ended = True
        exchange.close_result()
        if self.is_tunnel and not exchange.head_sent:
            # The two are how applications tell gunicorn and Werkzeug that nothing is to be said.
            if not isinstance(error, StopIteration | ConnectionError | ClientGone):
                logger.error("%s: the application failed", self.describe(), exc_info=error)
            return self._end_handover()
        if isinstance(error, RequestTimeout):
            return overtime.end_by_call(self, exchange, error)
        if isinstance(error, ClientGone):
            return self._lost(exchange)
        if isinstance(error, DeadlineExceeded):
            self.turn.counters.expired += 1
            logger.info("%s: the client stopped reading the response; closed", self.describe())
            self._note(self.request, CLIENT_CLOSED, exchange.content_sent if exchange.head_sent else 0)
            self.stream.break_off()
            return CLOSE
        broken = self.body.error if self.body is not None else None
        if broken is not None and _came_of(error, broken):
            logger.info("%s: %s", self.describe(), broken.reason)
            if not exchange.head_sent:
                return answers.reject(self, self.turn, broken)
        else:
            logger.error("%s: the application failed", self.describe(), exc_info=error)
            if not exchange.head_sent:
                return answers.apologize(self, error)
        # Part of a response is out: it must not look whole.
        plan = exchange.plan
        assert plan is not None
        self._note(self.request, plan.status, exchange.content_sent)
        if exchange.framing in (Framing.CLOSE, Framing.RAW):
            self.stream.break_off()
        return CLOSE

    def _lost(self, exchange: Exchange | None) -> Verdict:
        """The client is gone; what was made for it is dropped."""
        if exchange is not None and not self.deadline.finish():
            return overtime.leave(self, exchange)
        self.outlet.clear()
        self.turn.counters.gone += 1
        sent = 0
        if exchange is not None:
            exchange.close_result()
            sent = exchange.content_sent if exchange.head_sent else 0
        self._note(self.request, CLIENT_CLOSED, sent)
        return CLOSE

    def _cut_off(self, turn: Turn) -> Verdict:
        """Nobody waits any longer for the client to take the rest of what it is sent."""
        self.turn = turn
        self.stream.break_off()
        exchange = self._exchange
        if exchange is None:  # an answer of the server's own
            return CLOSE
        if turn.aside is not None:
            exchange.close_aside(turn.aside)
        return self._lost(exchange)

    # The deadline of a request

    def write_in_time(self) -> None:
        """From now on nobody writes a response who has not asked whether it is too late."""
        self._write = self._write_in_time

    def write_any_time(self) -> None:
        """Takes that back."""
        self._write = self.stream.write

    def _write_in_time(self, octets: bytes | memoryview) -> int:
        if not self.deadline.finish():
            raise BrokenPipeError("the deadline of the request has passed")
        return self.stream.write(octets)

    def is_late(self, now: float) -> bool:
        """Whether the call has outlived its deadline."""
        return self.deadline.is_over(now)

    def time_out(self, turn: Turn, frame: FrameType | None) -> bool:
        """Answers 504 in place of a call that is late, or cuts its response; see overtime.time_out."""
        return overtime.time_out(self, turn, frame)

    # Answers of the server's own

    def refuse(self, turn: Turn, reason: str) -> Verdict:
        """Answers 503 instead of calling the application."""
        turn.counters.refused += 1
        self.site.refused_at = turn.now
        if self.has_begun:  # what waited was the rest of a file: there is nothing to answer
            return self._cut_off(turn)
        self._environ = None
        return answers.turn_away(self, turn, reason, logged=True)

    @property
    def has_begun(self) -> bool:
        """Whether a response is under way."""
        return self._exchange is not None

    def forgo(self, turn: Turn) -> Verdict | None:
        """Instead of run(), after a wait for it, if the connection was reset meanwhile; else None."""
        if not self.stream.is_broken():
            return None
        self.turn = turn
        self._environ = None
        return self._lost(self._exchange)

    # The end of the connection

    def _close_gently(self, *, answered: bool = False) -> Verdict:
        """Closes so that the client gets all that was sent (RFC 9112 section 9.6).

        A close with unread octets in the socket makes a reset, which can overtake the response, and so do
        octets that come in later while some of it is unsent.  So unless the client has said to send no more,
        and sticks to it, only the sending side is closed here, and the rest is read and dropped until the
        client has closed too.

        `answered`: nothing is known of what it sends, or much of the response is on its way.
        """
        if (
            not answered
            and not self.buffer
            and self.body is None
            and not self._more
            and not self.request.fields.keep_alive
            and not self.is_tunnel
            and not self._sends_on()
        ):
            return CLOSE
        if self._input is not None:
            self._input.close()
            self._input = None
        self.body = None
        self.buffer = b""
        self.stream.shutdown_write()
        self.phase = Phase.LINGER
        self.since = self.turn.now
        return self._linger()

    def _may_send_on(self, octets: int) -> bool:
        """Whether a client who was to send no more, but might, could so cut a response of so many octets.

        Who is not apt to is not waited for.
        """
        return octets > IN_FLIGHT and self._is_apt_to_send_on

    @property
    def _is_apt_to_send_on(self) -> bool:
        """Some put CR LF behind a body, others end TLS with their request."""
        return self.request.has_body or self.stream.lookahead

    def _sends_on(self) -> bool:
        """Whether such a client has sent more.  Asking others would be a tenth of what a connection costs."""
        if not self._is_apt_to_send_on:
            return False
        try:
            return len(self._read(SIP)) > 0  # the end of TLS is read by that, and makes no reset any more
        except OSError:
            return False

    def _linger(self) -> Verdict:
        read = self.stream.read  # of TLS nothing more is of interest than its end
        try:
            for _ in range(READS_A_TURN):
                if not read(BODY_READ):
                    return CLOSE
        except BlockingIOError:
            return WANT_READ
        except OSError:
            return CLOSE
        return AGAIN

    def overdue(self, now: float) -> bool:
        """Whether what the connection waits for is late."""
        seconds = now - self.since
        if seconds > self.site.patience[self.phase]:
            return True
        return (
            self.phase is Phase.HEAD
            and seconds > RATE_GRACE
            and len(self.buffer) < seconds * self.site.header_rate
        )

    def expire(self, turn: Turn) -> Verdict:
        """The deadline of the present phase has passed."""
        phase = self.phase
        if phase is _IDLE or phase is Phase.FRESH:
            # A request may have come while the server had no time to look.
            verdict = self.dismiss(turn, turn.now)
            turn.counters.expired += verdict is CLOSE
            return verdict
        if phase is not Phase.FLUSH:
            turn.counters.expired += 1
        if phase is Phase.HEAD and self.buffer.strip(b"\r\n"):
            return answers.reject(self, turn, BadRequest(408, "the request head took too long"), self.buffer)
        if phase is Phase.BODY:
            return answers.reject(self, turn, BadRequest(408, "the request body stalled"))
        if phase is Phase.FLUSH:
            self.turn = turn
            self._went_on(turn.now, self.outlet.taken())
            if not self.overdue(turn.now):
                return WANT_WRITE
            turn.counters.expired += 1
            logger.info("%s: the client stopped reading the response; closed", self.describe())
            return self._cut_off(turn)
        return CLOSE

    def dismiss(self, turn: Turn, before: float) -> Verdict:
        """A server that is stopping gives this connection up, unless a request has come in meanwhile.

        Closing a socket with a request unread in it would reset it, so it is read once more.
        """
        if not self._is_waiting or self.since > before:
            return WANT_READ
        verdict = self.advance(turn)
        return CLOSE if verdict is WANT_READ and self._is_waiting else verdict

    @property
    def _is_waiting(self) -> bool:
        """Whether nothing of a request, or of the handshake before it, is in.

        Stray line ends are nothing of it.  A handshake that has begun has its own deadline, as a head has: to
        end it for its silence would be to end it just when a busy server has come to answer it.
        """
        if self.phase is Phase.HANDSHAKE:
            return not self.stream.is_greeted
        return self.phase in _WAITING or (self.phase is Phase.HEAD and not self.buffer.strip(b"\r\n"))

    @property
    def awaits_octets(self) -> bool:
        """Whether it waits to read and for nothing else, as far as that is simple to say."""
        return self.phase is _IDLE or self.phase is Phase.FRESH

    def hung_up(self) -> None:
        """The client has ended its side, and edge-triggered polling has said so for the last time.

        So no response may be followed by a wait: the end has to be read.
        """
        self._resting = AGAIN

    def interrupt(self) -> None:
        """Ends whatever the connection waits for, from another thread; close() is still its owner's."""
        self.stream.interrupt()

    def turn_away(self) -> None:
        """The connection is one too many, which is all that it will be told.  Before its first advance()."""
        self.phase = Phase.UNWELCOME

    def close(self) -> None:
        """Releases everything.  May be called twice."""
        self.phase = Phase.CLOSED
        if self._exchange is not None:
            self._exchange.close_result()
        if self._input is not None:
            self._input.close()
        peer = self._peer
        for key in HANDLES:  # figures that are not folded yet keep the rest, and must not keep all of this
            peer.pop(key, None)
        self._environ = self._prepared = self._made = self._exchange = self._input = None
        self._outlet = self.body = None
        self.deadline.drop()
        self._read = self._write = _closed
        if self.is_tunnel:
            self.stream.interrupt()  # an application that was given the socket may still hold it
        self.stream.close()
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()

    @property
    def came(self) -> float:
        """Since when the present request is whole, or its phase has lasted, in monotonic seconds."""
        return self._came if self.phase is Phase.FLUSH else self.since

    @property
    def peer(self) -> str:
        """The address of whoever is at the other end, as far as proxies are trusted to say."""
        return self._peer.get("REMOTE_ADDR") or "-"

    def describe(self) -> str:
        """Peer and request, for a log line; holds no control characters."""
        peer = self._peer.get("REMOTE_ADDR") or "-"
        line = self.request.line
        return str(peer) if self.request is NO_REQUEST else f"{peer} {line.method} {line.target}"


def _came_of(error: BaseException | None, cause: BaseException) -> bool:
    """Whether `error` is `cause`, or was raised because of it or while it was handled."""
    for _ in range(16):  # a chain of exceptions may bite its tail
        if error is cause or error is None:
            break
        error = error.__cause__ or error.__context__
    return error is cause


def _closed(_: Any) -> Any:
    raise OSError("the connection is closed")
