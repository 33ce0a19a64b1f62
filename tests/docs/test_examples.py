"""Each file of docs/examples does what its first lines say, on both backends."""

from __future__ import annotations

import hashlib
import importlib.util
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blocks import Session
from serving import Served
from wire import CHUNKED, PATIENCE, chunked, request

PLACE = Path(__file__).parent.parent.parent / "docs/examples"
Serve = Callable[..., Served]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", PLACE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_its_test() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in PLACE.glob("*.py")} <= tested


def test_event_stream(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    answer = serve(load("event_stream").app).ask(request(target="/?count=3"))
    assert answer["Content-Type"] == "text/event-stream"
    assert [line for line in answer.body.split(b"\n") if line.startswith(b"id")] == [
        b"id: 1",
        b"id: 2",
        b"id: 3",
    ]
    assert len(answer.chunks) == 3
    assert "the stream is over" in capsys.readouterr().out


def test_upload(serve: Serve, said: Callable[[], list[str]]) -> None:
    served = serve(load("upload").app)
    body = bytes(range(256)) * 4096
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}\n".encode()
    assert served.ask(request("PUT", body=body)).body == expected
    octets = request("POST", "/", CHUNKED) + chunked(body[:1000], body[1000:])
    assert served.ask(octets).body == expected
    assert served.ask(request()).status == 405
    with served.client() as client:
        cut = client.send(request("PUT", "/", "Content-Length: 100000"), b"x" * 99_999).half_close()
        assert cut.response().status == 400
    said()


def test_download(serve: Serve) -> None:
    served = serve(load("download").app)
    whole = (PLACE / "download.py").read_bytes()
    assert served.ask().body == whole
    rest = served.ask(request("GET", "/", "Range: bytes=100-"))
    assert (rest.status, rest.body) == (206, whole[100:])
    assert rest["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"


def test_early_hints(serve: Serve) -> None:
    answer = serve(load("early_hints").app).ask()
    assert [(hint.status, hint["Link"]) for hint in answer.interim] == [
        (103, "</style.css>; rel=preload; as=style")
    ]
    assert answer.body.endswith(b"Hello")


def test_upgrade(serve: Serve) -> None:
    served = serve(load("upgrade").app)
    assert served.ask().status == 426
    with served.client() as client:
        client.send(request("GET", "/", "Connection: upgrade", "Upgrade: capitals"))
        assert client.response().status == 101
        assert client.send(b"hello\n").exactly(6) == b"HELLO\n"
        assert client.send(b"again\n").half_close().exactly(6) == b"AGAIN\n"
        assert client.ended()


@pytest.mark.soak  # Django in processes of its own takes seconds; tests/apps has it in every run
def test_one_file_django(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("django", reason="Django is not installed")
    session = Session(tmp_path, backend)  # a process of its own: Django is set up once in each
    try:
        session.type(f"dualwsgi run one_file_django --app-dir {PLACE} --bind 127.0.0.1:8000", "serves")
        session.type("curl -s http://127.0.0.1:8000/hello/you", '{"hello": "you"}')
    finally:
        session.close()


def test_two_backends() -> None:
    servers: list[Any] = load("two_backends").start()
    try:
        assert [server.config.backend for server in servers] == ["threads", "green"]
        for server in servers:
            with urllib.request.urlopen(f"{server.addresses[0]}/hello", timeout=PATIENCE) as answer:
                assert answer.read() == b"Hello, World!"
    finally:
        for server in servers:
            server.stop()
