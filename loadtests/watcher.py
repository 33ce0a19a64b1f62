"""Watches a server as `dualwsgi top` does: reads its snapshots four times a second, or draws them, too.

python -m loadtests.watcher SOCKET             a dashboard without a screen
python -m loadtests.watcher SOCKET --draw      `dualwsgi top` on a terminal of 200 by 50 that nobody sees

Says WATCHING once it does, so that nobody takes its start for what it costs.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios

from dualwsgi.serve.observe.client import attach

EVERY = 0.25
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


if __name__ == "__main__":
    (draw if "--draw" in sys.argv else read)(sys.argv[1])
