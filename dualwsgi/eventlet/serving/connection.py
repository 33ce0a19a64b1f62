"""The house's driver as the annexe uses it: one connection that keeps its thread or greenlet for its life.

The protocol object (protocol.py) reads each head, and hands over what it parsed to; from there on
this is the driver that native serving has, with eventlet's input and eventlet's responses.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ...errors import BadRequest, BodyError, ClientGone, DeadlineExceeded
from ...gateway.connection import Connection
from ...gateway.environ import Environ
from ...gateway.exchange import Exchange
from ...gateway.heads import Request
from ...gateway.phase import Phase
from ...seam import Turn, Verdict
from ...serve.observe.logformat import escaped
from .input import AnnexeBody, Input
from .response import AlreadyHandled, AnnexeExchange, capitalized, encode_header_line
from .stream import SocketStream

if TYPE_CHECKING:
    from .protocol import HttpProtocol

CLOSE: Final = Verdict.CLOSE
_STALLED: Final = 408


class AnnexeConnection(Connection):
    """One client's connection, as its `protocol` drives it.

    `status`, `environ`, `began` (monotonic seconds) and `was_handled` are those of the present or last
    request.
    """

    __slots__ = ("_answered", "_app", "_ends_gently", "began", "environ", "protocol", "status", "was_handled")

    stream: SocketStream
    protocol: HttpProtocol

    def __init__(self, protocol: HttpProtocol, stream: SocketStream) -> None:
        super().__init__(protocol.server.site, stream, Turn(monotonic()))
        self.protocol = protocol
        self.environ: Environ = {}
        self.status = ""
        self.was_handled = False
        self.began = 0.0
        self._ends_gently = self._answered = False

    # A request

    def serve(self, request: Request, environ: Environ, app: Callable[..., Any]) -> bool:
        """Has the application answer; returns whether another request may follow.

        Raises what is no Exception and no timeout out of the application.
        """
        turn = self.turn
        turn.now = self.since = self.began = monotonic()
        self.request = request
        self.environ = self._environ = environ
        self.status = ""
        self.was_handled = False
        self.stream.sent = 0
        self._app = app
        body = AnnexeBody(self, request.fields) if request.has_body else None
        self.body = body
        self._input = environ["wsgi.input"] = environ["eventlet.input"] = Input(self, body, request.fields)
        self.phase = Phase.RUNNING
        verdict = self.run(turn)
        while verdict is not CLOSE and not self._is_between and not self.stream.timed_out:
            turn.now = monotonic()
            verdict = self.advance(turn)
        return verdict is not CLOSE and self._is_between

    @property
    def _is_between(self) -> bool:
        """Whether one request is over, and another may come."""
        return self.phase is Phase.IDLE or self.phase is Phase.HEAD

    def take_buffer(self) -> bytes:
        """What was read beyond the end of the last request."""
        data, self.buffer = bytes(self.buffer), b""
        self.phase = Phase.IDLE
        return data

    def run(self, turn: Turn) -> Verdict:
        """Calls the application and sends its response; waits for the client as its socket does."""
        self.turn = turn
        exchange = AnnexeExchange(self)
        protocol = self.protocol
        protocol.server.local.already_handled = False
        try:
            result = self._app(self._environ, exchange.start_response)
            if self.has_answered or result is protocol.server.already_handled:
                raise AlreadyHandled
        except BaseException as error:
            return self._fail(exchange, error)
        return self._respond(exchange, result)

    # What the exchange asks

    @property
    def speaks_http_11(self) -> bool:
        return self.request.line.version >= (1, 1) and self.protocol.server.max_http_version != "HTTP/1.0"

    @property
    def has_answered(self) -> bool:
        """Whether the application says that it has answered by itself."""
        return bool(self.protocol.server.local.already_handled)

    @property
    def head_was_sent(self) -> bool:
        return self._head_out

    def may_keep_alive(self) -> bool:
        protocol = self.protocol
        if protocol.close_connection or not protocol.server.keepalive or protocol.is_to_close:
            return False
        if not self.request.fields.keep_alive or not (self.speaks_http_11 or self.asked_to_keep_alive):
            return False
        return self.body is None or self.body.is_worth_draining

    @property
    def asked_to_keep_alive(self) -> bool:
        """Whether the client has said just that, which is echoed to it."""
        for name, value, kind in self.request.lines:
            if kind == "connection" and name:
                return value.lower() == "keep-alive"
        return False

    @property
    def keep_alive_line(self) -> bytes:
        """How long an idle connection is kept, if that is bounded and a second or more."""
        seconds = self.protocol.server.keepalive
        if isinstance(seconds, bool) or seconds < 1:
            return b""
        return b"Keep-Alive: timeout=%d\r\n" % int(seconds)

    def date_line(self) -> bytes:
        return self.site.date_line(monotonic())

    def encode_interim(self, headers: Iterable[tuple[str, Any]], capitals: bool) -> bytes:
        pairs = headers.items() if isinstance(headers, dict) else headers
        return b"".join(
            encode_header_line((capitalized(name) if capitals else name, value)) for name, value in pairs
        )

    # The end of a request

    def _note(self, request: Request | None, status: str, size: int) -> None:
        # The line is written when everything is over, by the protocol.
        self.status = status.partition(" ")[0]

    def _drain_body(self, turn: Turn) -> Verdict:
        body = self.body
        assert body is not None
        try:
            while not body.drain(turn):
                pass
            return self._next_request() if self.body is None else self._close_gently()
        except BadRequest as error:
            self._say_discarding("chunked encoding error", error.reason)
        except OSError as error:
            self._say_discarding("I/O error", str(self.stream.failure or error))
        return CLOSE

    def _say_discarding(self, what: str, why: str) -> None:
        protocol = self.protocol
        protocol.server.log.error(
            '%s while discarding request body. client=%s request="%s" error="%s"',
            what,
            protocol.get_client_address()[0],
            escaped(protocol.requestline),
            escaped(why),
        )

    def _fail(self, exchange: Exchange, error: BaseException) -> Verdict:
        self.outlet.clear()
        exchange.ended = True
        exchange.close_result()
        protocol = self.protocol
        if isinstance(error, AlreadyHandled):
            protocol.server.local.already_handled = False
            self.was_handled = True
            self.status = "200"
            return CLOSE
        stalled = isinstance(error, BodyError) and error.status == _STALLED
        if stalled or isinstance(error, ClientGone | DeadlineExceeded):
            self.status = "499"
            return CLOSE
        if not isinstance(error, Exception) and not getattr(error, "is_timeout", False):
            raise error
        text = "".join(traceback.format_exception(error))
        protocol.server.log.info("%s", text)
        protocol.close_connection = True
        if exchange.head_sent:
            # Part of a response is out: it must not look whole.
            plan = exchange.plan
            self.status = plan.status.partition(" ")[0] if plan is not None else "500"
            return CLOSE
        if isinstance(error, BodyError):
            return self.refuse_request(BadRequest(error.status, error.reason))
        again = AnnexeExchange(self)
        content = text.encode("utf-8", "backslashreplace") if protocol.server.debug else b""
        again.start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return self._respond(again, [content])

    def refuse_request(self, error: BadRequest) -> Verdict:
        """Answers a request that breaks the protocol, and ends the connection."""
        self.protocol.close_connection = True
        self.status = str(error.status)
        try:
            self.outlet.send(self.protocol.refusal(error))
        except OSError:
            return CLOSE
        return self._close_gently(answered=True)

    def _close_gently(self, *, answered: bool = False) -> Verdict:
        # At the end of the connection: post hooks and the access line need not wait for it.
        self._ends_gently = True
        self._answered = self._answered or answered
        return CLOSE

    def _sends_on(self) -> bool:
        return False  # nobody knows without waiting, which reading does here

    def end(self) -> None:
        """The last of the connection: the client gets all that was sent, if it does not take too long."""
        if self._ends_gently and not self.stream.timed_out:
            body = self.body
            if isinstance(body, AnnexeBody) and body.was_asked and not body.was_told:
                # It waits for this answer before it sends; if it sends all the same, it is to notice.
                self.stream.linger_time = 0.0
            verdict = super()._close_gently(answered=self._answered)
            while verdict is Verdict.AGAIN:
                verdict = self._linger()
        self.close()
