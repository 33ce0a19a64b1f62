"""Applications as eventlet's users write them; run in a process of their own (kit/annexe_process.py)."""

from __future__ import annotations

import os
import sys
from typing import Any

from dualwsgi import eventlet
from dualwsgi.eventlet import hubs, tpool, websocket, wsgi

NOTES: list[Any] = []
PLAIN = [("Content-Type", "text/plain")]
GATE = eventlet.Event()


# From eventlet's documentation


def hello_world(env: Any, start_response: Any) -> Any:
    if env["PATH_INFO"] != "/":
        start_response("404 Not Found", PLAIN)
        return ["Not Found\r\n"]
    start_response("200 OK", PLAIN)
    return ["Hello, World!\r\n"]


def hook(env: Any, arg1: Any, arg2: Any, kwarg3: Any = None, kwarg4: Any = None) -> None:
    NOTES.append(["hook", env["PATH_INFO"], arg1, arg2, kwarg3, kwarg4])


def with_hook(env: Any, start_response: Any) -> Any:
    env["eventlet.posthooks"].append((hook, ("arg1", "arg2"), {"kwarg3": 3, "kwarg4": 4}))
    if env["PATH_INFO"] == "/fails":
        raise RuntimeError("intentional")
    start_response("200 OK", PLAIN)
    if env["PATH_INFO"] == "/slow":
        return slowly(env)
    return [b"ok"]


def slowly(env: Any) -> Any:
    env["eventlet.minimum_write_chunk_size"] = 0
    for _ in range(400):
        yield b"x" * 65536
        eventlet.sleep(0.001)


def continue_headers(env: Any, start_response: Any) -> Any:
    env["wsgi.input"].set_hundred_continue_response_headers([("X-First", "1"), ("x-second-k", "2")])
    data = env["wsgi.input"].read()
    start_response("200 OK", PLAIN)
    return [data]


def several_continues(env: Any, start_response: Any) -> Any:
    body = env["wsgi.input"]
    sizes = [5, 6] if "CONTENT_LENGTH" in env else [None, None]
    body.set_hundred_continue_response_headers([("X-Part", "1")])
    data = body.read(sizes[0])
    body.set_hundred_continue_response_headers([("X-Part", "2")])
    body.send_hundred_continue_response()
    data += body.read(sizes[1])
    start_response("200 OK", PLAIN)
    return [data]


# What the contract says


