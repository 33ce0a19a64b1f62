"""The PROXY protocol: each header whole, cut anywhere and with more behind it, and what is none."""

from __future__ import annotations

import socket
import struct

import pytest
from table import table

from dualwsgi.errors import BadRequest
from dualwsgi.http11.proxy import SIGNATURE, ClientTls, ProxyHeader, crc32c, parse


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def v2(what: int, how: int, addresses: bytes, *fields: bytes) -> bytes:
    rest = addresses + b"".join(fields)
    return SIGNATURE + struct.pack("!BBH", what, how, len(rest)) + rest


TCP4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 5000, 443)
TCP6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 5000, 443)
)
ENDS4 = {"source": ("192.0.2.1", 5000), "destination": ("198.51.100.2", 443)}
ENDS6 = {"source": ("2001:db8::1", 5000), "destination": ("2001:db8::2", 443)}
TLS = struct.pack("!BI", 7, 0) + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"zoe")
TLS_SAID = ClientTls(7, 0, {0x21: b"TLSv1.3", 0x22: b"zoe"})


def with_checksum(right: bool = True) -> bytes:
    octets = v2(0x21, 0x11, TCP4, tlv(5, b"id"), tlv(3, bytes(4)))
    return octets[:-4] + (crc32c(octets) + (not right)).to_bytes(4, "big")


GOOD: dict[str, tuple[bytes, ProxyHeader]] = {
    "v1 tcp4": (b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n", ProxyHeader(1, **ENDS4)),
    "v1 tcp6": (b"PROXY TCP6 2001:DB8::1 2001:db8:0::2 5000 443\r\n", ProxyHeader(1, **ENDS6)),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", ProxyHeader(1)),
    "v1 unknown with more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ProxyHeader(1)),
    "v1 the longest": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", ProxyHeader(1)),
    "v1 ports": (
        b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
        ProxyHeader(1, ("0.0.0.0", 0), ("255.255.255.255", 65535)),
    ),
    "v2 tcp4": (v2(0x21, 0x11, TCP4), ProxyHeader(2, **ENDS4)),
    "v2 tcp6": (v2(0x21, 0x21, TCP6), ProxyHeader(2, **ENDS6)),
    "v2 unix": (v2(0x21, 0x31, bytes(216)), ProxyHeader(2)),
    "v2 datagrams": (v2(0x21, 0x12, TCP4), ProxyHeader(2)),
    "v2 local": (v2(0x20, 0x11, TCP4), ProxyHeader(2)),
    "v2 local without anything": (v2(0x20, 0, b""), ProxyHeader(2)),
    "v2 unspecified": (v2(0x21, 0, b"", tlv(2, b"a.test")), ProxyHeader(2, fields={2: b"a.test"})),
    "v2 fields": (
        v2(0x21, 0x11, TCP4, tlv(1, b"h2"), tlv(4, b"\0\0"), tlv(1, b"second"), tlv(0xEA, b"")),
        ProxyHeader(2, **ENDS4, fields={1: b"h2", 0xEA: b""}),
    ),
    "v2 tls": (
        v2(0x21, 0x11, TCP4, tlv(0x20, TLS)),
        ProxyHeader(2, **ENDS4, fields={0x20: TLS}, tls=TLS_SAID),
    ),
    "v2 checksum": (
        with_checksum(),
        ProxyHeader(2, **ENDS4, fields={5: b"id", 3: with_checksum()[-4:]}),
    ),
    "v2 long": (v2(0x21, 0, b"", tlv(9, bytes(60000))), ProxyHeader(2, fields={9: bytes(60000)})),
}

BAD: dict[str, bytes] = {
    "http": b"GET / HTTP/1.1\r\n",
    "tls": b"\x16\x03\x01\x02\x00",
    "v1 small letters": b"proxy TCP4 192.0.2.1 198.51.100.2 5000 443\r\n",
    "v1 udp": b"PROXY UDP4 192.0.2.1 198.51.100.2 5000 443\r\n",
    "v1 families mixed": b"PROXY TCP4 2001:db8::1 198.51.100.2 5000 443\r\n",
    "v1 no address": b"PROXY TCP4 192.0.2.256 198.51.100.2 5000 443\r\n",
    "v1 a port too many": b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
    "v1 a leading zero": b"PROXY TCP4 192.0.2.1 198.51.100.2 05000 443\r\n",
    "v1 two spaces": b"PROXY TCP4  192.0.2.1 198.51.100.2 5000 443\r\n",
    "v1 short": b"PROXY TCP4 192.0.2.1 198.51.100.2 5000\r\n",
    "v1 bare line feed": b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\n",
    "v1 too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "v1 without end": b"PROXY UNKNOWN " + b"f" * 200,
    "v2 version 3": v2(0x31, 0x11, TCP4),
    "v2 command 2": v2(0x22, 0x11, TCP4),
    "v2 family 4": v2(0x21, 0x41, TCP4),
    "v2 transport 3": v2(0x21, 0x13, TCP4),
    "v2 short addresses": v2(0x21, 0x11, TCP4[:-1]),
    "v2 half a field": v2(0x21, 0x11, TCP4, b"\x01\x00"),
    "v2 a field beyond": v2(0x21, 0x11, TCP4, tlv(1, b"h2")[:-1]),
    "v2 short tls": v2(0x21, 0x11, TCP4, tlv(0x20, b"\x01\0\0")),
    "v2 wrong checksum": with_checksum(right=False),
    "v2 short checksum": v2(0x21, 0x11, TCP4, tlv(3, b"\0\0")),
}


@table(("octets", "header"), GOOD.values(), ids=GOOD)
def test_a_header_is_read_whole_cut_anywhere_and_with_more_behind_it(
    octets: bytes, header: ProxyHeader
) -> None:
    assert parse(octets) == (header, len(octets))
    assert parse(bytearray(octets)) == (header, len(octets))
    assert parse(octets + b"GET / HTTP/1.1\r\n") == (header, len(octets))
    for end in range(len(octets)) if len(octets) < 400 else (0, 1, 11, 12, 15, 16, len(octets) - 1):
        assert parse(octets[:end]) is None
    assert parse(octets, header.version) is not None
    with pytest.raises(BadRequest):
        parse(octets, 3 - header.version)


@table("octets", BAD.values(), ids=BAD)
def test_what_is_no_header_is_refused(octets: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(octets)
    assert caught.value.status == 400


def test_the_checksum_is_that_of_rfc_3720() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
