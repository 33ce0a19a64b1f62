"""request_buffering: a call is made when its whole body is in, wherever that waits meanwhile."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from serving import Served
from wire import CHUNKED, CLOSE, chunked, eventually, request

from dualwsgi.gateway.spill import Spill

Serve = Callable[..., Served]
Said = Callable[[], list[str]]

SHORT = 0.2
LARGE = random.Random(1).randbytes(300_000)
EXPECT = "Expect: 100-continue"


class ByLength:
    """Reads what CONTENT_LENGTH says, as Django and others do, and sends it back."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.calls.append(environ["PATH_INFO"])
        assert "HTTP_TRANSFER_ENCODING" not in environ
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        assert environ["wsgi.input"].read(10) == b""
        start_response("200 OK", [])
        return [body]


def spilled() -> int:
    """How many files without a name are open here."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += "(deleted)" in os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass  # the listing's own
    return count


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Any:
    before = spilled()
    yield
    eventually(lambda: spilled() == before)


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("content", [b"", b"x" * 10, b"y" * 65536, LARGE], ids=len)
@pytest.mark.parametrize("fields", [(), (EXPECT,)], ids=["", "expect"])
def test_a_body_in_chunks_has_a_length(serve: Serve, content: bytes, fields: tuple[str, ...]) -> None:
    app = ByLength()
    client = serve(app, request_buffering=True).client()
    for _ in range(3):
        client.send(request("POST", "/", CHUNKED, *fields))
        if fields:
            assert client.interim().status == 100
        pieces = [content[at : at + 7001] for at in range(0, len(content), 7001)]
        assert client.send(chunked(*pieces)).response().body == content
        head = request("POST", "/", f"Content-Length: {len(content)}")
        assert client.send(head + content).response().body == content
    assert len(app.calls) == 6


def test_no_call_waits_for_its_body(serve: Serve) -> None:
    app = ByLength()
    served = serve(app, request_buffering=True, threads=1, concurrency=1)
    slow = served.client().send(request("PUT", "/slow", f"Content-Length: {len(LARGE)}"), LARGE[:-1])
    eventually(spilled)
    for _ in range(3):
        assert served.ask(request("GET", "/quick")).status == 200
    assert app.calls == ["/quick"] * 3
    # What comes right behind is the next request.
    slow.send(LARGE[-1:] + request("GET", "/next", CLOSE))
    assert slow.response().body == LARGE
    assert slow.response().status == 200
    assert app.calls[3:] == ["/slow", "/next"]


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        pytest.param(request("POST", "/", CHUNKED) + chunked(LARGE), 413, id="too large, in chunks"),
        pytest.param(request("POST", "/", "Content-Length: 200001"), 413, id="too large, declared"),
        pytest.param(request("POST", "/", CHUNKED) + chunked(LARGE[:150_000])[:-5], 408, id="stalled"),
        pytest.param(request("POST", "/", CHUNKED) + chunked(LARGE[:99_999])[:-3] + b"x", 400, id="bad"),
    ],
)
def test_what_never_becomes_whole_is_no_call(serve: Serve, octets: bytes, status: int) -> None:
    app = ByLength()
    served = serve(
        app, request_buffering=True, limit_request_body=200_000, body_timeout=SHORT, linger_timeout=SHORT
    )
    client = served.client().send(octets)
    assert client.response().status == status
    assert client.ended()
    assert app.calls == []


def test_a_client_that_leaves_before_its_body_is_in_is_no_call(serve: Serve) -> None:
    app = ByLength()
    served = serve(app, request_buffering=True)
    with served.client() as client:
        client.send(request("POST", "/", f"Content-Length: {len(LARGE)}") + LARGE[:-1])
        eventually(spilled)
    eventually(lambda: not served.server.look().parked)
    assert app.calls == []


def test_without_room_for_a_body_its_client_is_told_so(
    serve: Serve, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Spill, piece: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    app = ByLength()
    served = serve(app, request_buffering=True)
    with monkeypatch.context() as patched:
        patched.setattr(Spill, "write", write)
        assert served.ask(request("POST", "/", CHUNKED) + chunked(LARGE)).status == 503
    assert said() == ["no room for a request body of 0 bytes so far: No space left on device"]
    assert served.ask(request("POST", "/", CHUNKED, CLOSE) + chunked(LARGE)).body == LARGE


def test_a_client_that_wants_another_protocol_is_not_waited_for(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("101 Switching Protocols", [("Upgrade", "echo"), ("Connection", "Upgrade")])
        write(b"")
        yield environ["wsgi.input"].read1()

    client = serve(app, request_buffering=True).client()
    client.send(request("GET", "/", "Connection: Upgrade", "Upgrade: echo"))
    assert client.response().status == 101
    client.send(b"hello")
    assert client.exactly(5) == b"hello"


def test_a_framework_that_decodes_chunks_itself_finds_none(serve: Serve) -> None:
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    @app.post("/")
    def read() -> bytes:
        return bottle.request.body.read()  # type: ignore[no-any-return]

    served = serve(app, request_buffering=True)
    assert served.ask(request("POST", "/", CHUNKED, CLOSE) + chunked(LARGE)).body == LARGE
