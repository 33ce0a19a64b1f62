"""`dualwsgi run MODULE:CALLABLE`: settings, application, server, in that order.

What the operator got wrong ends here: one message on standard error, exit code 2.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from dualwsgi._version import __version__
from dualwsgi.config import Config, read_environ
from dualwsgi.errors import ConfigError
from dualwsgi.serve.configfile import find_file, open_file
from dualwsgi.serve.loader import ApplicationNotLoaded, load_app
from dualwsgi_cli.options import settings, with_options

__all__ = ["run"]

EXIT_USAGE = 2

NO_TARGET = (
    'no application is named; give MODULE:CALLABLE such as hello:app, or `app = "hello:app"` in dualwsgi.toml'
)

# The most of an application's own traceback that is shown: with the message, one screen.
DETAIL_LINES = 30


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
            "\\[tool.dualwsgi] of ./pyproject.toml)",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check the settings and load the application, but do not serve."),
    ] = False,
    **options: Any,
) -> None:
    """Serve a WSGI application until SIGINT or SIGTERM.

    The first signal stops accepting and lets requests in flight end; the second stops at once.

    Each option is also read from the environment (--queue-size from DUALWSGI_QUEUE_SIZE, and so
    on) and from a file (queue-size = 100). A flag wins over a variable, a variable over the file.
    """
    try:
        path = find_file(os.environ, config)
        file = open_file(path) if path is not None else None
        told = file.target if file is not None else {}
        target = target or told.get("app")
        if target is None:
            raise ConfigError(NO_TARGET)
        written = file.settings() if file is not None else {}
        made = Config(**written | read_environ(os.environ) | settings(options))
        app = load_app(target, app_dir or told.get("app_dir"))
        set_up_log(made.log_level)

        from dualwsgi.serve.server import Server  # late: a mistake in the arguments is told without it

        server = Server(app, made)
        if check:
            print(f"dualwsgi: {target} can be served; settings: {path or 'no file'}", file=sys.stderr)
            return
        server.start()
    except ConfigError as error:
        refuse(error)

    def announce() -> None:
        if made.log_level in ("debug", "info"):
            print(start_line(target, made, server.addresses), file=sys.stderr, flush=True)

    server.serve_forever(announce)


def refuse(error: ConfigError) -> NoReturn:
    """Say what is wrong, without our own traceback, and exit with code 2."""
    if isinstance(error, ApplicationNotLoaded):
        lines = error.detail.splitlines()
        if len(lines) > DETAIL_LINES:
            lines = [f"... {len(lines) - DETAIL_LINES} lines above ...", *lines[-DETAIL_LINES:]]
        print("\n".join(lines), file=sys.stderr)
    print(f"dualwsgi: {error}", file=sys.stderr)
    raise typer.Exit(EXIT_USAGE)


def start_line(target: str, config: Config, addresses: Sequence[str]) -> str:
    """What is served where, by what; one line."""
    calls = config.threads if config.backend == "threads" else config.concurrency
    return (
        f"dualwsgi {__version__} serves {target} at {' and '.join(addresses)} on {config.backend}, "
        f"up to {calls} calls at once (pid {os.getpid()}, Ctrl-C stops it)"
    )


def set_up_log(level: str) -> None:
    """Send the library's log to standard error, or to wherever the application sends its own.

    To be called when the application is loaded: it may have set up logging, and `dictConfig` puts
    every logger that exists before it out of service unless told not to.
    """
    logger = logging.getLogger("dualwsgi")
    logger.disabled = False
    logger.setLevel(level.upper())
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
