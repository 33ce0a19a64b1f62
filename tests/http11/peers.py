"""What h11 and httptools make of the octets of a connection, in the same words as this parser.

A reading is a list of steps: messages, and then why there are no more.  `Waits`: it wants more
octets; `Over`: the connection serves no more requests; `Refused`: with the parser's own reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
import httptools

from .wire import LIMITS, read_stream


@dataclass(frozen=True)
class Message:
    """A request; field names in lower case."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes


@dataclass(frozen=True)
class Refused:
    reason: str


@dataclass(frozen=True)
class Waits:
    pass


@dataclass(frozen=True)
class Over:
    pass


Step = Message | Refused | Waits | Over


def read_here(data: bytes) -> list[Step]:
    outcome = read_stream([data], LIMITS)
    steps: list[Step] = [
        Message(
            one.method.encode("latin-1"),
            one.target.encode("latin-1"),
            tuple((n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in one.fields),
            one.content,
        )
        for one in outcome.messages
    ]
    if outcome.error:
        return [*steps, Refused(outcome.error[1])]
    last = outcome.messages[-1] if outcome.messages else None
    over = last is not None and (not last.keep_alive or last.method == "CONNECT" or last.upgrade is not None)
    return [*steps, Over() if over else Waits()]


def read_by_h11(data: bytes) -> list[Step]:
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
    steps: list[Step] = []
    head: Any = None
    content = b""
    try:
        conn.receive_data(data)
        while True:
            event = conn.next_event()
            if event is h11.NEED_DATA:
                return [*steps, Waits()]
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return [*steps, Over()]
            if isinstance(event, h11.Request):
                head, content = event, b""
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                steps.append(Message(head.method, head.target, tuple(head.headers), content))
                if conn.their_state is h11.MIGHT_SWITCH_PROTOCOL or head.method == b"CONNECT":
                    return [*steps, Over()]
                conn.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                conn.send(h11.EndOfMessage())
                if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
                    return [*steps, Over()]
                conn.start_next_cycle()
    except h11.RemoteProtocolError as error:
        return [*steps, Refused(without_input(str(error)))]


class _Collected:
    """The callbacks of httptools."""

    def __init__(self) -> None:
        self.parser: Any = None
        self.steps: list[Step] = []
        self.over = False

    def on_message_begin(self) -> None:
        self._target = self._content = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # later ones are trailers
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        self._content += body

    def on_message_complete(self) -> None:
        if not self.over:
            method = self.parser.get_method()
            self.steps.append(Message(method, self._target, tuple(self._fields), self._content))
            self.over = not self.parser.should_keep_alive()


def read_by_httptools(data: bytes) -> list[Step]:
    collected = _Collected()
    parser = collected.parser = httptools.HttpRequestParser(collected)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return [*collected.steps, Over()]
    except httptools.HttpParserError as error:
        return [*collected.steps, Over() if collected.over else Refused(without_input(str(error)))]
    return [*collected.steps, Over() if collected.over else Waits()]


def without_input(reason: str) -> str:
    """A reason without what it quotes."""
    for mark in ("b'", 'b"', "bytearray("):
        reason = reason.partition(mark)[0]
    return reason.strip(" :")


PEERS: dict[str, Callable[[bytes], list[Step]]] = {"h11": read_by_h11, "httptools": read_by_httptools}


def disagreement(ours: list[Step], theirs: list[Step]) -> str:
    """The kind of the first disagreement, "" if there is none."""
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            return _kind(mine, other)
    return ""


def _kind(mine: Step, other: Step) -> str:
    match mine, other:
        case Refused(), Refused():
            return ""
        case Message(), Message():
            parts = ("method", "target", "fields", "content")
            return "other " + next(part for part in parts if getattr(mine, part) != getattr(other, part))
        case Refused(reason), Message():
            return f"stricter: {reason}"
        case Message(), Refused(reason):
            return f"laxer: {reason}"
        case Refused(), Waits():
            return "sooner"
        case Waits(), Refused():
            return "later"
        case Over(), _:
            return "ends the connection"
        case _, Over():
            return "keeps the connection"
        case Message(), Waits():
            return "whole"
        case Waits(), Message():
            return "unfinished"
    raise AssertionError((mine, other))
