"""WebSocket (RFC 6455) through the annexe, octet by octet, on both backends."""

from __future__ import annotations

import io
import struct
import time
import zlib

import pytest
from annexe import Annexe
from table import table
from wire import Client, eventually, request

from dualwsgi.eventlet.websocket import RFC6455WebSocket, WebSocket

# RFC 6455 section 1.3 gives this key and its answer.
HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
ANSWER = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x01\x02\x03\x04"


def frame(first: int, data: bytes) -> bytes:
    """A masked frame, as clients send them."""
    masked = bytes(octet ^ MASK[at % 4] for at, octet in enumerate(data))
    size = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data))
    return bytes([first]) + size + MASK + masked


def opened(client: Client, *fields: str) -> bytes:
    client.send(request("GET", "/talk", *HANDSHAKE, *fields))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.exactly(1)
    assert head.startswith(b"HTTP/1.1 101 ") and b"\r\nSec-WebSocket-Accept: " + ANSWER + b"\r\n" in head
    return head


def test_messages_come_back_as_they_were_sent(annexe: Annexe) -> None:
    with annexe.serve("websockets").client() as client:
        assert b"Sec-WebSocket-Protocol: chat" in opened(client, "Sec-WebSocket-Protocol: other, chat")
        client.send(frame(0x81, "gr\xfc\xdfe".encode()))
        assert client.exactly(9) == b"\x81\x07" + "gr\xfc\xdfe".encode()
        client.send(frame(0x02, b"a" * 100), frame(0x89, b"ping"), frame(0x00, b""), frame(0x80, b"b" * 100))
        assert client.exactly(6) == b"\x8a\x04ping"
        assert client.exactly(204) == b"\x82\x7e\x00\xc8" + b"a" * 100 + b"b" * 100
        client.send(frame(0x88, struct.pack("!H", 1001) + b"bye"))
        assert client.exactly(4) == b"\x88\x02" + struct.pack("!H", 1001)
        assert client.ending() == "eof"
    noted: list[object] = []
    # The notes come as they are made: what is told of the opening may come by itself.
    assert eventually(lambda: ["closed", [1001, "bye"]] in (noted.extend(annexe.notes()) or noted))


@table(
    ("octets", "status"),
    [
        (frame(0xC1, b"x"), 1002),  # a reserved bit
        (frame(0x83, b"x"), 1002),  # an unknown opcode
        (frame(0x80, b"x"), 1002),  # a continuation of nothing
        (b"\x81\x01x", 1002),  # no mask
        (frame(0x09, b"x"), 1002),  # a control frame in parts
        (frame(0x81, b"\xff"), 1007),
        (b"\x82\xff" + struct.pack("!Q", 1 << 40) + MASK, 1009),
    ],
)
def test_what_breaks_the_protocol_is_told_and_ends_it(annexe: Annexe, octets: bytes, status: int) -> None:
    with annexe.serve("websockets").client() as client:
        opened(client)
        client.send(octets)
        head = client.exactly(4)
        assert head[0] == 0x88 and struct.unpack("!H", head[2:])[0] == status
        client.until_end()


@table("left_out", range(len(HANDSHAKE)))
def test_a_handshake_that_is_none_gets_400(annexe: Annexe, left_out: int) -> None:
    fields = [field for at, field in enumerate(HANDSHAKE) if at != left_out]
    answer = annexe.serve("websockets").ask(request("GET", "/talk", *fields))
    assert (answer.status, answer["Connection"], answer.body) == (400, "close", b"")


def test_a_stopping_server_does_not_wait_for_websockets(annexe: Annexe) -> None:
    server = annexe.serve("websockets")
    with server.client() as client:
        opened(client)
        assert server.stop(5)
        client.until_end()


# Compression (RFC 7692)


