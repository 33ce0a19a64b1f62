"""Every conversation of the table, over sockets on both backends, and cut anywhere without them.

The driver asks for octets and never waits for them itself, so it can be held to what it says with
no socket: `converse` is the smallest backend there is.  There each conversation is fed whole, octet
by octet and in pieces, and must come to the same answers, the same calls and the same end.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

import pytest
from serving import Served
from table import table
from wire import Client, ProtocolError, Response

from dualwsgi.config import Config
from dualwsgi.counters import FACTS
from dualwsgi.errors import DeadlineExceeded
from dualwsgi.gateway.connection import Connection
from dualwsgi.gateway.phase import Phase
from dualwsgi.gateway.site import Site
from dualwsgi.seam import Turn, Verdict

from .conversations import CLOSED, NEXT, OPEN, TALKS, WAITS, Talk

CONFIG = Config()

Call = tuple[str, str, str, bytes]


class Listening:
    """The application of the conversations; remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        body = b"" if path.startswith("/unread") else environ["wsgi.input"].read()
        self.calls.append((method, path, environ.get("HTTP_HOST", ""), body))
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [path.encode("latin-1"), b" ", body]


def check(answers: Sequence[Response], talk: Talk, calls: Sequence[Call]) -> None:
    """What holds for every conversation."""
    codes = [code for answer in answers for code in (*(one.status for one in answer.interim), answer.status)]
    assert tuple(codes) == talk.answers
    assert len(calls) == codes.count(200), "one call for each request that is answered"
    assert not [call for call in calls if "smuggled" in call[1]]
    for answer, call in zip(answers, calls, strict=False):
        if answer.framing != "none":
            assert answer.body == call[1].encode("latin-1") + b" " + call[3], "each gets its own answer"
    for number, answer in enumerate(answers):
        if answer.status >= 400:
            assert answer["Connection"] == "close"
            told = b"" if talk.head and not number else b"%d " % answer.status
            assert answer.body.startswith(told)
            assert b"smuggled" not in answer.body


# Over sockets


def test_over_a_socket(serve: Callable[..., Served]) -> None:
    app = Listening()
    served = serve(app)
    wrong = []
    for name, talk in TALKS.items():
        app.calls.clear()
        with Client(served.address) as client:
            try:
                client.send_if_taken(talk.octets)
                hold(client, talk, app.calls)
            except (AssertionError, OSError) as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)


def hold(client: Client, talk: Talk, calls: list[Call]) -> None:
    finals = sum(code >= 200 for code in talk.answers)
    methods = ["HEAD" if talk.head and not number else "GET" for number in range(finals)]
    answers = [client.response(method) for method in methods]
    check(answers, talk, calls)
    if talk.end == OPEN:
        assert client.send(NEXT).response().body == b"/next "
    elif talk.end == CLOSED:
        assert client.ended()
    else:
        assert client.silent(0.005)


# Without sockets


