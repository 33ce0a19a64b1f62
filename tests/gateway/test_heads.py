"""The short ways from a head to a request make what the plain way makes, and keep no more than they may."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from dualwsgi.errors import BadRequest
from dualwsgi.gateway.environ import base_environ
from dualwsgi.gateway.heads import HEAD_SIZE, Heads, Request
from dualwsgi.gateway.memory import Memory
from dualwsgi.http11.head import Limits

LIMITS = Limits(request_line=200, fields=14, field_size=120, head=700)

LINES = [
    "GET / HTTP/1.1",
    "GET /a?b=c HTTP/1.1",
    "POST /p HTTP/1.1",
    "GET / HTTP/1.0",
    "GET http://b/ HTTP/1.1",
]
USUAL = [
    "Host: a",
    "User-Agent: x/1.0 (y; z)",
    "Accept: text/html,application/xhtml+xml",
    "Accept-Language: en",
    "Cookie: a=b; c=d",
    "Connection: keep-alive",
    "X-Forwarded-For: 192.0.2.1",
    "Referer: http://a/",
]
UNUSUAL = [
    "Host: b",
    "host: a",
    "Content-Length: 0",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "Cookie: e=f",
    "Accept: */*",
    "X-Request_Id: 1",
    "Proxy: http://b/",
    "X: y",
    "X:",
    "X: \xe9",
    "X: " + "y" * 117,
    "X: " + "y" * 118,
    "X : y",
    "X",
    " X: y",
    "X: a\0b",
    "X: a\rb",
    "X: a\nb: c",
    "Content-Type: a/b",
    "Content_Type: c/d",
    "",
]


def some_head(chance: random.Random) -> bytes:
    """A head as clients repeat them: the same lines but for one or two, and now and then a bad one."""
    lines = USUAL[: chance.choice((3, 5, 8))]
    for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 4))):
        new = chance.choice(
            [f"X-Request-Id: {chance.randrange(5)}", f"X-Trace: {chance.random()}", chance.choice(UNUSUAL)]
        )
        at = chance.choice((0, 3, len(lines), chance.randrange(len(lines) + 1)))
        if chance.random() < 0.3:
            lines = [*lines[:at], new, *lines[at + 1 :]]
        else:
            lines = [*lines[:at], new, *lines[at:]]
    text = "\r\n".join([chance.choice(LINES), *lines, "", ""])
    end = text.index("\r\n\r\n") + 4  # where the driver would cut it
    return text[:end].encode("latin-1")


VALUES = [
    "7",
    "",
    " ",
    " a b ",
    "a:b",
    "\t",
    "a\tb",
    "\xe9",
    "\xa0",
    "y" * 112,
    "y" * 121,
    "a\0b",
    "a\rb",
    "a\nb: c",
]


def like(head: bytes, chance: random.Random) -> bytes:
    """The same client's next head: some lines have other values, and now and then one another name."""
    line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    at = chance.randrange(len(lines) or 1)
    for number in range(at, min(at + chance.choice((1, 1, 2, 4)), len(lines))):
        value = chance.choice(VALUES) if chance.random() < 0.1 else f" {chance.randrange(100)}"
        name = "X-Other" if chance.random() < 0.05 else lines[number].partition(":")[0]
        lines[number] = f"{name}:{value}"
    text = "\r\n".join([line, *lines, "", ""])
    return text[: text.index("\r\n\r\n") + 4].encode("latin-1")


READ = frozenset({"referer", "cookie"})

Outcome = tuple[Any, ...]


def made(heads: Heads, head: bytes, may_keep: bool = True) -> Outcome:
    """What comes of a head, in values that compare."""
    try:
        request, environ, _ = heads.request(head, may_keep)
    except BadRequest as error:
        return ("refused", error.status)
    result = (*said(request), request.lines, dict(environ))
    environ["spoilt"] = environ["REQUEST_METHOD"] = "by the application"
    return result


