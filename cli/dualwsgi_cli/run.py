"""`dualwsgi run MODULE:CALLABLE`, as typer sees it: what may be said, and its help page."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from dualwsgi_cli.flags import Asked
from dualwsgi_cli.launch import launch
from dualwsgi_cli.options import with_options

__all__ = ["run"]


@with_options
def run(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:CALLABLE",
            envvar="DUALWSGI_APP",
            show_default=False,
            help="The application: hello:app, pkg.mod:site.wsgi or a factory, hello:make_app('prod'). "
            "A module alone: its 'application' or 'app'.",
        ),
    ] = None,
    app_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIRECTORY",
            envvar="DUALWSGI_APP_DIR",
            show_default=False,
            help="Look for the module here first. (Default .)",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Read settings from this TOML file; '' reads none. (Default ./dualwsgi.toml, else "
            "[tool.dualwsgi] of ./pyproject.toml)",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check the settings and load the application, but do not serve."),
    ] = False,
    dashboard: Annotated[
        bool,
        typer.Option("--dashboard", help="Watch the server on this terminal; see also `dualwsgi top`."),
    ] = False,
    **options: Any,
) -> None:
    """Serve a WSGI application until SIGINT or SIGTERM.

    The first signal stops accepting and lets requests in flight end; the
    second stops at once. With worker processes, HUP reloads settings and
    code, and USR2 upgrades the program, without a lost request.

    Each option is also a variable (--queue-size is DUALWSGI_QUEUE_SIZE) and
    a key of the file (queue-size = 100). A flag wins over a variable, and a
    variable over the file.
    """
    if dashboard:
        from dualwsgi_cli.dashboard import run_with_dashboard

        raise typer.Exit(run_with_dashboard([word for word in sys.argv[1:] if word != "--dashboard"]))
    launch(Asked(target, app_dir, config, options), check=check)
