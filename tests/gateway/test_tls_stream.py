"""The stream that TLS lays over another: whatever the lower one takes or gives at a time, nothing is lost."""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pki
import pytest

from dualwsgi.errors import BadRequest
from dualwsgi.gateway.tls import TlsStream
from dualwsgi.seam import Verdict


class Lower:
    """A stream in memory that takes and gives as much as it likes, or would block."""

    fd = -1

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.came = bytearray()  # from the server
        self.comes = bytearray()  # to it
        self.ends = False
        self.peer_environ = {"REMOTE_ADDR": "192.0.2.1"}
        self.calls: list[str] = []

    def read(self, count: int) -> bytes:
        if not self.comes:
            if self.ends:
                return b""
            raise BlockingIOError
        size = min(count, self.chance.choice((1, 7, 1000, 100_000)))
        data = bytes(self.comes[:size])
        del self.comes[:size]
        return data

    def write(self, data: bytes | memoryview) -> int:
        size = self.chance.choice((0, 1, 5, 300, 20_000, 1_000_000))
        if not size:
            raise BlockingIOError
        self.came += data[:size]
        return min(size, len(data))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: self.calls.append(name)


class Pair:
    """A server's stream and a client that has shaken hands with it."""

    def __init__(self, seed: int) -> None:
        self.lower = Lower(random.Random(seed))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.server())
        raw: Any = self.lower
        self.stream = TlsStream(raw, context, {context: {"SSL_SERVER_S_DN": "CN=localhost"}})
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = pki.trusting().wrap_bio(self._in, self._out, server_hostname="localhost")
        done = False
        while not done or self.stream.handshake() is not Verdict.RUN:
            try:
                self.client.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                self.stream.handshake()
            self.pass_on()

    def pass_on(self) -> None:
        self._in.write(self.lower.came)
        self.lower.came.clear()
        self.lower.comes += self._out.read()

    def received(self) -> bytes:
        """All that the client can read now."""
        self.pass_on()
        pieces = []
        while True:
            try:
                piece = self.client.read(65536)
            except ssl.SSLWantReadError:
                return b"".join(pieces)
            except ssl.SSLZeroReturnError:
                return b"".join([*pieces, b"<end>"])
            if not piece:
                return b"".join([*pieces, b"<end>"])
            pieces.append(piece)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_written_piece_by_piece_arrives_whole(seed: int) -> None:
    pair = Pair(seed)
    chance = random.Random(seed)
    sent = os.urandom(chance.choice((1, 100, 16384, 16385, 300_000)))
    rest = memoryview(sent)
    while rest:
        try:
            count = pair.stream.write(rest[: chance.choice((1, 20_000, 1_000_000))])
        except BlockingIOError:
            continue
        assert 0 < count <= len(rest)
        rest = rest[count:]
    assert pair.received() == sent


@pytest.mark.parametrize("seed", range(6))
def test_two_buffers_and_a_file_arrive_whole_and_in_order(seed: int, tmp_path: Path) -> None:
    pair = Pair(seed)
    size = 150_000 if seed % 2 else 20_000
    head, content, file = os.urandom(300), os.urandom(size), os.urandom(200_000)
    (tmp_path / "file").write_bytes(file)
    whole, at = head + content, 0
    while at < len(whole):
        try:
            if at < len(head):
                at += pair.stream.writev((head[at:], content))
            else:
                at += pair.stream.write(memoryview(content)[at - len(head) :])
        except BlockingIOError:
            continue
    with (tmp_path / "file").open("rb") as opened:
        offset = 0
        while offset < len(file):
            try:
                offset += pair.stream.sendfile(opened.fileno(), offset, len(file) - offset)
            except BlockingIOError:
                continue
        assert pair.stream.sendfile(opened.fileno(), offset, 100) == 0  # the file has ended
    assert pair.received() == whole + file


