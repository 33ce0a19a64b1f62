"""python-engineio in its eventlet mode, unchanged: long polling, and a WebSocket of its own making."""

import json

from dualwsgi import eventlet as ours

ours.install()

import engineio  # noqa: E402
import eventlet  # noqa: E402
from eventlet import wsgi  # noqa: E402
from eventlet.green import socket  # noqa: E402
from eventlet.green.urllib import request  # noqa: E402

server = engineio.Server(async_mode="eventlet", monitor_clients=False)


@server.on("message")
def message(sid, data):
    server.send(sid, data)


sock, told = eventlet.listen(("127.0.0.1", 0)), eventlet.Event()
address = sock.getsockname()
app = engineio.WSGIApp(server)
thread = eventlet.spawn(wsgi.server, sock, app, log_output=False, server_event=told)
base = f"http://127.0.0.1:{address[1]}/engine.io/?EIO=4&transport=polling"


def ask(url, data=None):
    with request.urlopen(url, data, timeout=10) as answer:
        return answer.read()


sid = json.loads(ask(base)[1:])["sid"]
assert ask(f"{base}&sid={sid}", b"4polled") == b"OK"
assert ask(f"{base}&sid={sid}") == b"4polled"

with socket.create_connection(address) as conn:
    conn.sendall(
        b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    said = b""
    while b'"sid"' not in said:
        said += conn.recv(4096)
    assert said.startswith(b"HTTP/1.1 101 ")
    conn.sendall(b"\x81\x85\0\0\0\0" + b"4talk")
    while not said.endswith(b"\x81\x054talk"):
        piece = conn.recv(4096)
        assert piece, said
        said += piece
told.wait().stop(5)
thread.wait()
print("pass")
