"""The commands, as typer sees them: `run`, `compare`, `top`, `ctl`, `config`, `doctor`, `migrate`."""

from __future__ import annotations

import sys
from importlib import import_module
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

COMMANDS = {
    "run": "run:run",
    "ctl": "ctl:ctl",
    "top": "top.command:top",
    "compare": "compare:compare",
    "config": "show:show_config",
    "doctor": "doctor:doctor",
    "migrate": "migration.command:migrate",
}
"""Where each is written, in this package."""

# Who names a command gets that alone: what the others need is not imported, and none of their options made.
for name in COMMANDS.keys() & sys.argv[1:2] or COMMANDS:
    module, _, attribute = COMMANDS[name].partition(":")
    command = getattr(import_module(f"dualwsgi_cli.{module}"), attribute)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name, cls=Command)(command)


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
