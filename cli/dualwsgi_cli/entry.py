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

__all__ = ["SUPERVISED", "main", "wants_patch"]

# The settings that put a supervisor over worker processes; a test holds it to Config.supervised.
SUPERVISED = (
    *("workers", "supervise", "preload", "max_requests", "max_worker_lifetime", "max_worker_rss", "pin"),
    *("user", "group", "reload"),
)
SWITCHES = ("patch", "supervise", "preload", "pin", "reload")
NO = ("0", "false", "no", "off")


def main() -> None:
    """Run the command line; the arguments are `sys.argv`, the exit is SystemExit."""
    if wants_patch(sys.argv[1:], os.environ):
        from dualwsgi.green import patch

        patch()

    from dualwsgi_cli.flags import read_plainly

    asked = read_plainly(sys.argv[1:])
    if asked is None:
        from dualwsgi_cli.app import app

        app()
    else:
        from dualwsgi_cli.launch import launch

        try:
            launch(asked)
        except KeyboardInterrupt:  # while the application was imported
            raise SystemExit(130) from None


def wants_patch(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether these arguments run an application on green, patched, in this very process.

    Flags win over variables, and variables over a file.  A supervisor is not patched: it never
    imports the application, and each of its workers is patched when it begins.
    """
    if not arguments or arguments[0] != "run":
        return False
    if "--dashboard" in arguments:
        return False  # that process draws; its child is patched
    said = _said(arguments, environ)
    if said["patch"] in NO or said["backend"] == "threads":
        return False  # whatever a file says
    told = _told_by_file(environ, said.get("config"))
    for name in ("backend", "patch", *SUPERVISED):
        said[name] = said[name] or str(told.get(name, "")).strip().lower()
    return (
        said["backend"] == "green"
        and said["patch"] not in NO
        and said["workers"] in ("", "1")
        and all(said[name] in ("", *NO) for name in SUPERVISED if name != "workers")
    )


def _said(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """What flags, else variables, say of the settings that matter here; '' where they say nothing."""
    names = ("backend", "patch", *SUPERVISED)
    said = {name: environ.get(f"DUALWSGI_{name.upper()}", "").strip().lower() for name in names}
    waiting = ""
    for argument in arguments[1:]:
        if argument == "--":
            break
        flag, equals, value = argument.partition("=")
        name = "workers" if flag == "-w" else flag.removeprefix("--").replace("-", "_")
        if waiting:
            said[waiting] = argument if waiting == "config" else argument.strip().lower()
            waiting = ""
        elif not argument.startswith("-"):
            continue
        elif name in SWITCHES:
            said[name] = "on"
        elif name.removeprefix("no_") in SWITCHES:
            said[name.removeprefix("no_")] = "off"
        elif name in said or name == "config":
            said[name] = value if name == "config" else value.strip().lower()
            waiting = "" if equals else name
        elif flag.startswith("-w"):
            said["workers"] = argument[2:].strip().lower()
    return said


def _told_by_file(environ: Mapping[str, str], named: str | None) -> Mapping[str, object]:
    """What a configuration file says, unchecked; nothing if there is none or it cannot be read."""
    from dualwsgi.errors import ConfigError
    from dualwsgi.serve.configfile import find_file, open_file

    path = find_file(environ, named)
    try:
        return open_file(path).table if path is not None else {}
    except ConfigError:
        return {}
