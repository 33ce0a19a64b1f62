"""environ["dualwsgi.socket"]: an application that answers an upgrade by itself, as WebSocket libraries do."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import Gate, Served, answering
from wire import eventually, request

Serve = Callable[..., Served]
Said = Callable[[], list[str]]
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Any]

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
UPGRADE = request("GET", "/echo", "Upgrade: echo", "Connection: Upgrade")


def echoing(end: App) -> App:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        sock = environ["dualwsgi.socket"]
        sock.sendall(SWITCH)
        while (data := sock.recv(100)) not in (b"", b"bye"):
            sock.sendall(data)
        return end(environ, start_response)

    return app


def with_nothing(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return []


def with_a_response(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"none"]


def as_gunicorn_has_it(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise StopIteration


def as_werkzeug_has_it(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise ConnectionError


def with_write(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "4")])(b"none")
    return []


@pytest.mark.parametrize(
    "end", [with_nothing, with_a_response, with_write, as_gunicorn_has_it, as_werkzeug_has_it]
)
def test_an_application_answers_by_itself_and_the_connection_ends_with_the_call(
    serve: Serve, said: Said, end: App
) -> None:
    served = serve(echoing(end), request_timeout=60)
    with served.client() as client:
        client.send(UPGRADE)
        assert client.exactly(len(SWITCH)) == SWITCH
        for word in b"some", b"more":
            client.send(word)
            assert client.exactly(4) == word
        client.send(b"bye")
        assert client.until_end() == b"", "the client gets what the application sent and nothing else"
    eventually(lambda: served.counter("requests"))
    assert said() == []


@pytest.mark.parametrize("content", [[], [b"none"], [b"", b"none"]])
@pytest.mark.parametrize("sent", [[], [("Content-Length", "0")]])
def test_a_generator_may_take_the_socket_and_what_it_yields_then_is_dropped(
    serve: Serve, said: Said, content: list[bytes], sent: list[tuple[str, str]]
) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", sent)
        environ["dualwsgi.socket"].sendall(SWITCH)
        yield from content

    served = serve(app)
    with served.client() as client:
        client.send(UPGRADE)
        assert client.until_end() == SWITCH
    eventually(lambda: served.counter("requests"))
    assert said() == []


def test_a_failure_is_logged_and_not_told(serve: Serve, said: Said) -> None:
    def fail(environ: Environ, start_response: StartResponse) -> Any:
        raise RuntimeError("on purpose")

    with serve(echoing(fail)).client() as client:
        client.send(UPGRADE, b"")
        client.exactly(len(SWITCH))
        client.send(b"bye")
        assert client.until_end() == b""
    assert "on purpose" in "".join(eventually(said))


def test_one_reads_while_another_writes_and_both_are_done_when_the_call_is(
    serve: Serve, backend: str, gate: Gate
) -> None:
    ended: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        sock = environ["werkzeug.socket"]  # the same by the name that libraries know

        def read() -> None:
            try:
                while data := sock.recv(100):
                    if data == b"answer":
                        gate.open()
            except OSError:
                pass  # it ended
            sock.close()
            ended.append(threading.current_thread().name)

        sock.sendall(SWITCH)
        if backend == "green":
            from dualwsgi import green

            green.spawn(read)
        else:
            threading.Thread(target=read, name="a reader").start()
        sock.sendall(b"question")
        gate.wait()
        sock.sendall(b"thanks")
        return []

    with serve(app).client() as client:
        client.send(UPGRADE)
        assert client.exactly(len(SWITCH) + 8) == SWITCH + b"question"
        client.send(b"answer")
        assert client.until_end() == b"thanks"
    eventually(lambda: ended)


def test_a_server_that_stops_ends_it(serve: Serve, said: Said) -> None:
    served = serve(echoing(with_nothing))
    with served.client() as client:
        client.send(UPGRADE)
        client.exactly(len(SWITCH))
        assert not served.stop(grace=0)
        assert client.until_end() == b""
    said()


def test_to_look_at_it_takes_nothing_over(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        sock = environ["dualwsgi.socket"]
        assert "recv" in dir(sock)
        assert hasattr(sock, "sendall")
        assert not hasattr(sock, "wings")
        assert repr(sock)
        return answering([b"no"])(environ, start_response)

    with serve(app).client() as client:
        for _ in range(3):
            assert client.send(UPGRADE).response().body == b"no"


def refusal(act: Callable[[], object]) -> bytes:
    with pytest.raises(OSError, match="Errno") as caught:
        act()
    return errno.errorcode[caught.value.errno or 0].encode()


def test_it_is_its_own_request_s_alone(serve: Serve) -> None:
    kept: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        kept.append(environ["dualwsgi.socket"])
        told = refusal(kept[0].fileno) if len(kept) == 2 else b"first"
        return answering([told])(environ, start_response)

    with serve(app).client() as client:
        assert client.send(UPGRADE).response().body == b"first"
        assert client.send(UPGRADE).response().body == b"EBADF"


def test_it_comes_too_late_when_the_response_has_begun(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [("Content-Length", "5")])
        write(b"")
        return [refusal(environ["dualwsgi.socket"].fileno)]

    assert serve(app).ask(UPGRADE).body == b"EBUSY"


def test_what_a_client_sends_before_the_answer_is_not_lost_unseen(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        return answering([refusal(lambda: environ["dualwsgi.socket"].recv(1))])(environ, start_response)

    with serve(app).client() as client:
        assert client.send(UPGRADE + b"early").response().body == b"EPROTO"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(request(), id="no upgrade"),
        pytest.param(request("GET", "/", "Upgrade: echo"), id="Connection does not name it"),
        pytest.param(request("GET", "/", "Upgrade: x", "Connection: upgrade", version="1.0"), id="HTTP/1.0"),
        pytest.param(request("POST", "/", "Upgrade: x", "Connection: upgrade", body=b"x"), id="a body"),
    ],
)
def test_only_an_upgrade_is_offered_it(serve: Serve, octets: bytes) -> None:
    assert serve(telling).ask(octets).body == b"no"


def test_over_tls_there_is_no_socket_to_hand_over(serve: Serve) -> None:
    served = serve(telling, over="tls")
    with served.client() as client:
        assert client.send(UPGRADE).response().body == b"no"
    with serve(telling).client() as client:
        assert client.send(UPGRADE).response().body == b"yes"


def telling(environ: Environ, start_response: StartResponse) -> Any:
    return answering([b"yes" if "dualwsgi.socket" in environ else b"no"])(environ, start_response)
