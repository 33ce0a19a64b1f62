"""`dualwsgi migrate FILE`: another server's configuration as a dualwsgi.toml, on standard output.

What has no equivalent is told in comments, with the reason.  gunicorn's file is Python and is run, as
gunicorn does it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from dualwsgi.config import Config
from dualwsgi.errors import ConfigError
from dualwsgi_cli.migration import gunicorn, uwsgi
from dualwsgi_cli.migration.rules import Outcome, translate
from dualwsgi_cli.refusal import refuse
from dualwsgi_cli.written import toml_line

__all__ = ["migrate"]

FORMS_OF_UWSGI = (".xml", ".yaml", ".yml", ".json")


def migrate(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A gunicorn.conf.py (it is run), or an ini file of uWSGI."),
    ],
) -> None:
    """Print the dualwsgi.toml that says what another server's file says.

    What has no equivalent is told in comments, with the reason.
    """
    server: Any
    if file.endswith(FORMS_OF_UWSGI):
        refuse(f"{file}: of uWSGI's forms only ini is read; write it as one, below a line [uwsgi]")
    try:
        with open(file, "rb") as opened:
            begun = opened.read()
        server = uwsgi if file.endswith(".ini") or re.search(rb"^\s*\[uwsgi\]", begun, re.M) else gunicorn
    except OSError as error:
        refuse(f"{file}: {error.strerror}; give a gunicorn.conf.py, or an ini file of uWSGI")
    try:
        given = server.read(file)
    except Exception as error:  # the file is a program, and may fail in any way
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        ran = place is not None and place.tb_frame.f_code.co_filename == file
        where = f", line {place.tb_lineno}" if ran and place is not None else ""
        refuse(f"{file}{where}: {type(error).__name__}: {error}")
    if not given:
        known = "uWSGI" if server is uwsgi else "gunicorn"
        refuse(
            f"{file}: it sets nothing that {known} knows; give a gunicorn.conf.py, or an ini file of uWSGI"
        )
    outcome = translate(given, server.RULES)
    typer.echo("\n".join(_lines(file, outcome)))


def _lines(file: str, outcome: Outcome) -> list[str]:
    lines = [f"# {file}, as dualwsgi has it."]
    try:
        Config(**{name: value for name, value in outcome.settings.items() if name not in ("app", "app_dir")})
    except ConfigError as error:
        lines.append(f"# Together these do not hold yet: {error}")
    for name, value in outcome.settings.items():
        note = outcome.notes.get(name)
        lines.append(toml_line(name, value) + (f"  # {note}" if note else ""))
    if outcome.left:
        lines += ["", "# What is no setting here, and why:"]
        for name, value, reason in outcome.left:
            lines.append(f"#   {name} = {_shown(value)}: {reason}")
    return lines


def _shown(value: Any) -> str:
    if callable(value):
        return "a hook"
    text = "".join(letter if letter.isprintable() else "?" for letter in repr(value))
    return text if len(text) <= 60 else text[:57] + "..."
