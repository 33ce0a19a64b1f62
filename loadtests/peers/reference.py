"""Two plain 64-thread pools to compare with, and runners for servers that have no command line of their own.

    python -m loadtests.peers.reference plain-blocking --port 8000 --threads 64 loadtests.peers.apps:hello

The pools are what one would write in an afternoon: an honest parse of the head into an environ, keep-alive,
bodies by Content-Length and chunked, no deadlines, no limits, no log, no defence. They say what threads and a
GIL cost anyway.
"""

from __future__ import annotations

import argparse
import importlib
import io
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

HOST = "127.0.0.1"
BACKLOG = 4096
MANY = 20_000
"""A number of connections that no scenario reaches, for servers with a limit."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def load(name: str) -> Application:
    module, _, attribute = name.partition(":")
    application: Application = getattr(importlib.import_module(module), attribute)
    return application


# HTTP, as little as is honest


class Connection:
    """A socket, what has been read of it too far, and one request at a time."""

    def __init__(self, sock: socket.socket, application: Application) -> None:
        self.socket = sock
        self._application = application
        self._buffer = b""

    def pipelined(self) -> bool:
        return bool(self._buffer)

    def serve_one(self) -> bool:
        """Read a request and answer it; False when the connection is to be closed."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not (data := self.socket.recv(65536)):
                return False
            self._buffer += data
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        environ = parse_head(head)
        environ["wsgi.input"] = io.BytesIO(self._body(environ))
        return self._respond(environ)

    def _body(self, environ: dict[str, Any]) -> bytes:
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            body = bytearray()
            while size := int(self._line(), 16):
                body += self._exactly(size)
                self._line()
            while self._line():
                pass
            return bytes(body)
        return self._exactly(int(environ.get("CONTENT_LENGTH") or 0))

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _more(self) -> None:
        if not (data := self.socket.recv(65536)):
            raise ConnectionError("the body was cut short")
        self._buffer += data

    def _respond(self, environ: dict[str, Any]) -> bool:
        answer: list[Any] = []
        written: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> Callable[[bytes], None]:
            answer[:] = [status, headers]
            return written.append

        result = self._application(environ, start_response)
        try:
            parts = list(result)
            body = b"".join(written + parts)
        finally:
            if hasattr(result, "close"):
                result.close()
        asked = environ.get("HTTP_CONNECTION", "").lower()
        keep = "close" not in asked and (environ["SERVER_PROTOCOL"] != "HTTP/1.0" or "keep-alive" in asked)
        lines = [f"HTTP/1.1 {answer[0]}", *(f"{name}: {value}" for name, value in answer[1])]
        if not any(name.lower() == "content-length" for name, _ in answer[1]):
            lines.append(f"Content-Length: {len(body)}")
        if not keep:
            lines.append("Connection: close")
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return keep


def parse_head(head: bytes) -> dict[str, Any]:
    """The environ of a request head."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, protocol = request_line.split(" ")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": HOST,
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": protocol,
        "REMOTE_ADDR": HOST,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"not a header field: {line!r}")
        key = name.upper().replace("-", "_")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value.strip()}" if key in environ else value.strip()
    return environ


# The two pools


def plain_blocking(application: Application, port: int, threads: int) -> None:
    """Each thread accepts a connection, serves it to its end, accepts the next."""
    listener = socket.create_server((HOST, port), backlog=BACKLOG)

    def work() -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, application)
            try:
                while connection.serve_one():
                    pass
            except (OSError, ValueError):
                pass
            finally:
                sock.close()

    for _ in range(threads):
        threading.Thread(target=work, daemon=True).start()
    threading.Event().wait()


def plain_poller(application: Application, port: int, threads: int) -> None:
    """One thread polls and accepts; a readable connection goes to the pool for one request, then back."""
    listener = socket.create_server((HOST, port), backlog=BACKLOG)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    connections: dict[int, Connection] = {}
    once = select.EPOLLIN | select.EPOLLONESHOT

    def work(number: int, connection: Connection) -> None:
        try:
            keep = connection.serve_one()
            while keep and connection.pipelined():
                keep = connection.serve_one()
        except (OSError, ValueError):
            keep = False
        if keep:
            poller.modify(number, once)
        else:
            del connections[number]
            connection.socket.close()

    with ThreadPoolExecutor(threads) as pool:
        while True:
            for number, _ in poller.poll():
                if number != listener.fileno():
                    pool.submit(work, number, connections[number])
                    continue
                try:
                    sock, _ = listener.accept()
                except OSError:
                    continue
                sock.setblocking(True)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[sock.fileno()] = Connection(sock, application)
                poller.register(sock.fileno(), once)


# Runners of peers. Each imports its server when it is called, and patches before the application is imported.


Certificate = tuple[str, str] | None
"""The chain and its key, where TLS is spoken."""


def run_bjoern(name: str, port: int, threads: int, certificate: Certificate) -> None:
    importlib.import_module("bjoern").run(load(name), HOST, port)


def run_cheroot(name: str, port: int, threads: int, certificate: Certificate) -> None:
    wsgi = importlib.import_module("cheroot.wsgi")
    server = wsgi.Server(
        (HOST, port), load(name), numthreads=threads, max=threads, request_queue_size=BACKLOG
    )
    server.timeout = 600
    if certificate is not None:
        adapter = importlib.import_module("cheroot.ssl.builtin").BuiltinSSLAdapter
        server.ssl_adapter = adapter(*certificate)
    server.keep_alive_conn_limit = MANY  # 10 by default: 54 of 64 connections would not be kept
    server.start()


def run_eventlet(name: str, port: int, threads: int, certificate: Certificate) -> None:
    eventlet = importlib.import_module("eventlet")
    eventlet.monkey_patch()
    wsgi = importlib.import_module("eventlet.wsgi")
    listener = eventlet.listen((HOST, port), backlog=BACKLOG)
    if certificate is not None:
        chain, key = certificate
        listener = eventlet.wrap_ssl(listener, certfile=chain, keyfile=key, server_side=True)
    wsgi.server(listener, load(name), log_output=False, max_size=MANY)


def run_gevent(name: str, port: int, threads: int, certificate: Certificate) -> None:
    importlib.import_module("gevent.monkey").patch_all()
    pywsgi = importlib.import_module("gevent.pywsgi")
    tls = {} if certificate is None else {"certfile": certificate[0], "keyfile": certificate[1]}
    pywsgi.WSGIServer((HOST, port), load(name), log=None, backlog=BACKLOG, **tls).serve_forever()


RUNNERS: dict[str, Callable[[str, int, int, Certificate], None]] = {
    "plain-blocking": lambda name, port, threads, _: plain_blocking(load(name), port, threads),
    "plain-poller": lambda name, port, threads, _: plain_poller(load(name), port, threads),
    "bjoern": run_bjoern,
    "cheroot": run_cheroot,
    "eventlet": run_eventlet,
    "gevent": run_gevent,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers.reference", description=__doc__)
    parser.add_argument("server", choices=sorted(RUNNERS))
    parser.add_argument("application", metavar="MODULE:CALLABLE")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--certfile")
    parser.add_argument("--keyfile")
    options = parser.parse_args()
    certificate = (options.certfile, options.keyfile) if options.certfile else None
    RUNNERS[options.server](options.application, options.port, options.threads, certificate)


if __name__ == "__main__":
    main()
