"""The options of `run`, made from the fields of Config; no setting is told here a second time.

An option takes text and hands it to its knob, so that a flag, a variable and a file are read and
refused alike.  Options not given stay out of `settings`, which leaves the variable or the default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from dualwsgi.config import Config, Knob, LogTarget, Several, Switch, headings, knobs

__all__ = ["settings", "with_options"]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(argument, ..., **options)` one option for each knob, as typer reads a signature."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = own + _parameters()
    # typer looks at both.
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return command


def settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The Config fields that the given options set, checked.  Raises ConfigError naming the flag."""
    found: dict[str, Any] = {}
    for name, knob in knobs().items():
        given = options.get(name)
        if isinstance(knob, LogTarget):
            path = options.get(f"{name}file")
            if given is False:
                found[name] = None
            elif path is not None or given:
                found[name] = knob.check("-" if path is None else path or None, f"{_flag(name)}file")
        elif isinstance(knob, Several):
            if given:
                found[name] = knob.parse(",".join(given), _flag(name))
        elif given is not None:
            found[name] = given if isinstance(knob, Switch) else knob.parse(given, _flag(name))
    return found


def _parameters() -> list[inspect.Parameter]:
    parameters = []
    defaults = Config()
    for name, knob in knobs().items():
        panel = headings()[name]
        flag = _flag(name)
        switch = f"{flag}/--no-{flag.removeprefix('--')}"
        help_ = _help(knob, getattr(defaults, name))
        if isinstance(knob, LogTarget):
            to_file = f"Write it to {knob.metavar}; '-' is standard output."
            parameters.append(_parameter(name, bool, panel, switch, help=help_))
            parameters.append(
                _parameter(f"{name}file", str, panel, f"{flag}file", help=to_file, metavar=knob.metavar)
            )
        elif isinstance(knob, Switch):
            parameters.append(_parameter(name, bool, panel, switch, help=help_))
        else:
            kind = list[str] if isinstance(knob, Several) else str
            flags = (flag, knob.short) if knob.short else (flag,)
            parameters.append(_parameter(name, kind, panel, *flags, help=help_, metavar=knob.metavar))
    return parameters


def _parameter(name: str, kind: Any, panel: str, *flags: str, **look: Any) -> inspect.Parameter:
    option = typer.Option(*flags, rich_help_panel=panel, show_default=False, **look)
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(knob: Knob, default: object) -> str:
    spoken = knob.write(default) or "off"
    if spoken == "off" and "default: " in knob.help:
        return knob.help  # it says what is done then
    return f"{knob.help} (Default {spoken}{', range ' + knob.bounds if knob.bounds else ''})"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
