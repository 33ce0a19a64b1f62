"""Nothing is patched, so what waits natively keeps all others waiting on green."""

import queue
import socket
import subprocess
import time
from urllib.request import urlopen

import eventlet
from eventlet.green import time as green_time

items = queue.Queue()  # doctor: no-patch


def work(url):
    time.sleep(1)  # doctor: no-patch
    green_time.sleep(1)
    eventlet.sleep(1)
    with socket.create_connection(("localhost", 80)) as conn:  # doctor: no-patch
        conn.sendall(b"x")
    subprocess.run(["true"], check=True)  # doctor: no-patch
    return urlopen(url).read()  # doctor: no-patch


eventlet.spawn(work, "http://localhost/")
