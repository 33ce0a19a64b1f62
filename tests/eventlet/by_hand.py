"""What programs do to a server and its sockets beside calling wsgi.server; run in the annexe's process.

Each returns what test_by_hand.py expects of it.
"""

from __future__ import annotations

import errno
import io
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dualwsgi import eventlet
from dualwsgi.eventlet import greenio, wsgi

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
LAST_REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


def _says_hello(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Length", 5)])
    return iter(["hello"])


def _says_much(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Length", "9876")])
    yield b"a" * 9876


@contextmanager
def _serving(sock: Any, **options: Any) -> Iterator[tuple[Any, io.StringIO]]:
    """The thread or greenlet of a server of _says_hello, and its log."""
    log = io.StringIO()
    told = eventlet.Event()
    thread = eventlet.spawn(wsgi.server, sock, _says_hello, log, server_event=told, **options)
    server = told.wait(10)
    try:
        yield thread, log
    finally:
        server.stop(0)


def _listener() -> Any:
    return eventlet.listen(("127.0.0.1", 0))


def _fetched(address: Any) -> str:
    """The content of a response."""
    with eventlet.connect(address) as client:
        client.sendall(LAST_REQUEST)
        return _until_end(client).partition(b"\r\n\r\n")[2].decode()


def _until_end(sock: Any) -> bytes:
    octets = b""
    sock.settimeout(10)
    while data := sock.recv(65536):
        octets += data
    return octets


def _outcome(thread: Any) -> str:
    """How server() has ended: "", or the name of the error number that it raised."""
    eventlet.debug.hub_exceptions(False)
    try:
        thread.wait()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        eventlet.debug.hub_exceptions(True)
    return ""


# The listener


def closes_the_listener(how: str) -> list[str]:
    """With an idle connection: how that ends, and how server() does."""
    eventlet.debug.hub_exceptions(False)
    listener = _listener()
    with _serving(listener) as (thread, _), eventlet.connect(listener.getsockname()) as idle:
        idle.sendall(REQUEST)
        while not idle.recv(65536).endswith(b"hello"):
            pass
        getattr(listener, how)(*([2] if how == "shutdown" else []))
        return [_until_end(idle).decode(), _outcome(thread)]


def keeps_a_duplicate() -> list[Any]:
    """What is left of a listener whose duplicate was served and killed."""
    listener = _listener()
    address = listener.getsockname()
    served = listener.dup()
    with _serving(served) as (thread, _):
        said = [_fetched(address)]
        eventlet.kill(thread)
    said += [thread.dead, served.fileno()]
    with _serving(listener):
        said.append(_fetched(address))
    return said


def fails_to_accept(*names: str) -> list[str]:
    """accept() fails by each of these and works then; what is fetched, how server() ends, and its log."""
    listener = _listener()
    really_accept, left = listener.accept, list(names)

    def accept() -> Any:
        if not left:
            return really_accept()
        name = left.pop(0)
        raise ssl.SSLError(1, name) if name == "SSL" else OSError(getattr(errno, name), name)

    listener.accept = accept
    eventlet.debug.hub_exceptions(False)
    with _serving(listener) as (thread, log):
        if names == ("EINVAL",):
            return ["", _outcome(thread), log.getvalue()]
        fetched = _fetched(listener.getsockname())
    return [fetched, _outcome(thread), log.getvalue()]


def stops_what_has_ended() -> list[Any]:
    """What each of two calls of stop() says, and what server()'s caller comes to after them."""
    told, gate = eventlet.Event(), eventlet.Event()

    def run() -> str:
        wsgi.server(_listener(), _says_hello, io.StringIO(), server_event=told)
        gate.wait(10)
        return "went on"

    thread = eventlet.spawn(run)
    server = told.wait(10)
    said: list[Any] = [server.stop(5), server.stop(5)]
    eventlet.sleep(0)
    gate.send()
    return [*said, thread.wait()]


# Objects that programs replace


def sends_octet_by_octet() -> str:
    """What comes of a response whose socket takes one octet at a time."""
    listener = _listener()
    really_accept = listener.accept

    def accept() -> Any:
        conn, address = really_accept()
        really_send = conn.send
        conn.send = lambda data, *args: really_send(data[:1], *args)
        return conn, address

    listener.accept = accept
    with _serving(listener):
        return _fetched(listener.getsockname())


class _Failing(greenio._fileobject):  # type: ignore[misc]
    """A connection's file that times out within its second head."""

    heads = 0

    def readline(self, *args: Any) -> bytes:
        if self.heads == 1:
            raise TimeoutError("timed out")
        line: bytes = super().readline(*args)
        self.heads += line == b"\r\n"
        return line


def reads_by_a_file_of_its_own(debug: bool) -> list[str]:
    """What a client got after its first response, and the log."""
    listener = _listener()
    really_accept = listener.accept

    def accept() -> Any:
        conn, address = really_accept()
        conn.makefile = lambda mode="r", bufsize=-1: _Failing(conn._sock, mode)
        return conn, address

    listener.accept = accept
    with _serving(listener, debug=debug) as (_, log), eventlet.connect(listener.getsockname()) as client:
        client.sendall(REQUEST)
        while not client.recv(65536).endswith(b"hello"):
            pass
        return [_until_end(client).decode(), log.getvalue()]


# Serving by hand


def _serve_one(listener: Any, app: Callable[..., Any], client: Callable[[], object]) -> str:
    """The log of a Server that was handed one connection."""
    log = io.StringIO()
    server = wsgi.Server(listener, listener.getsockname(), app, log)
    visitor = eventlet.spawn(client)
    conn, address = listener.accept()
    try:
        server.process_request([address, conn, wsgi.STATE_IDLE])
    except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
        pass  # nothing can be written to a TLS session that has ended
    finally:
        visitor.wait()
        listener.close()
    return log.getvalue()


def serves_who_has_left() -> str:
    listener = _listener()

    def visit() -> None:
        client = eventlet.connect(listener.getsockname())
        client.sendall(REQUEST)
        client.close()

    return _serve_one(listener, _says_much, visit)


def serves_who_left_tls(certificate: str) -> str:
    listener = eventlet.wrap_ssl(_listener(), certfile=certificate, keyfile=certificate, server_side=True)

    def visit() -> None:
        client = eventlet.wrap_ssl(eventlet.connect(listener.getsockname()))
        client.write(b"X")
        greenio.shutdown_safe(client)
        client.close()

    return _serve_one(listener, _says_hello, visit)


# Names


def header_line(name: str, value: str) -> str:
    """The line, or what was raised instead."""
    try:
        return wsgi._encode_header_line((name, value)).decode("latin-1")
    except UnicodeEncodeError as error:
        return str(error)


def chunk_size_of_the_class() -> int:
    return wsgi.HttpProtocol.minimum_chunk_size
