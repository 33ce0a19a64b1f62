"""The options of `run`, made from the fields of Config; no setting is told here a second time.

What they say is read by `flags.settings`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from dualwsgi.config import Config, Knob, LogTarget, Several, Switch, headings, knobs
from dualwsgi_cli.flags import flag_of

__all__ = ["with_options"]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(argument, ..., **options)` one option for each knob, as typer reads a signature."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = own + _parameters()
    # typer looks at both.
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return command


def _parameters() -> list[inspect.Parameter]:
    parameters = []
    defaults = Config()
    for name, knob in knobs().items():
        panel = headings()[name]
        flag = flag_of(name)
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