@pytest.mark.parametrize("seed", range(6))
def test_what_comes_in_pieces_is_read_whole_and_then_blocks_or_ends(seed: int) -> None:
    pair = Pair(seed)
    sent = os.urandom(40_000)
    view = memoryview(sent)
    while view:
        view = view[pair.client.write(view) :]
    pair.pass_on()
    got = bytearray()
    with pytest.raises(BlockingIOError):
        while True:
            piece = pair.stream.read(random.Random(seed).choice((10, 16384, 65536)) if seed else 65536)
            assert piece
            got += piece
    assert got == sent
    if seed % 2:
        with pytest.raises(ssl.SSLWantReadError):
            pair.client.unwrap()
        pair.pass_on()
        assert pair.stream.read(10) == b""
        while True:  # a client that will say no more still listens
            try:
                assert pair.stream.write(b"late") == 4
                break
            except BlockingIOError:
                pass
        assert pair.received() == b"late"
    else:
        pair.lower.ends = True
        assert pair.stream.read(10) == b""


@pytest.mark.parametrize("seed", range(12))
def test_it_rests_only_when_nothing_is_left_that_makes_no_edge(seed: int) -> None:
    """Records come cut or together; as from a socket, a read that is short has taken all there was."""
    chance = random.Random(seed)
    pair = Pair(seed)
    whole = Lower(chance)
    whole.chance = cast("random.Random", SimpleNamespace(choice=max))
    pair.stream._raw = cast("Any", whole)
    coming, sent, got, rests = bytearray(), bytearray(), bytearray(), 0
    for _ in range(60):
        for _ in range(chance.choice((0, 1, 1, 2))):
            sent += (piece := os.urandom(chance.choice((1, 100, 479, 16384))))
            pair.client.write(piece)
        coming += pair._out.read()
        size = chance.choice((len(coming), len(coming), chance.randint(0, len(coming))))
        whole.comes += coming[:size]
        del coming[:size]
        while True:
            try:
                count = chance.choice((479, 16384))
                piece = pair.stream.read(count)
            except BlockingIOError:
                break
            got += piece
            if len(piece) < count and pair.stream.rest is Verdict.WANT_READ:
                rests += 1
                with pytest.raises(BlockingIOError):
                    pair.stream.read(1)
                break
    assert rests > 10
    whole.comes += coming
    with pytest.raises(BlockingIOError):
        while True:
            got += pair.stream.read(65536)
    assert got == sent


def test_what_ends_tls_behind_a_request_is_read_without_an_edge() -> None:
    pair = Pair(0)
    pair.lower.chance = cast("random.Random", SimpleNamespace(choice=max))
    pair.client.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.pass_on()
    assert (pair.stream.read(100), pair.stream.rest) == (b"last", Verdict.AGAIN)
    assert pair.stream.read(100) == b""


def test_the_end_is_said_once_unless_the_connection_is_broken_off() -> None:
    pair = Pair(0)
    pair.lower.chance = random.Random(0)
    pair.lower.chance.choice = max  # type: ignore[method-assign]  # it takes everything at once
    pair.stream.shutdown_write()
    assert pair.received() == b"<end>"
    pair.stream.close()
    assert not pair.lower.came
    assert pair.lower.calls == ["shutdown_write", "close"]
    broken = Pair(1)
    broken.stream.break_off()
    broken.stream.close()
    assert b"<end>" not in broken.received()
    assert broken.lower.calls == ["break_off", "close"]


def test_environ_gets_what_the_session_adds_and_no_more() -> None:
    environ = Pair(3).stream.peer_environ
    assert environ["SSL_SERVER_S_DN"] == "CN=localhost"
    assert environ["HTTPS"] == "on"
    assert "REMOTE_ADDR" not in environ


def test_octets_that_were_read_before_count() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    raw: Any = Lower(random.Random(0))
    stream = TlsStream(raw, context, {})
    with pytest.raises(BadRequest, match="https"):
        stream.unread(b"GET / HTTP/1.1\r\n")
    assert TlsStream(raw, context, {}).handshake() is Verdict.WANT_READ
