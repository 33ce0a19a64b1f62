"""A small soak: clients that vanish, stall, half-close and reset leave nothing behind."""

from __future__ import annotations

import gc
import os
import random
import socket
import struct

from greenlet import greenlet

from dualwsgi import green
from dualwsgi.green import Hub, Timeout
from dualwsgi.green import socket as gsocket


def test_no_greenlet_descriptor_or_timer_is_left_after_clients_vanish(hub: Hub) -> None:
    rng = random.Random(7)
    gc.collect()
    descriptors, watched = len(os.listdir("/proc/self/fd")), set(hub.descriptors)
    before = sum(isinstance(thing, greenlet) for thing in gc.get_objects())
    listener = gsocket.create_server(("127.0.0.1", 0), backlog=512)
    served = 0

    def serve(sock: socket.socket) -> None:
        nonlocal served
        with sock:
            sock.settimeout(0.05)
            try:
                with Timeout(0.2, False):
                    while data := sock.recv(1000):
                        sock.sendall(data * 100)
            except OSError:
                pass
            served += 1

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            green.spawn(serve, sock)

    acceptor = green.spawn(accept)

    def client(n: int) -> None:
        sock = gsocket.create_connection(listener.getsockname(), timeout=10)
        way = n % 6
        try:
            sock.sendall(b"x" * rng.randrange(1, 3000))
            if way == 0:  # reset
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif way == 1:  # half-closed
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            elif way == 2:  # stalls: neither reads nor closes
                sock.sendall(b"y" * 20_000)
                green.sleep(0.1)
            elif way == 3:  # killed in the middle
                with Timeout(rng.random() * 0.01, False):
                    while True:
                        sock.recv(10)
            elif way == 4:  # closed by another
                green.spawn_after(0.002, sock.close)
                sock.recv(1 << 20)
                sock.recv(1 << 20)
            else:
                sock.recv(10)
        except OSError:
            pass
        finally:
            sock.close()

    total = 600
    pool = green.Pool(60)
    for n in range(total):
        pool.spawn(client, n)
    assert pool.join(30)
    with Timeout(10):
        while served < total:
            green.sleep(0.01)
    acceptor.kill()
    listener.close()
    green.sleep(0.005)
    del pool, acceptor
    gc.collect()
    assert hub.timers == 0
    assert set(hub.descriptors) == watched
    assert len(os.listdir("/proc/self/fd")) == descriptors
    left = sum(isinstance(thing, greenlet) for thing in gc.get_objects()) - before
    assert left <= 2, f"{left} greenlets"
    assert not [one for one in hub.greenlets if isinstance(one, green.GreenThread)]
