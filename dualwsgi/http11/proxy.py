"""The PROXY protocol, versions 1 and 2: what a proxy says of a connection before its first octet.

After HAProxy's specification (doc/proxy-protocol.txt).  It is never guessed at: whoever expects the
header calls parse() and gets it, or an error; whoever does not, does not call it.

    v1  PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 CR LF
    v2  a signature of 12 octets, version and command, family, length, addresses, then fields of type,
        length and value (TLV): TLS of the client, the name it asked for, what a cloud adds

Octets to values, nothing else: no socket, no trust, no environ.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ..errors import BadRequest

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_LINE: Final = 107
"""Octets of the longest header of version 1, with its end."""

ALPN: Final = 0x01
AUTHORITY: Final = 0x02
CRC32C: Final = 0x03
NOOP: Final = 0x04
UNIQUE_ID: Final = 0x05
SSL: Final = 0x20
NETNS: Final = 0x30

SSL_VERSION: Final = 0x21
SSL_CN: Final = 0x22
SSL_CIPHER: Final = 0x23
SSL_SIG_ALG: Final = 0x24
SSL_KEY_ALG: Final = 0x25

CLIENT_SSL: Final = 0x01
"""The client came by TLS."""
CLIENT_CERT: Final = 0x02 | 0x04
"""It showed a certificate, on this connection or earlier in its session."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What the proxy says of the client's TLS: flags, 0 for a verified certificate, and its fields."""

    flags: int
    verify: int
    fields: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """One header.  Without a source, the proxy speaks for itself or does not know: a health check, say."""

    version: int
    source: Address | None = None
    destination: Address | None = None
    fields: Mapping[int, bytes] = field(default_factory=dict)  # the first of a type counts
    tls: ClientTls | None = None


def parse(data: bytes | bytearray, version: int | None = None) -> tuple[ProxyHeader, int] | None:
    """The header at the front of `data` and its length; None if more octets are needed.

    `version` 1 or 2 allows that one alone.  Raises BadRequest.
    """
    if version != 1 and data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _parse_v2(bytes(data))
    if version != 2 and data[:6] == b"PROXY "[: len(data)]:
        return _parse_v1(bytes(data[:LONGEST_LINE]))
    raise BadRequest(400, "a PROXY protocol header was expected")


# Version 1

_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (\d{1,5}) (\d{1,5}))",
    re.ASCII,
)


def _parse_v1(data: bytes) -> tuple[ProxyHeader, int] | None:
    line, end, _ = data.partition(b"\r\n")
    if not end:
        if len(data) >= LONGEST_LINE or b"\n" in data:
            raise BadRequest(400, "a PROXY line without its end")
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadRequest(400, "malformed PROXY line")
    header = ProxyHeader(1)
    if match[1] is not None:
        family = IPv4Address if match[1] == b"TCP4" else IPv6Address
        try:
            source, destination = (str(family(match[at].decode())) for at in (2, 3))
        except ValueError:
            raise BadRequest(400, "malformed address in a PROXY line") from None
        ports = int(match[4]), int(match[5])
        if max(ports) > 65535 or any(len(match[at]) > 1 and match[at][:1] == b"0" for at in (4, 5)):
            raise BadRequest(400, "malformed port in a PROXY line")
        header = ProxyHeader(1, (source, ports[0]), (destination, ports[1]))
    return header, len(line) + 2


# Version 2

_PREFIX: Final = struct.Struct("!12sBBH")
_TCP4: Final = struct.Struct("!4s4sHH")
_TCP6: Final = struct.Struct("!16s16sHH")
_UNIX_SIZE: Final = 216
_SIZES: Final = {1: _TCP4.size, 2: _TCP6.size, 3: _UNIX_SIZE}


def _parse_v2(data: bytes) -> tuple[ProxyHeader, int] | None:
    if len(data) < _PREFIX.size:
        return None
    _, what, how, length = _PREFIX.unpack_from(data)
    if what not in (0x20, 0x21):
        raise BadRequest(400, "unknown version or command in a PROXY header")
    size = _PREFIX.size + length
    if len(data) < size:
        return None
    data = data[:size]
    if what == 0x20:  # LOCAL: whatever it says of addresses is to be ignored
        return ProxyHeader(2), size
    family, transport = how >> 4, how & 15
    if family > 3 or transport > 2:
        raise BadRequest(400, "unknown address family in a PROXY header")
    at = _PREFIX.size + _SIZES.get(family, 0)
    if at > size:
        raise BadRequest(400, "a PROXY header shorter than its addresses")
    source: Address | None = None
    destination: Address | None = None
    if family in (1, 2) and transport == 1:
        layout, kind = (_TCP4, IPv4Address) if family == 1 else (_TCP6, IPv6Address)
        first, second, first_port, second_port = layout.unpack_from(data, _PREFIX.size)
        source, destination = (str(kind(first)), first_port), (str(kind(second)), second_port)
    fields = _fields(data[at:])
    if CRC32C in fields:
        _check(data, at, fields[CRC32C])
    tls = _client_tls(fields[SSL]) if SSL in fields else None
    return ProxyHeader(2, source, destination, fields, tls), size


def _fields(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + 3 > len(data):
            raise BadRequest(400, "malformed field in a PROXY header")
        kind, length = struct.unpack_from("!BH", data, at)
        at += 3 + length
        if at > len(data):
            raise BadRequest(400, "a field longer than its PROXY header")
        if kind != NOOP:
            found.setdefault(kind, data[at - length : at])
    return found


def _client_tls(value: bytes) -> ClientTls:
    if len(value) < 5:
        raise BadRequest(400, "malformed TLS field in a PROXY header")
    flags, verify = struct.unpack_from("!BI", value)
    return ClientTls(flags, verify, _fields(value[5:]))


def _check(data: bytes, at: int, told: bytes) -> None:
    """The checksum counts over the whole header with its own value as zeros."""
    if len(told) != 4:
        raise BadRequest(400, "malformed checksum in a PROXY header")
    while data[at] != CRC32C:
        at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
    if crc32c(data[: at + 3] + bytes(4) + data[at + 7 :]) != int.from_bytes(told, "big"):
        raise BadRequest(400, "a PROXY header that its checksum does not fit")


def crc32c(data: bytes) -> int:
    """The Castagnoli CRC (RFC 3720 appendix B.4)."""
    if not _TABLE:
        for number in range(256):
            value = number
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
            _TABLE.append(value)
    crc = 0xFFFFFFFF
    for octet in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ octet) & 255]
    return crc ^ 0xFFFFFFFF


_TABLE: Final[list[int]] = []
