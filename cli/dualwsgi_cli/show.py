"""`dualwsgi config`: every setting as it would hold for `run`, and where each came from.

What it prints is a `dualwsgi.toml` that says the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dualwsgi.config import ENV_PREFIX, Config, knobs, read_environ
from dualwsgi.errors import ConfigError
from dualwsgi.serve.configfile import find_file, open_file
from dualwsgi_cli.flags import settings
from dualwsgi_cli.launch import as_written, refuse_config
from dualwsgi_cli.options import with_options
from dualwsgi_cli.written import toml_line

__all__ = ["show_config"]


@with_options
def show_config(
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", show_default=False, help="The file to read, as for `run`."),
    ] = None,
    only_set: Annotated[bool, typer.Option("--only-set", help="Leave out what is at its default.")] = False,
    **options: Any,
) -> None:
    """Print the settings that `run` would use here, each with where it comes from.

    The output is a dualwsgi.toml that says the same. It takes the options of `run`.
    """
    path = None
    try:
        path = find_file(os.environ, config)
        file = open_file(path) if path is not None else None
        written = file.settings() if file is not None else {}
        target = file.target if file is not None else {}
        spoken = settings(options)
        made = Config(**written | read_environ(os.environ) | spoken)
    except ConfigError as error:
        refuse_config(error, as_written(error, options, path))
    lines = [(toml_line(name, value), str(path)) for name, value in target.items()]
    for name, knob in knobs().items():
        origin = _origin(name, spoken, written, str(path))
        if origin or not only_set:
            shown = "***" if getattr(knob, "secret", False) and getattr(made, name) else getattr(made, name)
            lines.append((toml_line(name, shown), origin or "default"))
    width = min(48, max((len(line) for line, _ in lines), default=0))
    for line, origin in lines:
        typer.echo(f"{line:<{width}}  # {origin}")


def _origin(name: str, spoken: Mapping[str, Any], written: Mapping[str, Any], path: str) -> str:
    """Who set this field; "" if nobody did."""
    variable = ENV_PREFIX + name.upper()
    if name in spoken:
        return "flag"
    if name in read_environ({key: os.environ[key] for key in (variable,) if key in os.environ}):
        return variable
    return path if name in written else ""