class Script:
    """A Stream that says what it is given and keeps what it is told."""

    lookahead = False
    has_socket = False
    rest = Verdict.WANT_READ
    fd = -1

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.peer_environ = {"REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "http"}
        self.unread = b""  # what is in and was not read
        self.sent = b""
        self.ended = False
        self._pieces = iter(pieces)

    def more(self) -> bool:
        """Brings in the next piece; False if there is none."""
        self.unread = next(self._pieces, b"")
        return bool(self.unread)

    def read(self, size: int) -> bytes:
        if not self.unread:
            raise BlockingIOError
        data, self.unread = self.unread[:size], self.unread[size:]
        return data

    def write(self, data: bytes | memoryview) -> int:
        assert not self.ended, "nothing is sent after the end"
        self.sent += data
        return len(data)

    def wait_readable(self, timeout: float) -> None:
        if not self.more():
            raise DeadlineExceeded

    def shutdown_write(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True


def run(conn: Connection, turn: Turn) -> Verdict:
    verdict = conn.run(turn)
    return conn.send(turn) if verdict is Verdict.SEND else verdict


def converse(app: Listening, pieces: Iterable[bytes], config: Config = CONFIG) -> tuple[bytes, str]:
    """All that is sent, and the end."""
    stream, turn = Script(pieces), Turn(monotonic())
    site = Site(app, config)
    conn = Connection(site, stream, turn)  # type: ignore[arg-type]  # it has what is used here
    while True:
        verdict = conn.advance(turn)
        while verdict is Verdict.RUN or verdict is Verdict.STREAM:
            verdict = run(conn, turn)
        if verdict is Verdict.CLOSE:
            break
        if verdict is Verdict.AGAIN:
            continue
        assert verdict is Verdict.WANT_READ
        assert not stream.unread, "no edge will tell of what is already there"
        if not stream.more():
            break
    end = CLOSED if stream.ended or verdict is Verdict.CLOSE else OPEN if conn.phase is Phase.IDLE else WAITS
    conn.close()
    return stream.sent, end


class Recorded(Client):
    """A Client that reads what was sent before."""

    def __init__(self, octets: bytes) -> None:
        self.patience = 1.0
        self.was_reset = False
        self._buffer = octets

    def _receive(self) -> bytes:
        return b""


def ways_to_cut(octets: bytes, chance: random.Random) -> dict[str, list[bytes]]:
    """The same octets in other pieces."""
    line_end = octets.find(b"\r\n") + 1
    cut = chance.randrange(1, len(octets))
    ways = {
        "whole": [octets],
        "in two": [octets[:cut], octets[cut:]],
        "within the first line end": [piece for piece in (octets[:line_end], octets[line_end:]) if piece],
        "after each CR": re.findall(rb"[^\r]*\r|[^\r]+", octets),
    }
    if len(octets) < 1000:
        ways["octet by octet"] = [octets[at : at + 1] for at in range(len(octets))]
    return ways


@table("name", TALKS)
def test_however_it_is_cut(name: str) -> None:
    talk = TALKS[name]
    first: list[Call] | None = None
    logging.getLogger("dualwsgi").disabled = True
    try:
        for how, pieces in ways_to_cut(talk.octets, random.Random(name)).items():
            app = Listening()
            sent, end = converse(app, pieces)
            assert end == talk.end, f"{how}: {sent!r}"
            recorded = Recorded(sent)
            answers = []
            while recorded._buffer:
                answers.append(recorded.response("HEAD" if talk.head and not answers else "GET"))
            check(answers, talk, app.calls)
            assert first is None or app.calls == first, f"{how}, the same octets make other calls"
            first = app.calls
    except ProtocolError as error:
        pytest.fail(f"{error}")
    finally:
        logging.getLogger("dualwsgi").disabled = False


@table("name", TALKS)
def test_a_body_that_is_buffered_is_read_as_any_other(name: str) -> None:
    octets = TALKS[name].octets
    logging.getLogger("dualwsgi").disabled = True
    try:
        for pieces in ([octets], re.findall(rb"[^\r]*\r|[^\r]+", octets)):
            plain, buffered = Listening(), Listening()
            converse(plain, pieces)
            converse(buffered, pieces, CONFIG.replace(request_buffering=True))
            if b"/unread" in octets:  # whose call is not made if the body breaks, or does not come
                assert buffered.calls == plain.calls[: len(buffered.calls)]
            else:
                assert buffered.calls == plain.calls
    finally:
        logging.getLogger("dualwsgi").disabled = False


@pytest.mark.parametrize("fresh", [True, False], ids=["first request", "second request"])
def test_a_request_that_came_while_nobody_looked_is_served_and_not_expired(fresh: bool) -> None:
    """No backend: it takes a loop that stood still beyond a deadline."""
    ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    stream, turn = Script([ask, ask]), Turn(monotonic())
    conn = Connection(Site(Listening(), CONFIG), stream, turn)  # type: ignore[arg-type]  # see converse()
    if not fresh:
        stream.more()
        assert conn.advance(turn) is Verdict.RUN
        assert run(conn, turn) is Verdict.WANT_READ
    turn.now += 1e6
    assert conn.overdue(turn.now)
    stream.more()
    assert conn.expire(turn) is Verdict.RUN
    assert run(conn, turn) is Verdict.WANT_READ
    turn.now += 1e6
    assert conn.expire(turn) is Verdict.CLOSE
    assert turn.counters.expired == 1
    conn.close()


def test_figures_that_are_not_folded_yet_keep_no_connection_that_is_closed() -> None:
    """With it they would keep the head of its last request."""
    stream, turn = Script([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), Turn(monotonic())
    conn = Connection(Site(Listening(), CONFIG), stream, turn)  # type: ignore[arg-type]  # see converse()
    stream.more()
    assert conn.advance(turn) is Verdict.RUN
    assert run(conn, turn) is Verdict.WANT_READ
    conn.close()
    (peer,) = turn.counters.done[1::FACTS]
    assert set(peer) == {"REMOTE_ADDR", "wsgi.url_scheme"}


class Sticky(Script):
    """A client that takes half of what it is sent, and then waits."""

    def write(self, data: bytes | memoryview) -> int:
        return super().write(data[: len(data) // 2])

    def unsent(self) -> int:
        return 0


def test_a_client_that_reads_slowly_has_its_time_from_when_it_was_written_to() -> None:
    """Not from when its request came: the call may have taken longer than that."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"whole"]

    stream, turn = Sticky([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), Turn(monotonic())
    conn = Connection(Site(app, CONFIG), stream, turn)  # type: ignore[arg-type]  # see converse()
    stream.more()
    assert conn.advance(turn) is Verdict.RUN
    assert conn.run(turn) is Verdict.SEND
    turn.now += 1e6
    assert conn.send(turn) is Verdict.WANT_WRITE
    assert not conn.overdue(turn.now)
    assert conn.overdue(turn.now + 1e6)
    conn.close()


def test_a_site_that_drains_stamps_nothing_whoever_comes_to_its_date_just_then() -> None:
    site = Site(Listening(), CONFIG)
    assert site.stamp
    site.draining = True  # as drain() begins
    site.tick(monotonic() + 2)
    assert site.stamp is None
