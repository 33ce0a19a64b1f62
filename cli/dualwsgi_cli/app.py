"""The commands, as typer sees them: `run`, `compare`, `top`, `ctl`, `config`, `doctor`, `migrate`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dualwsgi._version import __version__
from dualwsgi_cli.helppage import Command, Group

__all__ = ["app"]

app = typer.Typer(
    name="dualwsgi",
    cls=Group,
    no_args_is_help=True,
    # A traceback is for whoever mends this program, who wants it plain; operators get one line.
    pretty_exceptions_enable=False,
)

COMMANDS = ("run", "ctl", "top", "compare", "config", "doctor", "migrate")

# Who names a command gets that alone: what the others need is not imported, and none of their options made.
_named = next((name for name in COMMANDS if sys.argv[1:2] == [name]), None)


def _is_wanted(name: str) -> bool:
    return _named in (None, name)


if _is_wanted("run"):
    from dualwsgi_cli.run import run

    app.command("run", cls=Command)(run)
if _is_wanted("ctl"):
    from dualwsgi_cli.ctl import ctl

    app.add_typer(ctl, name="ctl")
if _is_wanted("top"):
    from dualwsgi_cli.top.command import top

    app.command("top", cls=Command)(top)
if _is_wanted("compare"):
    from dualwsgi_cli.compare import compare

    app.command("compare", cls=Command)(compare)
if _is_wanted("config"):
    from dualwsgi_cli.show import show_config

    app.command("config", cls=Command)(show_config)
if _is_wanted("doctor"):
    from dualwsgi_cli.doctor import doctor

    app.command("doctor", cls=Command)(doctor)
if _is_wanted("migrate"):
    from dualwsgi_cli.migration.command import migrate

    app.command("migrate", cls=Command)(migrate)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dualwsgi {__version__}")
        raise typer.Exit


@app.callback()
def dualwsgi(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A WSGI server that runs one application on OS threads or on greenlets."""