@table(
    ("offer", "agreed"),
    [
        ("permessage-deflate", "permessage-deflate"),
        (
            "x-other, PerMessage-Deflate; Client_No_Context_Takeover",
            "permessage-deflate; client_no_context_takeover",
        ),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; wonders", None),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
        ("permessage-deflate; server_max_window_bits=16", None),
    ],
)
def test_compression_is_agreed_on_by_the_first_offer_that_can_be_kept(
    annexe: Annexe, offer: str, agreed: str | None
) -> None:
    with annexe.serve("websockets").client() as client:
        head = opened(client, f"Sec-WebSocket-Extensions: {offer}").decode()
    said = [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Ext")]
    assert said == ([agreed] if agreed else [])


def deflated(text: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


def test_messages_are_compressed_where_that_was_agreed(annexe: Annexe) -> None:
    with annexe.serve("websockets").client() as client:
        opened(client, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover")
        # RFC 7692 section 7.2.3.1 has Hello; the second one refers to the first.
        client.send(frame(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"), frame(0xC1, b"\xf2\x00\x11\x00\x00"))
        assert client.exactly(18) == 2 * b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
        client.send(frame(0x81, b"plain"))
        assert client.exactly(2)[0] == 0xC1


@table(
    ("octets", "status"),
    [
        (frame(0xC1, deflated(b"x" * 1001)), 1009),
        (frame(0xC1, b"\xff\xff"), 1007),
        (frame(0xC9, b"ping"), 1002),
        (frame(0x01, b"a") + frame(0xC0, b"b"), 1002),
    ],
)
def test_what_is_compressed_wrongly_or_too_well_ends_it(annexe: Annexe, octets: bytes, status: int) -> None:
    with annexe.serve("old_websockets").client() as client:
        opened(client, "Sec-WebSocket-Extensions: permessage-deflate")
        client.send(octets)
        head = client.exactly(4)
        assert head[0] == 0x88 and struct.unpack("!H", head[2:])[0] == status


class Dripping:
    """A socket that gives a message in small pieces."""

    def __init__(self, octets: bytes) -> None:
        self._octets = io.BytesIO(octets)

    def recv(self, size: int) -> bytes:
        return self._octets.read(min(size, 1460))


@pytest.mark.parametrize(
    ("kind", "head", "tail"),
    [
        (RFC6455WebSocket, b"\x82\xff" + struct.pack("!Q", 7 << 20) + bytes(4), b""),
        (WebSocket, b"\x00", b"\xff"),
    ],
)
def test_a_large_message_in_small_pieces_costs_what_its_octets_cost(
    kind: type[WebSocket], head: bytes, tail: bytes
) -> None:
    before = time.thread_time()
    assert len(kind(Dripping(head + b"x" * (7 << 20) + tail), {}).wait()) == 7 << 20
    assert time.thread_time() - before < 2.0  # where each piece copies all before it: 6


# The drafts before RFC 6455

DRAFT = ("Upgrade: WebSocket", "Connection: Upgrade", "Origin: http://localhost")
KEYS = ("Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5", "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00")
# The example of draft-hixie-thewebsocketprotocol-76, section 1.2.
SEED, PROOF = b"^n:ds[4U", b"8jKS'y:G*Co,Wxa-"


@table("app", ["old_websockets", "in_a_generator"])
@table(("keys", "seed", "proof"), [((), b"", b""), (KEYS, SEED, PROOF)], ids=["75", "76"])
def test_old_drafts_are_spoken_where_they_are_not_ruled_out(
    annexe: Annexe, keys: tuple[str, ...], seed: bytes, proof: bytes, app: str
) -> None:
    server = annexe.serve(app)
    with server.client() as client:
        client.send(request("GET", "/talk?a", *DRAFT, *keys), seed)
        head = b""
        while not head.endswith(b"\r\n\r\n" + proof):
            head += client.exactly(1)
        assert head.startswith(b"HTTP/1.1 101 ") and b"Location: ws://test/talk?a\r\n" in head
        client.send(b"\x00hel", b"lo\xff")
        assert client.exactly(7) == b"\x00hello\xff"
        client.send(b"\xff\x00")
        assert client.until_end() == (b"\xff\x00" if keys else b"")
    assert " 101 " not in server.logs('" 200 0 ')


@pytest.mark.parametrize(
    ("app", "fields"),
    [
        ("websockets", DRAFT),
        ("old_websockets", (*DRAFT, KEYS[0])),
        ("old_websockets", (*DRAFT, "Sec-WebSocket-Key1: none", KEYS[1])),
    ],
)
def test_a_draft_that_is_ruled_out_or_broken_gets_400(
    annexe: Annexe, app: str, fields: tuple[str, ...]
) -> None:
    with annexe.serve(app).client() as client:
        assert client.send(request("GET", "/talk", *fields), SEED).response().status == 400
