"""Where the `dualwsgi` command begins: patch first, import the rest after.

On green the standard library is made cooperative, which holds only for what is imported later:
so the backend is read off the arguments and the environment here, before typer, rich, logging or
the application come in.  A value that makes no sense is passed over; the command refuses it later,
with a proper message.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

__all__ = ["main", "wants_patch"]

NO = ("0", "false", "no", "off")


def main() -> None:
    """Run the command line; the arguments are `sys.argv`, the exit is SystemExit."""
    if wants_patch(sys.argv[1:], os.environ):
        from dualwsgi.green import patch

        patch()

    from dualwsgi_cli.app import app

    app()


def wants_patch(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether these arguments run an application on green, patched; flags win over variables, and
    variables over a file."""
    if not arguments or arguments[0] != "run":
        return False
    backend = environ.get("DUALWSGI_BACKEND", "").strip().lower()
    spoken = environ.get("DUALWSGI_PATCH", "").strip().lower()
    patch = spoken not in NO if spoken else None
    file = None
    previous = ""
    for argument in arguments[1:]:
        if argument == "--":
            break
        if previous == "--backend":
            backend = argument.strip().lower()
        elif argument.startswith("--backend="):
            backend = argument.removeprefix("--backend=").strip().lower()
        elif previous == "--config":
            file = argument
        elif argument.startswith("--config="):
            file = argument.removeprefix("--config=")
        elif argument in ("--patch", "--no-patch"):
            patch = argument == "--patch"
        previous = argument
    if patch is False or backend == "threads":
        return False  # whatever a file says
    if not backend or patch is None:
        told = _told_by_file(environ, file)
        backend = backend or str(told.get("backend", "")).strip().lower()
        if patch is None:
            patch = str(told.get("patch", "")).strip().lower() not in NO
    return patch and backend == "green"


def _told_by_file(environ: Mapping[str, str], named: str | None) -> Mapping[str, object]:
    """What a configuration file says, unchecked; nothing if there is none or it cannot be read."""
    from dualwsgi.errors import ConfigError
    from dualwsgi.serve.configfile import find_file, open_file

    path = find_file(environ, named)
    try:
        return open_file(path).table if path is not None else {}
    except ConfigError:
        return {}