def said(request: Request) -> Outcome:
    """All of it but its field lines."""
    fields = request.fields
    return (
        *(request.line.method, request.line.target, request.line.version, request.line.authority),
        *(fields.host, fields.keep_alive, fields.length, fields.chunked, fields.expect_continue),
        *(fields.upgrade, request.has_body, request.is_plain, request.is_last, request.may_tunnel),
        request.small_body,
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_way_makes_what_the_plain_way_makes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: Counter[str] = Counter()
    by_stem, recall = Heads._by_stem, Memory.recall

    def counted(self: Heads, *args: Any) -> Any:
        found = by_stem(self, *args)
        ways["by a stem"] += found is not None
        return found

    def counted_recall(self: Memory[Any], key: Any) -> Any:
        found = recall(self, key)
        ways["from the older generation"] += found is not None
        return found

    monkeypatch.setattr(Heads, "_by_stem", counted)
    monkeypatch.setattr(Memory, "recall", counted_recall)
    chance = random.Random(seed)
    base = base_environ(multiprocess=False)
    heads = Heads(base, LIMITS, reads=READ)
    seen = [some_head(chance) for _ in range(50)]
    now = 0.0
    head = seen[0]
    for _ in range(1500):
        way = chance.random()
        head = chance.choice(seen) if way < 0.3 else some_head(chance) if way < 0.5 else like(head, chance)
        if chance.random() < 0.3:
            seen[chance.randrange(len(seen))] = head
        ways["known"] += head in heads.plain.known or head in heads._with_input.known
        plain = made(Heads(base, LIMITS), head)
        ways[str(plain[0])] += 1
        if (short := heads.resembling(head)) is not None:
            assert (*said(short[0]), short[0].environ | short[1]) == (*plain[:-2], plain[-1]), head
            assert [line for line in short[0].lines if line[0].lower() in READ] == [
                line for line in plain[-2] if line[0].lower() in READ
            ]
            ways["by resemblance"] += 1
        assert made(heads, head) == plain, head
        now += chance.choice((0.1, 1.0))
        heads.age(now)
    assert all(ways[way] > 20 for way in ("known", "by a stem", "refused", "GET", "POST")), ways
    assert ways["by resemblance"] > 10, ways
    assert ways["from the older generation"], ways
    assert "spoilt" not in base


@pytest.mark.parametrize(("limit", "longest"), [(12_000, 12_000), (65_536, HEAD_SIZE - 1)])
def test_a_head_over_the_limit_or_as_long_as_a_read_is_not_taken_for_one_like_others(
    limit: int, longest: int
) -> None:
    def head(size: int) -> bytes:
        pad = b"p" * 5000
        start = b"GET / HTTP/1.1\r\nHost: a\r\nOne: %b\r\nTwo: %b\r\nX-Request-Id: " % (pad, pad)
        return start.ljust(size - 4, b"y") + b"\r\n\r\n"

    def is_like(size: int) -> bool:
        return any(heads.resembling(head(size)) for _ in range(2))  # now and then it does not look

    heads = Heads(base_environ(multiprocess=False), Limits(head=limit))
    for size in range(HEAD_SIZE, HEAD_SIZE + 4):
        made(heads, head(size))
    assert not heads._stems, "they would take too much room"
    for size in range(10_100, 10_104):
        made(heads, head(size))
    assert is_like(longest)
    assert not is_like(longest + 1)
    assert made(heads, head(limit + 1)) == ("refused", 431)


def test_a_head_is_kept_only_when_it_comes_again_and_only_for_who_may() -> None:
    heads = Heads(base_environ(multiprocess=False), LIMITS)
    head = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n"
    made(heads, head)
    assert head not in heads.plain.known
    made(heads, head, may_keep=False)
    assert head not in heads.plain.known
    made(heads, head)
    assert head in heads.plain.known


def test_what_is_not_asked_for_is_forgotten() -> None:
    heads = Heads(base_environ(multiprocess=False), LIMITS)
    head = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n"
    for _ in range(2):
        made(heads, head)
    for turn in range(1, 4):
        heads.age(turn * (Memory.LIFE + 1))
    assert head not in heads.plain.known
    assert heads.plain.recall(head) is None
    assert not heads._stems
    assert heads._last is None


def test_one_off_heads_push_nothing_out_and_take_no_room() -> None:
    heads = Heads(base_environ(multiprocess=False), LIMITS)
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(2):
        made(heads, head)
    for number in range(20_000):
        made(heads, b"GET /%d HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % (number, number))
    assert list(heads.plain.known) == [head]


def test_however_many_heads_come_again_the_memory_is_bounded() -> None:
    heads = Heads(base_environ(multiprocess=False), LIMITS)
    for number in range(3000):
        for _ in range(2):
            made(heads, b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
    assert 0 < len(heads.plain.known) + len(heads.plain._older) <= 2048
    assert isinstance(next(iter(heads.plain.known.values())), Request)
