"""Draws the pictures of docs/observability.md: `python dev/screenshots.py`, in a checkout.

It serves the bundled example, sends it some traffic, and exports what the dashboard draws.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.text import Text

import dualwsgi
from dualwsgi.example import app
from dualwsgi.serve.observe.snapshot import take
from dualwsgi_cli.top.model import History
from dualwsgi_cli.top.screen import Look, draw

WIDTH, HEIGHT = 100, 28
PLACE = Path(__file__).parent.parent / "docs/images"


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    history = History()
    with dualwsgi.Server(app, bind=("127.0.0.1:0",)) as server:
        url = server.addresses[0]

        def visit(path: str) -> None:
            try:
                urllib.request.urlopen(url + path, timeout=30).read()
            except OSError:
                pass

        for second in range(12):
            for number in range(20 + 10 * (second % 5)):
                visit(("/", "/hello", "/hello", "/sleep?ms=2", "/nothing")[number % 5])
            history.add([take(server)])
            time.sleep(0.6)
        slow = [threading.Thread(target=visit, args=(f"/sleep?ms={time_}",)) for time_ in (3000, 2500)]
        for thread in slow:
            thread.start()
        time.sleep(1.2)
        history.add([take(server)])
        for name, look in (
            ("requests", Look()),
            ("routes", Look(view="routes")),
            ("phases", Look(view="routes", detail="GET /sleep")),
        ):
            _export(history, look, name)
        for thread in slow:
            thread.join()


def _export(history: History, look: Look, name: str) -> None:
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=WIDTH, height=HEIGHT, file=nowhere, force_terminal=True)
        console.print(Text("\n").join(draw(history.figures(), look, WIDTH, HEIGHT)), end="")
        console.save_svg(str(PLACE / f"top-{name}.svg"), title="dualwsgi top", unique_id=f"top-{name}")


if __name__ == "__main__":
    main()
