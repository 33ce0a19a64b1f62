"""Clients that vanish, at every stage: the application is closed, the log says 499, the server lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Gate, Served, answering, echo
from wire import CHUNKED, EXPECT, eventually, request

Serve = Callable[..., Served]
Said = Callable[[], list[str]]


class Logged:
    """An access log's lines, once the server has stopped."""

    def __init__(self, served: Served, path: Path) -> None:
        self.served, self.path = served, path

    def statuses(self) -> list[str]:
        self.served.stop()
        return [line.split('" ')[1].split(" ")[0] for line in self.path.read_text().splitlines()]


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="at once"),
        pytest.param(b"GET / HT", id="in the request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", id="in the head"),
        pytest.param(request("POST", "/", "Content-Length: 10") + b"12345", id="in a small body"),
        pytest.param(request("POST", "/", CHUNKED) + b"5\r\n123", id="in a chunk"),
    ],
)
@pytest.mark.parametrize("how", ["close", "reset", "half close"])
def test_a_client_that_leaves_before_its_request_is_whole_makes_no_call(
    serve: Serve, sent: bytes, how: str
) -> None:
    calls: list[int] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        calls.append(1)
        return echo(environ, start_response)

    served = serve(app)
    for _ in range(3):
        client = served.client().send(sent)
        if how == "reset":
            client.reset()
        elif how == "close":
            client.close()
        else:
            client.half_close()
            if sent:
                assert client.response().status == 400
            assert client.ended()
    assert served.ask().status == 200
    assert served.stop(5)
    assert calls == [1]


@pytest.mark.usefixtures("clear_or_tls")
def test_a_client_that_is_reset_during_the_call_is_logged_as_499(
    serve: Serve, gate: Gate, tmp_path: Path
) -> None:
    closed: list[int] = []

    def content() -> Iterator[bytes]:
        try:
            gate.wait()
            yield b"x" * 100_000
            yield b"y" * 100_000
        finally:
            closed.append(1)

    served = serve(answering(content), access_log=str(tmp_path / "log"))
    client = served.client().send(request())
    gate.expect()
    client.reset()
    gate.open()
    eventually(lambda: closed)
    eventually(lambda: served.counter("gone"))
    assert Logged(served, tmp_path / "log").statuses() == ["499"]
    assert closed == [1]


def test_a_list_for_a_client_that_is_gone_is_logged_as_499(serve: Serve, gate: Gate, tmp_path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        return answering()(environ, start_response)

    served = serve(app, access_log=str(tmp_path / "log"))
    client = served.client().send(request())
    gate.expect()
    client.reset()
    gate.open()
    eventually(lambda: served.counter("gone"))
    assert Logged(served, tmp_path / "log").statuses() == ["499"]


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("declared", [True, False])
def test_close_is_called_when_the_client_leaves_in_the_middle(
    serve: Serve, tmp_path: Path, declared: bool
) -> None:
    closed: list[int] = []

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 65536

        def close(self) -> None:
            closed.append(1)

    headers = [("Content-Length", "100000000000")] if declared else []
    served = serve(answering(Endless, headers=headers), access_log=str(tmp_path / "log"))
    client = served.client().send(request())
    assert client.peek()
    client.close()  # with octets unread, so that the peer gets a reset
    eventually(lambda: closed)
    eventually(lambda: served.counter("gone"))
    assert Logged(served, tmp_path / "log").statuses() == ["499"]
    assert closed == [1]


@pytest.mark.usefixtures("clear_or_tls")
def test_a_client_that_leaves_a_large_list_unread_is_logged_as_499(serve: Serve, tmp_path: Path) -> None:
    served = serve(answering(lambda: [b"x" * 20_000_000]), access_log=str(tmp_path / "log"))
    client = served.client(window=4096).send(request())
    assert client.peek()
    client.reset()
    eventually(lambda: served.counter("gone"))
    assert Logged(served, tmp_path / "log").statuses() == ["499"]


@pytest.mark.usefixtures("clear_or_tls")
def test_a_client_that_leaves_a_file_unread_is_logged_and_the_file_closed(
    serve: Serve, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * 20_000_000)
    files: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [])
        files.append(open(big, "rb"))
        return environ["wsgi.file_wrapper"](files[-1])

    served = serve(app, access_log=str(tmp_path / "log"))
    client = served.client(window=4096).send(request())
    assert client.peek()
    client.reset()
    eventually(lambda: served.counter("gone"))
    assert Logged(served, tmp_path / "log").statuses() == ["499"]
    assert files[0].closed


def test_write_raises_once_the_client_is_gone(serve: Serve, gate: Gate) -> None:
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response("200 OK", [])
        gate.wait()
        try:
            for _ in range(1000):
                write(b"x" * 65536)
        except OSError as error:
            errors.append(error)
            raise
        return []

    served = serve(app)
    client = served.client().send(request())
    gate.expect()
    client.reset()
    gate.open()
    eventually(lambda: served.counter("gone"))
    assert isinstance(errors[0], ConnectionError)


@pytest.mark.usefixtures("clear_or_tls")
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("catch", [False, True])
def test_a_client_that_leaves_while_its_body_is_read_raises_there(
    serve: Serve, gate: Gate, tmp_path: Path, how: str, catch: bool
) -> None:
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            environ["wsgi.input"].read(1)
            gate.wait()
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
            if not catch:
                raise
        return answering()(environ, start_response)

    served = serve(app, access_log=str(tmp_path / "log"))
    client = served.client().send(request("POST", "/", "Content-Length: 1000000") + b"x" * 100_000)
    gate.expect()
    if how == "reset":
        client.reset()
    else:
        client.close()
    gate.open()
    eventually(lambda: errors)
    (status,) = Logged(served, tmp_path / "log").statuses()
    if how == "reset":
        assert status == "499"
    else:  # it may have closed its sending side alone, so it is answered
        assert status == ("200" if catch else "400")


def test_a_client_that_leaves_instead_of_sending_its_body_raises_there(serve: Serve) -> None:
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            return echo(environ, start_response)
        except OSError as error:
            errors.append(error)
            raise

    served = serve(app)
    client = served.client().send(request("POST", "/", EXPECT, "Content-Length: 5"))
    client.interim()
    client.close()
    eventually(lambda: errors)
    assert served.ask().status == 200


def test_many_clients_that_vanish_leave_a_server_that_serves(serve: Serve) -> None:
    served = serve(echo)
    stages = [
        b"",
        b"GET",
        request(),
        request() * 3,
        request("POST", "/", "Content-Length: 100000") + b"x" * 70_000,
        request("POST", "/", CHUNKED) + b"5\r\nhel",
        b"bad\r\n\r\n",
    ]
    for turn in range(70):
        client = served.client()
        client.send(stages[turn % len(stages)])
        if turn % 3:
            client.reset()
        else:
            client.close()
    assert served.ask().status == 200
    assert served.stop(5)
