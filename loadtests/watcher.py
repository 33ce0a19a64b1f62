"""Watches a server as `dualwsgi top` does: reads its snapshots four times a second, or worse.

python -m loadtests.watcher SOCKET             a dashboard without a screen
python -m loadtests.watcher SOCKET --draw      `dualwsgi top` on a terminal of 200 by 50 that nobody sees
python -m loadtests.watcher SOCKET --stall     four that ask for twenty snapshots a second and read none
python -m loadtests.watcher SOCKET --die       four that read; ten times a second one is killed

Says WATCHING once it does, so that nobody takes its start for what it costs.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import sys
import termios
import threading
from time import sleep

from dualwsgi.serve.observe.client import attach

EVERY = 0.25
OFTEN = 0.05
VIEWERS = 4
DEATH_EVERY = 0.1
WATCHING = "watching"
FIRST_SCREEN = 4000
"""Octets after which the first screen is drawn, more or less."""


def read(path: str) -> None:
    with attach(path) as server:
        for number, _ in enumerate(server.stream(EVERY)):
            if not number:
                print(WATCHING, flush=True)


def draw(path: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        command = [sys.executable, "-m", "dualwsgi", "top", "--attach", path, "--interval", str(EVERY)]
        os.execv(sys.executable, command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    drawn = 0
    while data := os.read(terminal, 1 << 16):  # it ends with this process, whose terminal it is
        if drawn < FIRST_SCREEN <= drawn + len(data):
            print(WATCHING, flush=True)
        drawn += len(data)


def stall(path: str) -> None:
    full = [threading.Event() for _ in range(VIEWERS)]
    for one in full:
        threading.Thread(target=_stall, args=(path, one), daemon=True).start()
    for one in full:
        one.wait()
    print(WATCHING, flush=True)
    signal.pause()


def _stall(path: str, full: threading.Event) -> None:
    """Stalls again and again: a server cuts off who does."""
    while True:
        with socket.socket(socket.AF_UNIX) as viewer:
            viewer.connect(path)
            viewer.sendall(json.dumps({"do": "stream", "every": OFTEN}).encode() + b"\n")
            before = -1
            while (unread := _unread(viewer)) != before or not unread:
                before = unread
                sleep(10 * OFTEN)
            full.set()
            poll = select.poll()
            poll.register(viewer, 0)
            poll.poll()


def _unread(sock: socket.socket) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))
    return int(count)


def die(path: str) -> None:
    viewers = [_mortal(path) for _ in range(VIEWERS)]
    print(WATCHING, flush=True)
    while True:
        sleep(DEATH_EVERY)
        oldest = viewers.pop(0)
        os.kill(oldest, signal.SIGKILL)
        os.waitpid(oldest, 0)
        viewers.append(_mortal(path))


def _mortal(path: str) -> int:
    """A viewer in a process of its own, that ends with this one at the latest."""
    pid = os.fork()
    if pid:
        return pid
    parent = os.getppid()
    try:
        with attach(path) as server:
            for _ in server.stream(EVERY):
                if os.getppid() != parent:
                    break
    finally:
        os._exit(0)


if __name__ == "__main__":
    act = {"--draw": draw, "--stall": stall, "--die": die}.get("".join(sys.argv[2:]), read)
    act(sys.argv[1])
