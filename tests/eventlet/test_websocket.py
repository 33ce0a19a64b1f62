"""WebSocket (RFC 6455) through the annexe, octet by octet, on both backends."""

from __future__ import annotations

import struct

import pytest
from annexe import Annexe
from wire import Client, eventually, request

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
        client.send(frame(0x02, b"a" * 100), frame(0x89, b"ping"), frame(0x80, b"b" * 100))
        assert client.exactly(6) == b"\x8a\x04ping"
        assert client.exactly(204) == b"\x82\x7e\x00\xc8" + b"a" * 100 + b"b" * 100
        client.send(frame(0x88, struct.pack("!H", 1001) + b"bye"))
        assert client.exactly(4) == b"\x88\x02" + struct.pack("!H", 1001)
        assert client.ending() == "eof"
    noted: list[object] = []
    # The notes come as they are made: what is told of the opening may come by itself.
    assert eventually(lambda: ["closed", [1001, "bye"]] in (noted.extend(annexe.notes()) or noted))


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("left_out", range(len(HANDSHAKE)))
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
