"""OpenStack Swift's object server, unchanged, with its own protocol classes."""

import os
import sys

from dualwsgi import eventlet as ours

ours.install()

import eventlet  # noqa: E402

if eventlet.BACKEND == "green":
    eventlet.monkey_patch()

from eventlet import wsgi  # noqa: E402
from eventlet.green import socket  # noqa: E402
from eventlet.green.http import client  # noqa: E402
from swift.common.utils import get_logger  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, SwiftHttpProxiedProtocol  # noqa: E402
from swift.obj.server import ObjectController  # noqa: E402

devices = sys.argv[1]
os.makedirs(f"{devices}/sda1/tmp")
app = ObjectController({"devices": devices, "mount_check": "false", "swift_dir": devices})
BODY = b"swift" * 5000
OBJECT = "/sda1/0/a/c/o"


def serve(protocol):
    sock, told = eventlet.listen(("127.0.0.1", 0)), eventlet.Event()
    options = {
        "custom_pool": eventlet.GreenPool(10),
        "protocol": protocol,
        "keepalive": 5,
        "socket_timeout": 5,
        "capitalize_response_headers": False,
        "server_event": told,
    }
    logger = get_logger({}, log_route="wsgi")
    return sock.getsockname(), eventlet.spawn(wsgi.server, sock, app, logger, **options), told.wait()


def speak(conn):
    conn.request(
        "PUT",
        OBJECT,
        body=iter([BODY[:7000], BODY[7000:]]),
        headers={"X-Timestamp": "1500000000.00001", "Content-Type": "a/b", "Expect": "100-continue"},
        encode_chunked=True,
    )
    answer = conn.getresponse()
    assert answer.status == 201, (answer.status, answer.read())
    answer.read()
    for method, stamp, status, body in (
        ("GET", "", 200, BODY),
        ("HEAD", "", 200, b""),
        ("DELETE", "1500000001.00001", 204, b""),
        ("GET", "", 404, None),
    ):
        conn.request(method, OBJECT, headers={"X-Timestamp": stamp} if stamp else {})
        answer = conn.getresponse()
        found = answer.read()
        assert (answer.status, found) == (status, found if body is None else body), method
    conn.close()


address, thread, server = serve(SwiftHttpProtocol)
speak(client.HTTPConnection(*address, timeout=10))
assert server.stop(5)
thread.wait()

address, thread, server = serve(SwiftHttpProxiedProtocol)
with socket.create_connection(address) as conn:
    conn.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 80\r\nGET /sda1/0/a/c/o HTTP/1.1\r\nHost: x\r\n\r\n")
    assert conn.recv(4096).startswith(b"HTTP/1.1 404 Not Found\r\n")
with socket.create_connection(address) as conn:
    conn.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 400 " in conn.recv(4096).partition(b"\r\n")[0]
assert server.stop(5)
thread.wait()
print("pass")
