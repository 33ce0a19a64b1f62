"""The commands, as typer sees them: `run`, `compare`, `top`, `ctl`, `config`, `doctor`, `migrate`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dualwsgi._version import __version__
from dualwsgi_cli.helppage import Command, Group
from dualwsgi_cli.run import run

__all__ = ["app"]

app = typer.Typer(
    name="dualwsgi",
    cls=Group,
    no_args_is_help=True,
    # A traceback is for whoever mends this program, who wants it plain; operators get one line.
    pretty_exceptions_enable=False,
)
app.command("run", cls=Command)(run)

# What a plain `run` does not need is not imported for it.
if sys.argv[1:2] != ["run"]:
    from dualwsgi_cli.compare import compare
    from dualwsgi_cli.ctl import ctl
    from dualwsgi_cli.doctor import doctor
    from dualwsgi_cli.migration.command import migrate
    from dualwsgi_cli.show import show_config
    from dualwsgi_cli.top.command import top

    app.add_typer(ctl, name="ctl")
    app.command("top", cls=Command)(top)
    app.command("compare", cls=Command)(compare)
    app.command("config", cls=Command)(show_config)
    app.command("doctor", cls=Command)(doctor)
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
