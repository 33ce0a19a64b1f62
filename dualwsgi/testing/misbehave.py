"""Clients that a server on the Internet meets: slow, cut off, pipelining, framing badly, reading nothing.

    served.misbehave.slow(request("GET", "/"))
    served.misbehave.everything()

Each way is one method, with connections of its own, which are closed when it returns.  Nothing sleeps
longer than it is told to.  A way asserts what every server owes; what an application answers, it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Final, NamedTuple

from .wire import Client, Response, request

__all__ = ["BAD_FRAMING", "BadFraming", "Misbehaving"]


class BadFraming(NamedTuple):
    """`octets` to send, the statuses that may answer them, and why no other may."""

    octets: bytes
    statuses: frozenset[int]
    reason: str


def _post(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["POST / HTTP/1.1", "Host: test", *lines, "", ""]).encode("latin-1") + body


_400: Final = frozenset({400})

BAD_FRAMING: Final[dict[str, BadFraming]] = {
    "length and coding": BadFraming(
        _post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        _400,
        "two readings smuggle requests (RFC 9112 section 6.1)",
    ),
    "two lengths": BadFraming(
        _post("Content-Length: 5", "Content-Length: 6", body=b"hello"),
        _400,
        "RFC 9112 section 6.3",
    ),
    "a length that is none": BadFraming(
        _post("Content-Length: +5", body=b"hello"), _400, "1*DIGIT (RFC 9110 section 8.6)"
    ),
    "chunked and then another coding": BadFraming(
        _post("Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
        _400,
        "the end cannot be found (RFC 9112 section 6.3)",
    ),
    "an unknown coding": BadFraming(
        _post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
        frozenset({400, 501}),
        "RFC 9112 section 6.1",
    ),
    "a coding in HTTP/1.0": BadFraming(
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", _400, "RFC 9112 section 6.1"
    ),
    "a chunk size that is none": BadFraming(
        _post("Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n"),
        _400,
        "1*HEXDIG (RFC 9112 section 7.1)",
    ),
    "a chunk without its end": BadFraming(
        _post("Transfer-Encoding: chunked", body=b"5\r\nhelloXX0\r\n\r\n"), _400, "RFC 9112 section 7.1"
    ),
    "a bare line feed": BadFraming(
        b"GET / HTTP/1.1\nHost: test\n\n", _400, "proxies differ on it (RFC 9112 section 2.2)"
    ),
    "a space before the colon": BadFraming(
        _post("Content-Length : 5", body=b"hello"), _400, "RFC 9112 section 5.1"
    ),
    "a continued line": BadFraming(_post("X-A: b", " c", "Content-Length: 0"), _400, "RFC 9112 section 5.2"),
    "no host": BadFraming(b"GET / HTTP/1.1\r\n\r\n", _400, "RFC 9112 section 3.2"),
}
"""By what is wrong with them.  All are complete, so a server has no reason to wait for more."""


class Misbehaving:
    """The ways, towards the server at `address`.  `good` is a request that it answers well."""

    def __init__(self, address: str, good: bytes | None = None) -> None:
        self.address = address
        self.good = request() if good is None else good

    def slow(self, octets: bytes | None = None, *, pause: float = 0.002, piece: int = 1) -> Response:
        """Sends `piece` octets at a time, `pause` seconds apart; the answer."""
        octets = self.good if octets is None else octets
        clock = Event()  # that nobody sets
        with Client(self.address) as client:
            for at in range(0, len(octets), piece):
                client.send(octets[at : at + piece])
                clock.wait(pause)
            return client.response()

    def cut(self, octets: bytes | None = None, *, at: int | None = None) -> Response | None:
        """Sends the first `at` octets (default: half), then says that no more will come.

        The answer, which must be an error, or None if the server closed without one.
        """
        octets = self.good if octets is None else octets
        with Client(self.address) as client:
            client.send(octets[: len(octets) // 2 if at is None else at]).half_close()
            if not client.peek():
                return None
            answer = client.response()
            assert answer.status >= 400, f"half a request was taken for a whole one: {answer.line}"
            return answer

    def vanish(self, octets: bytes | None = None, *, at: int | None = None) -> None:
        """Sends the first `at` octets (default: all) and resets the connection."""
        client = Client(self.address)
        client.send((self.good if octets is None else octets)[:at])
        client.reset()

    def pipelined(self, *requests: bytes) -> list[Response]:
        """Sends several requests by one call before it reads; their answers, in order."""
        requests = requests or (self.good,) * 8
        with Client(self.address) as client:
            client.send(b"".join(requests))
            return client.responses(len(requests))

    def bad_framing(self, names: Sequence[str] = ()) -> dict[str, Response]:
        """Sends each of BAD_FRAMING, or those named; the answers, all of them refusals that close."""
        answers = {}
        for name in names or BAD_FRAMING:
            case = BAD_FRAMING[name]
            with Client(self.address) as client:
                client.send_if_taken(case.octets)
                answer = answers[name] = client.response()
                assert answer.status in case.statuses, f"{name}: {answer.line}; {case.reason}"
                assert client.ended(), f"{name}: the connection went on after it"
        return answers

    def unread(self, octets: bytes | None = None, *, take: int = 0) -> None:
        """Asks with the smallest window there is, reads `take` octets of the answer, and vanishes."""
        client = Client(self.address, window=1)
        client.send(self.good if octets is None else octets)
        if take:
            client.exactly(take)
        client.reset()

    def silent(self, count: int = 10) -> list[Client]:
        """Opens connections and says nothing; they are the caller's to close."""
        return [Client(self.address) for _ in range(count)]

    def everything(self) -> Response:
        """All of it, with the good request after each way: the last good answer.

        Fails unless the server answers every good request, and alike.
        """
        expected = self._well()
        waiting = self.silent()
        try:
            for way in (self.slow, self.cut, self.vanish, self.pipelined, self.bad_framing, self.unread):
                way()
                answer = self._well()
                assert answer.status == expected.status, f"after {way.__name__}: {answer.line}"
            return answer
        finally:
            for client in waiting:
                client.close()

    def _well(self) -> Response:
        with Client(self.address) as client:
            return client.send(self.good).response()
