"""The commands, as typer sees them: `dualwsgi --version`, `dualwsgi run`."""

from __future__ import annotations

from typing import Annotated

import typer

from dualwsgi._version import __version__
from dualwsgi_cli.run import run

__all__ = ["app"]

app = typer.Typer(
    name="dualwsgi",
    no_args_is_help=True,
    # A traceback is for whoever mends this program, who wants it plain; operators get one line.
    pretty_exceptions_enable=False,
)
app.command("run")(run)


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
