"""wsgi.file_wrapper: by the kernel where it can, by hand where it must, the same octets either way."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Served
from wire import CLOSE, ProtocolError, eventually, request

Serve = Callable[..., Served]
Said = Callable[[], list[str]]

VERSION = Path("/proc/version").read_bytes() if os.path.exists("/proc/version") else b""
CONTENT = bytes(range(256)) * 5000  # 1.28 MB


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


class Files:
    """An application that sends what `make` opens, and remembers it."""

    def __init__(self, make: Callable[[], Any], *headers: tuple[str, str], status: str = "200 OK") -> None:
        self.make, self.headers, self.status = make, list(headers), status
        self.opened: list[Any] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.opened.append(self.make())
        start_response(self.status, self.headers)
        return environ["wsgi.file_wrapper"](self.opened[-1], 4096)

    def all_closed(self) -> bool:
        return all(file.closed for file in self.opened)


def at(path: Path, offset: int) -> Any:
    file = open(path, "rb")
    file.seek(offset)
    return file


def temporary() -> Any:
    file = tempfile.NamedTemporaryFile()
    file.write(CONTENT)
    file.seek(0)
    return file


def piped() -> Any:
    reader, writer = os.pipe()
    with open(writer, "wb") as file:
        file.write(b"through a pipe")
    return open(reader, "rb")


class OnlyRead:
    """The least that PEP 3333 asks of a file-like object."""

    closed = True

    def __init__(self, content: bytes) -> None:
        self.read = io.BytesIO(content).read


SOURCES: dict[str, tuple[Callable[[Path], Any], bytes, str]] = {
    "a file": (lambda path: open(path, "rb"), CONTENT, "sized"),
    "a raw file": (lambda path: open(path, "rb", buffering=0), CONTENT, "sized"),
    "a file from an offset": (lambda path: at(path, 1000), CONTENT[1000:], "sized"),
    "a file from its last octet": (lambda path: at(path, len(CONTENT) - 1), CONTENT[-1:], "sized"),
    "a file at its end": (lambda path: at(path, len(CONTENT)), b"", "sized"),
    "a file beyond its end": (lambda path: at(path, 1 << 30), b"", "sized"),
    "a file for reading and writing": (lambda path: open(path, "r+b"), CONTENT, "sized"),
    "a file that says it is empty": (lambda path: open("/proc/version", "rb"), VERSION, "chunked"),
    "a temporary file": (lambda path: temporary(), CONTENT, "sized"),
    "octets in memory": (lambda path: io.BytesIO(CONTENT), CONTENT, "chunked"),
    "a pipe": (lambda path: piped(), b"through a pipe", "chunked"),
    "an object with read alone": (lambda path: OnlyRead(b"read"), b"read", "chunked"),
    "an empty object": (lambda path: OnlyRead(b""), b"", "chunked"),
}


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize(("make", "content", "framing"), [pytest.param(*c, id=n) for n, c in SOURCES.items()])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_file_is_sent_whole_and_closed(
    serve: Serve, path: Path, make: Any, content: bytes, framing: str, version: str
) -> None:
    app = Files(lambda: make(path))
    served = serve(app)
    client = served.client()
    for _ in range(3):
        client.send(request("GET", "/", "Connection: keep-alive", version=version))
        answer = client.response()
        assert answer.body == content
        if version == "1.0" and framing == "chunked":
            assert answer.framing == "close"
            client = served.client()
        else:
            assert answer.framing == framing
    eventually(app.all_closed)


def test_a_file_goes_over_a_unix_socket(serve: Serve, path: Path) -> None:
    client = serve(Files(lambda: open(path, "rb")), over="unix").client()
    for _ in range(2):
        assert client.send(request()).response().body == CONTENT


def test_a_file_that_decompresses_is_sent_as_it_reads(serve: Serve, tmp_path: Path) -> None:
    """Its fileno() is that of the compressed file, which is not its content."""
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(CONTENT))
    assert serve(Files(lambda: gzip.open(packed, "rb"))).ask().body == CONTENT
    assert serve(Files(lambda: io.BufferedReader(gzip.open(packed)))).ask().body == CONTENT  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", ["200 OK", "304 Not Modified", "204 No Content"])
def test_a_file_without_a_body_to_send_is_closed(serve: Serve, path: Path, method: str, status: str) -> None:
    app = Files(lambda: open(path, "rb"), status=status)
    client = serve(app).client()
    for _ in range(2):
        answer = client.send(request(method)).response(method)
        if status == "200 OK":
            assert answer["Content-Length"] == str(len(CONTENT))
            assert answer.body == (CONTENT if method == "GET" else b"")
    assert client.silent(0.01)
    eventually(app.all_closed)


@pytest.mark.parametrize("make", [lambda path: open(path, "rb"), lambda path: io.BytesIO(CONTENT)])
def test_a_file_is_cut_at_a_shorter_declared_length(serve: Serve, path: Path, said: Said, make: Any) -> None:
    app = Files(lambda: make(path), ("Content-Length", "1000"))
    client = serve(app).client()
    for _ in range(2):
        assert client.send(request()).response().body == CONTENT[:1000]
    eventually(app.all_closed)
    said()


def test_a_longer_declared_length_is_corrected_for_a_real_file(serve: Serve, path: Path, said: Said) -> None:
    client = serve(Files(lambda: open(path, "rb"), ("Content-Length", "99999999"))).client()
    for _ in range(2):
        answer = client.send(request()).response()
        assert answer["Content-Length"] == str(len(CONTENT))
        assert answer.body == CONTENT
    assert len(said()) == 2


def test_a_longer_declared_length_ends_the_connection_for_other_sources(serve: Serve, said: Said) -> None:
    app = Files(lambda: io.BytesIO(CONTENT), ("Content-Length", "99999999"))
    client = serve(app).client().send(request())
    with pytest.raises(ProtocolError):
        client.response()
    assert "less than the Content-Length" in eventually(said)[0]
    eventually(app.all_closed)


@pytest.mark.usefixtures("clear_or_tls")
def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(
    serve: Serve, tmp_path: Path, said: Said
) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(b"x" * 30_000_000)
    app = Files(lambda: open(path, "rb"))
    client = serve(app).client(window=4096).send(request())
    assert client.peek()
    os.truncate(path, 10)
    with pytest.raises((ProtocolError, ConnectionResetError)):
        client.response()
    assert eventually(said)
    eventually(app.all_closed)


@pytest.mark.usefixtures("clear_or_tls")
def test_a_large_file_reaches_a_slow_reader_and_the_connection_goes_on(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(CONTENT * 4)
    app = Files(lambda: open(path, "rb"))
    client = serve(app).client(window=4096)
    for _ in range(2):
        assert client.send(request()).response().body == CONTENT * 4
    eventually(app.all_closed)


@pytest.mark.usefixtures("clear_or_tls")
def test_pipelined_files_follow_each_other(serve: Serve, path: Path) -> None:
    client = serve(Files(lambda: open(path, "rb"))).client().send(request() * 4 + request("GET", "/", CLOSE))
    assert [answer.body for answer in client.last_responses()] == [CONTENT] * 5


def test_a_file_behind_written_content_follows_it(serve: Serve, path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [])(b"before ")
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    assert serve(app).ask().body == b"before " + CONTENT


def test_a_file_for_a_tunnel_follows_its_head(serve: Serve, path: Path) -> None:
    client = serve(Files(lambda: open(path, "rb"))).client().send(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.response("CONNECT").status == 200
    assert client.exactly(len(CONTENT)) == CONTENT


def test_the_iterator_of_a_wrapper_closes_its_file(serve: Serve, path: Path) -> None:
    """Middleware that sends a range iterates over iter(wrapper), and closes that."""
    opened: list[Any] = []

    class Part:
        def __init__(self, iterable: Any) -> None:
            self.pieces = iter(iterable)

        def __iter__(self) -> Iterator[bytes]:
            yield next(self.pieces)[:5]

        def close(self) -> None:
            self.pieces.close()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        opened.append(path.open("rb"))
        start_response("206 Partial Content", [("Content-Length", "5")])
        return Part(environ["wsgi.file_wrapper"](opened[0]))

    served = serve(app)
    assert served.ask().body == path.read_bytes()[:5]
    served.stop()
    assert opened[0].closed


def test_a_wrapper_that_middleware_wraps_is_an_iterable_like_any(serve: Serve, path: Path) -> None:
    app = Files(lambda: open(path, "rb"))

    def middleware(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        result = app(environ, start_response)
        try:
            yield from (piece.swapcase() for piece in result)
        finally:
            result.close()

    assert serve(middleware).ask().body == b"".join(
        CONTENT[at : at + 4096].swapcase() for at in range(0, len(CONTENT), 4096)
    )
    assert app.all_closed()


def test_a_text_file_is_refused(serve: Serve, tmp_path: Path, said: Said) -> None:
    path = tmp_path / "text"
    path.write_text("text")
    assert serve(Files(lambda: open(path))).ask().status == 500
    assert "bytes" in said()[0]
