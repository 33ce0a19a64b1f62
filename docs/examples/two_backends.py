"""One application on both backends at once, in one process, at two addresses.

python docs/examples/two_backends.py
"""

import signal
import threading

import dualwsgi
from dualwsgi.example import app


def start():
    return [dualwsgi.Server(app, bind="127.0.0.1:0", backend=name).start() for name in ("threads", "green")]


if __name__ == "__main__":
    over = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: over.set())
    servers = start()
    for server in servers:
        print(f"{server.config.backend} at {server.addresses[0]}", flush=True)
    over.wait()
    for server in servers:
        server.stop()
