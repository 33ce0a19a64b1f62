"""`dualwsgi top`: the dashboard of a server that is already running."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dualwsgi_cli.ctl import Socket

__all__ = ["top"]


def top(
    socket: Socket = None,
    interval: Annotated[
        float, typer.Option(min=0.05, max=60.0, metavar="SECONDS", help="Time between two frames.")
    ] = 0.25,
    lines: Annotated[
        bool, typer.Option("--lines", help="Write a line a second instead of drawing a screen.")
    ] = False,
) -> None:
    """Watch a running server: its requests, routes and workers, and where a stuck request is."""
    from dualwsgi.serve.observe.client import PATIENCE
    from dualwsgi_cli.top.feed import Feed
    from dualwsgi_cli.top.loop import Dashboard, can_draw, write_lines

    feed = Feed(socket, interval)
    try:
        feed.came.wait(PATIENCE + 1.0)  # a server that stands still has said so then
        if not feed.seen:
            print(
                f"dualwsgi: {feed.error or 'no server has answered'}; "
                "start one with `dualwsgi run`, or name its control socket with --attach",
                file=sys.stderr,
            )
            raise typer.Exit(1)
        if lines or not can_draw():
            write_lines(feed, max(interval, 1.0))
        else:
            Dashboard(feed, interval).run()
    except KeyboardInterrupt:
        pass
    finally:
        feed.close()
