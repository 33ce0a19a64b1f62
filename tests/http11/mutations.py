"""Requests that are almost right: a corpus, and what is done to it so that parsers may fall out over it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from ..gateway.conversations import TALKS

SECOND = b"GET /second HTTP/1.1\r\nHost: second\r\n\r\n"

CORPUS = [talk.octets for talk in TALKS.values() if len(talk.octets) < 1500] + [
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
    b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a:80/b HTTP/1.1\r\nHost: a:80\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]

LINES = [
    b"Host: b",
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Content-Length : 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Transfer-Encoding, Content-Length",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Expect: 100-continue",
    b" folded",
    b"\tfolded",
    b"",
    b"GET / HTTP/1.1",
    b": x",
    b"X",
]
PIECES = [
    *(bytes([octet]) for octet in (0, 1, 8, 9, 10, 11, 12, 13, 27, 28, 31, 32, 34, 35, 44, 58, 59, 127)),
    *(
        b"\x80",
        b"\x85",
        b"\xa0",
        b"\xff",
        b"\xc2\xa0",
        b"\xe2\x80\xa8",
        b"\r\n",
        b"\n\n",
        b"\r\n ",
        b"\r\n\r\n",
    ),
    *(
        b"0x",
        b"+",
        b"-",
        b"_",
        b"%",
        b"%00",
        b"\\",
        b"//",
        b"..",
        b"http://",
        b"a@",
        b"[::1]",
        b"chunked",
        b"0",
    ),
]
TOKENS = re.compile(rb"[A-Za-z0-9]+|\r\n|.", re.DOTALL)


def cut_up(data: bytes) -> list[bytes]:
    return TOKENS.findall(data)


def insert_piece(chance: random.Random, data: bytes) -> bytes:
    tokens = cut_up(data)
    tokens.insert(chance.randrange(len(tokens) + 1), chance.choice(PIECES))
    return b"".join(tokens)


def replace_token(chance: random.Random, data: bytes) -> bytes:
    tokens = cut_up(data)
    tokens[chance.randrange(len(tokens))] = chance.choice(PIECES)
    return b"".join(tokens)


def drop_token(chance: random.Random, data: bytes) -> bytes:
    tokens = cut_up(data)
    del tokens[chance.randrange(len(tokens))]
    return b"".join(tokens)


def double_token(chance: random.Random, data: bytes) -> bytes:
    tokens = cut_up(data)
    at = chance.randrange(len(tokens))
    return b"".join([*tokens[:at], tokens[at], *tokens[at:]])


def other_line_end(chance: random.Random, data: bytes) -> bytes:
    ends = [match.start() for match in re.finditer(rb"\r\n", data)]
    if not ends:
        return data
    at = chance.choice(ends)
    return data[:at] + chance.choice([b"\n", b"\r", b"\r\r\n", b"\r\n\r\n", b"\n\r", b""]) + data[at + 2 :]


def insert_line(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(LINES))
    return b"\r\n".join(lines)


def move_line(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    line = lines.pop(chance.randrange(len(lines)))
    lines.insert(chance.randrange(len(lines) + 1), line)
    return b"\r\n".join(lines)


def change_case(chance: random.Random, data: bytes) -> bytes:
    tokens = cut_up(data)
    at = chance.randrange(len(tokens))
    tokens[at] = tokens[at].swapcase()
    return b"".join(tokens)


def change_octet(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def splice(chance: random.Random, data: bytes) -> bytes:
    other = chance.choice(CORPUS)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def cut_short(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(1, len(data) + 1)]


MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [
    *(insert_piece, replace_token, drop_token, double_token, other_line_end, insert_line),
    *(move_line, change_case, change_octet, splice, cut_short),
]


def almost_right(chance: random.Random) -> bytes:
    """A request or a few that went through some mutations, sometimes with a good one after them."""
    data = chance.choice(CORPUS)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        data = chance.choice(MUTATIONS)(chance, data) or b"\r"
    return data + SECOND if chance.random() < 0.5 else data
