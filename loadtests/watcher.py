"""A dashboard without a screen: reads a server's snapshots four times a second, as `dualwsgi top` does."""

from __future__ import annotations

import sys

from dualwsgi.serve.observe.client import attach

if __name__ == "__main__":
    with attach(sys.argv[1]) as server:
        for _ in server.stream(0.25):
            pass
