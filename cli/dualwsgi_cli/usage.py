"""What was typed and cannot be, in one line that names it and the cure, as for a setting that cannot work.

An option of gunicorn or uWSGI is answered with what it is here, from the rules of `dualwsgi migrate`.
Nothing of this is imported for a command line that is right.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from dualwsgi.config import knobs
from dualwsgi_cli.migration import gunicorn, uwsgi
from dualwsgi_cli.migration.rules import Rule

__all__ = ["say_what_is_wrong", "say_which_commands"]

# Options that several other servers and tools have, with ours.
COMMON = {
    "--host": "--bind HOST:PORT",
    "--port": "--bind HOST:PORT",
    "--listen": "--bind HOST:PORT",
    "--url-scheme": "--forwarded-allow-ips, for X-Forwarded-Proto of a proxy that is trusted",
    "--log-format": "--access-log-format",
    "--interface": "nothing: WSGI is what is spoken to applications",
}


def say_what_is_wrong(error: Any, command: Any) -> str:
    """One line about typer's error of usage, raised for the arguments of `command`."""
    path = error.ctx.command_path if error.ctx is not None else "dualwsgi"
    kind = type(error).__name__
    if kind == "NoSuchOption":
        return _unknown_option(error.option_name, error.possibilities or (), command, path)
    if kind == "BadOptionUsage":
        wanted = [param.metavar for param in command.params if error.option_name in param.opts]
        if wanted and wanted[0] and "requires an argument" in error.message:
            return f"{error.option_name}: it wants a value; give {error.option_name} {wanted[0]}"
    elif kind == "MissingParameter" and error.param is not None:
        name = error.param.display_name_raw if hasattr(error.param, "display_name_raw") else error.param.name
        return f"{name} is missing; give {path} {name}"
    text = error.format_message().rstrip(".")
    if wrong := re.match(r"Invalid value for '?(.+?)'?: (.*)", text):
        return f"{wrong[1]}: {wrong[2][:1].lower()}{wrong[2][1:]}; `{path} --help` says what is wanted"
    if extra := re.match(r"Got unexpected extra argument\S* \((.*)\)", text):
        return f"{extra[1]}: nothing more is wanted here; `{path} --help` shows what is"
    return f"{text[:1].lower()}{text[1:]}; `{path} --help` says more"


def say_which_commands(name: str, known: list[str], path: str) -> str:
    """One line about a command that there is not."""
    if ":" in name or name.endswith(".py"):
        return f"{name}: there is no such command; `{path} run {name}` serves it"
    near = get_close_matches(name, known, n=1) or (["run"] if name in ("serve", "start", "web") else [])
    cure = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"{name}: there is no such command; {cure}"


def _unknown_option(flag: str, near: Any, command: Any, path: str) -> str:
    serves = any(param.name == "bind" for param in command.params)
    if serves and (answer := _foreign(flag)):
        return f"{flag}: {answer}"
    if flag.lstrip("-").replace("-", "_") in knobs() and not serves:
        return f"{flag}: it is an option of `dualwsgi run`"
    best = get_close_matches(flag, list(near), n=1, cutoff=0.7)  # less is no slip of the finger
    cure = f"did you mean {best[0]}?" if best else f"`{path} --help` shows those that there are"
    return f"{flag}: there is no such option; {cure}"


def _foreign(flag: str) -> str:
    """What another server's option is here; "" if none has it."""
    if flag in COMMON:
        return f"that is another server's; here it is {COMMON[flag]}"
    name = gunicorn.setting_of(flag)
    if name:
        return _answer("gunicorn's", name, gunicorn.rule_of(name))
    option = uwsgi.option_of(flag)
    return _answer("uWSGI's", option, uwsgi.RULES[option]) if option else ""


def _answer(whose: str, name: str, rule: Rule) -> str:
    note = f" ({rule.note})" if rule.note else ""
    if not rule.holds:
        return f"that is {whose}, and no option here: {rule.note or 'there is nothing of this kind'}"
    ours = " and ".join(_typed(field) for field in rule.to.split(", "))
    return f"that is {whose}; here it is {ours}{note}"


def _typed(field: str) -> str:
    return "the argument MODULE:CALLABLE" if field == "app" else f"--{field.replace('_', '-')}"
