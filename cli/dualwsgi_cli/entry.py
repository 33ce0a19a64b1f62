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


def main() -> None:
    """Run the command line; the arguments are `sys.argv`, the exit is SystemExit."""
    if wants_patch(sys.argv[1:], os.environ):
        from dualwsgi.green import patch

        patch()

    from dualwsgi_cli.app import app

    app()


def wants_patch(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether these arguments run an application on green, patched; flags win over variables."""
    if not arguments or arguments[0] != "run":
        return False
    backend = environ.get("DUALWSGI_BACKEND", "").strip().lower()
    patch = environ.get("DUALWSGI_PATCH", "").strip().lower() not in ("0", "false", "no", "off")
    previous = ""
    for argument in arguments[1:]:
        if argument == "--":
            break
        if previous == "--backend":
            backend = argument.strip().lower()
        elif argument.startswith("--backend="):
            backend = argument.removeprefix("--backend=").strip().lower()
        elif argument in ("--patch", "--no-patch"):
            patch = argument == "--patch"
        previous = argument
    return patch and backend == "green"