def environ(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    lines = [f"{key}={value!r}" for key, value in sorted(env.items())]
    return ["\n".join(lines).encode("latin-1", "backslashreplace")]


def echo(env: Any, start_response: Any) -> Any:
    data = env["wsgi.input"].read()
    start_response("200 OK", PLAIN)
    return [data]


def reads_part(env: Any, start_response: Any) -> Any:
    data = env["wsgi.input"].read(4)
    start_response("200 OK", PLAIN)
    return [data]


def reads_nothing(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return [b"unread"]


def by_lines(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    body = env["wsgi.input"]
    return [repr([body.readline(), body.readline(3), body.readlines(), body.read()]).encode()]


def by_iteration(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return [repr(list(env["wsgi.input"])).encode()]


def by_writes(env: Any, start_response: Any) -> Any:
    write = start_response("200 OK", PLAIN)
    write(b"one")
    write(b"two")
    return [b"three"]


def in_pieces(env: Any, start_response: Any) -> Any:
    minimum = env.get("QUERY_STRING", "")
    if minimum:
        env["eventlet.minimum_write_chunk_size"] = int(minimum)
    start_response("200 OK", PLAIN)
    return iter([b"a" * 3000, b"", b"b" * 3000, b"c" * 10])


def odd_headers(env: Any, start_response: Any) -> Any:
    start_response("200 oK", [("x-wEIRd", 5), ("wiTH-\xdf", "v\xe9"), ("etag", "a")])
    return [b""]


def injects(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [("X-A", "b\r\nX-Injected: yes")])
    return [b""]


def not_latin(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [("X-A", "\u2603")])
    return [b""]


def answers_twice(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    start_response("202 Accepted", PLAIN)
    return [b"second"]


def fails(env: Any, start_response: Any) -> Any:
    raise RuntimeError("intentional")


def times_out(env: Any, start_response: Any) -> Any:
    raise eventlet.Timeout()


def fails_late(env: Any, start_response: Any) -> Any:
    env["eventlet.minimum_write_chunk_size"] = 0
    start_response("200 OK", PLAIN)
    yield b"some"
    raise RuntimeError("intentional")


def replaces_late(env: Any, start_response: Any) -> Any:
    env["eventlet.minimum_write_chunk_size"] = 0
    start_response("200 OK", PLAIN)
    yield b"some"
    try:
        raise ValueError("intentional")
    except ValueError:
        start_response("500 Oh", PLAIN, sys.exc_info())


class Closing:
    """An iterable that notes that it was closed."""

    def __iter__(self) -> Any:
        return iter([b"data"])

    def close(self) -> None:
        NOTES.append("closed")


def closes(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return Closing()


def takes_over(env: Any, start_response: Any) -> Any:
    sock = env["eventlet.input"].get_socket()
    sock.sendall(b"HTTP/1.1 200 Mine\r\nContent-Length: 4\r\n\r\nmine")
    wsgi.WSGI_LOCAL.already_handled = True
    return []


def returns_handled(env: Any, start_response: Any) -> Any:
    env["eventlet.input"].get_socket().sendall(b"HTTP/1.1 200 Mine\r\nContent-Length: 4\r\n\r\nmine")
    return wsgi.ALREADY_HANDLED


def asked_to_close(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [*PLAIN, ("Connection", "close")])
    return [b"bye"]


def wrong_length(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Length", env["PATH_INFO"][1:])])
    return [b"12345"]


def with_body(env: Any, start_response: Any) -> Any:
    start_response(env["PATH_INFO"][1:].replace("+", " "), [])
    return [b"content"]


def waits(env: Any, start_response: Any) -> Any:
    NOTES.append("in")
    GATE.wait(10)
    start_response("200 OK", PLAIN)
    return [b"waited"]


def idles(env: Any, start_response: Any) -> Any:
    env["eventlet.set_idle"]()
    NOTES.append("in")
    GATE.wait(10)
    start_response("200 OK", PLAIN)
    return [b"waited"]


def open_gate() -> None:
    if not GATE.ready():
        GATE.send(None)


def close_gate() -> None:
    if GATE.ready():
        GATE.reset()


def server_protocol(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return [env["SERVER_PROTOCOL"]]


def reads(env: Any, start_response: Any) -> Any:
    """Says what reading gave, or the names of what it raised."""
    try:
        said = repr(env["wsgi.input"].read())
    except Exception as error:
        said = " ".join(kind.__name__ for kind in type(error).__mro__)
    start_response("200 OK", PLAIN)
    return [said]


def inspects(env: Any, start_response: Any) -> Any:
    body = env["wsgi.input"]
    said = [body.content_length, body.chunked_input, body.should_send_hundred_continue, body.position]
    said += [body.read(2), body.position]
    body.discard()
    said += [body.read(), body.headers_sent]
    start_response("200 OK", PLAIN)
    return [repr(said)]


def by_some_lines(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return [repr(env["wsgi.input"].readlines(5))]


def eager(env: Any, start_response: Any) -> Any:
    env["eventlet.minimum_write_chunk_size"] = 0
    start_response("202 Accepted", PLAIN)
    yield b" "
    yield env["wsgi.input"].read()


def own_timeout(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return [repr(env["eventlet.input"].get_socket().gettimeout())]


def clobbers(env: Any, start_response: Any) -> Any:
    for key in env:
        if key.isupper() or key.startswith("wsgi."):
            env[key] = None
    start_response("200 OK", PLAIN)
    return []


def lower_case(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [("content-length", "2")])
    return [b"ok"]


RESULTS = {
    "/bytes": lambda: b"ab",
    "/no-bytes": lambda: b"",
    "/text": lambda: "ab",
    "/no-ascii": lambda: ["\xe9"],
    "/empty": list,
    "/nothing": lambda: iter(()),
}


def returns(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return RESULTS[env["PATH_INFO"]]()


def hops(env: Any, start_response: Any) -> Any:
    start_response(
        "200 OK", [("Transfer-Encoding", "x"), ("Keep-Alive", "x"), ("Upgrade", "x"), ("X-A", "b")]
    )
    return [b"ok"]


def in_big_pieces(env: Any, start_response: Any) -> Any:
    start_response("200 OK", PLAIN)
    return iter([b"a" * 8192] * 10)


def times_out_late(env: Any, start_response: Any) -> Any:
    env["eventlet.minimum_write_chunk_size"] = 1
    start_response("200 OK", [*PLAIN, ("Content-Length", "13")])
    yield b"partial "
    raise eventlet.Timeout()


class Odd(BaseException):
    """No Exception, and none of Python's."""


ENDS = {each.__name__: each for each in (KeyboardInterrupt, SystemExit, eventlet.greenlet.GreenletExit, Odd)}


def raises(env: Any, start_response: Any) -> Any:
    name = env["PATH_INFO"][1:]
    if name in ENDS:
        env["eventlet.posthooks"].append((note, (name,), {}))
        raise ENDS[name]("intentional")
    start_response("200 OK", PLAIN)
    return [b"ok"]


def note(env: Any, what: str) -> None:
    NOTES.append(what)


def replaces_hooks(env: Any, start_response: Any) -> Any:
    env["eventlet.posthooks"] = [(note, ("hook",), {})]
    start_response("200 OK", PLAIN)
    return ["ok"]


def close_under_the_server(env: Any, sock: Any) -> None:
    fd = sock.detach()
    hubs.notify_close(fd)
    os.close(fd)


def loses_its_socket(env: Any, start_response: Any) -> Any:
    env["eventlet.posthooks"].append((close_under_the_server, (env["eventlet.input"].get_socket(),), {}))
    start_response("200 OK", PLAIN)
    return ["ok"]


in_a_real_thread = tpool.Proxy(hello_world)


# Pools


class Pool:
    """As little of a pool as a server may be given."""

    def __init__(self) -> None:
        self.threads: list[Any] = []

    def spawn(self, function: Any, *args: Any) -> Any:
        NOTES.append(["spawned", len(args)])
        self.threads.append(eventlet.spawn(function, *args))
        return self.threads[-1]

    def waitall(self) -> None:
        for thread in self.threads:
            thread.wait()


# Protocols


class Tolerant(wsgi.HttpProtocol):
    reject_bad_requests = False


class Own(wsgi.HttpProtocol):
    """Overrides what programs override."""

    def get_environ(self) -> Any:
        environ = super().get_environ()
        environ["own.state"] = self.conn_state[2]
        environ.setdefault("QUERY_STRING", "")
        return environ

    def log_message(self, format: str, *args: Any) -> None:
        NOTES.append(format % args)


class Parsing(wsgi.HttpProtocol):
    """Parses by itself, as some do: the head still passes the server's own parser."""

    def parse_request(self) -> bool:
        import http.client

        line = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        self.requestline = line
        self.command, self.path, self.request_version = line.split(" ")
        self.close_connection = False
        self.headers = http.client.parse_headers(self.rfile, _class=self.MessageClass)
        return True


class Proxied(wsgi.HttpProtocol):
    """Expects a PROXY line first."""

    def handle(self) -> None:
        line = self.rfile.readline(self.server.url_length_limit)
        if not line.startswith(b"PROXY TCP4 "):
            self.command = "PROXY"
            self.request_version = "HTTP/1.0"
            self.requestline = "PROXY"
            self.send_error(400, "Invalid PROXY line")
            return
        self.client_address = (line.split()[2].decode(), line.split()[4].decode())
        super().handle()

    def get_environ(self) -> Any:
        environ = super().get_environ()
        environ["REMOTE_ADDR"] = self.client_address[0]
        return environ


class Logger:
    """A logger, as far as eventlet asks of one."""

    def info(self, message: str, *args: Any) -> None:
        NOTES.append(["info", message % args if args else message])

    def debug(self, message: str, *args: Any) -> None:
        NOTES.append(["debug", message % args if args else message])

    error = info


LOGGER = Logger()


# WebSocket


def converse(ws: Any) -> None:
    NOTES.append(["opened", ws.path, ws.protocol])
    while (message := ws.wait()) is not None:
        ws.send(message)
    NOTES.append(["closed", ws.remote_close_data])


def dated(env: Any, start_response: Any) -> Any:
    start_response("200 OK", [("date", "Thu, 01 Jan 1970 00:00:00 GMT")])
    return [b""]


def with_bad_hook(env: Any, start_response: Any) -> Any:
    env["eventlet.posthooks"].append((int, ("x",), {}))
    start_response("200 OK", PLAIN)
    return [b"ok"]


def serve_in_no_pool() -> str:
    """What a pool without waitall() gets."""
    sock = eventlet.listen(("127.0.0.1", 0))
    try:
        wsgi.server(sock, hello_world, custom_pool=object(), log_output=False)
    except AttributeError as error:
        return str(error)
    finally:
        sock.close()
    return "served"


def accept(state: bool) -> None:
    wsgi.is_accepting = state


def in_a_generator(env: Any, start_response: Any) -> Any:
    yield from old_websockets(env, start_response)


old_websockets = websocket.WebSocketWSGI(converse, max_frame_length=1000)
websockets = websocket.WebSocketWSGI.configured(converse, supported_protocols=["chat"])
