"""The command line, called within this process.

typer makes a command anew, with all of its options, for every call of a test, which takes some twenty
times as long as the call itself; a process makes it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import typer.testing
from typer.testing import CliRunner, Result

from dualwsgi_cli.app import app

__all__ = ["Result", "call", "commands"]

_made = typer.testing._get_command = cache(typer.testing._get_command)


def call(arguments: Sequence[str], environ: Mapping[str, str | None] | None = None) -> Result:
    """What `dualwsgi` with these arguments does and says; of `environ` None takes a variable away."""
    return CliRunner().invoke(app, arguments, env=environ, prog_name="dualwsgi")


def commands() -> list[str]:
    """Every command of the command line, and those below it."""

    def below(command: Any, path: str) -> list[str]:
        found = getattr(command, "commands", {})
        return [path, *(name for one in found for name in below(found[one], f"{path} {one}".strip()))]

    return below(_made(app), "")
