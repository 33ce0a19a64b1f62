"""Help pages that read well at 80 columns: an option on a line of its own, below it what it does.

typer draws names, kinds and texts as columns side by side, which leaves a long text twenty characters and
cuts long names off.  What there is to say is typer's here (`get_help_record`); only the layout is ours.
Knows no option and no command.  What was typed wrongly ends here, too, as one line (`usage`) and exit code 2.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

from dualwsgi_cli.refusal import refuse

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Command", "Group"]

WIDEST = 100
"""Columns: longer lines are hard to follow."""

# What typer adds to a text, in brackets at its end: "[env var: X; default: 3; 1<=x<=64; required]".
_ADDED = re.compile(r"  \[((?:env var: |default: |required|-?[\d.]+<=).*)\]$")
_RANGE = re.compile(r"(\S+)<=x<=(\S+)")

# typer has no public name for the kind of all errors of usage.
_UsageError: type[Exception] = BadParameter.__mro__[1]


class _Page:
    """What a command and a group have in common; goes before typer's class."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        try:
            return super().make_context(*arguments, **more)  # type: ignore[misc]
        except _UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                raise  # it is the help page
            from dualwsgi_cli.usage import say_what_is_wrong

            refuse(say_what_is_wrong(error, self))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from rich.console import Console  # late: a command that runs needs no page

        console = Console(highlight=False)
        console.width = min(console.width, WIDEST)
        _write(console, self, ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] MODULE:CALLABLE [-- SETTING...]`: brackets only around what may be left out."""
        pieces = ["[OPTIONS]"]
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            if param.param_type_name == "argument":
                name = param.display_name_raw
                pieces.append(name if param.required or name.startswith("[") else f"[{name}]")
        return pieces


class Command(_Page, TyperCommand):
    """A command whose `--help` is such a page."""


class Group(_Page, TyperGroup):
    """Commands below one name, likewise."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from dualwsgi_cli.usage import say_which_commands

            refuse(say_which_commands(args[0], self.list_commands(ctx), ctx.command_path))
        return super().resolve_command(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "COMMAND"]


def _write(console: Console, command: Any, ctx: Any) -> None:
    def say(text: str, first: str = "", others: str | None = None, style: str = "", lit: str = "") -> None:
        lines = textwrap.fill(
            *(text, console.width),
            initial_indent=first,
            subsequent_indent=first if others is None else others,
            break_on_hyphens=False,  # within the name of an option, it would look like two
        )
        shown = Text(lines, style)
        shown.highlight_regex(lit or "(?!)", "cyan")
        console.print(shown, soft_wrap=True)

    from rich.text import Text

    usage = " ".join(command.collect_usage_pieces(ctx))
    say(f"Usage: {ctx.command_path} {usage}", others=" " * 7, lit=r"^Usage:")
    for paragraph in _paragraphs(command.help):
        console.print()
        say(paragraph, "  ")
    if commands := _commands(command, ctx):
        console.print()
        say("Commands", style="bold")
        width = max(len(name) for name, _ in commands) + 4
        for name, text in commands:
            say(text, f"  {name}".ljust(width), " " * width, lit=rf"^  {name}\b")
    for heading, rows in _sections(command, ctx).items():
        console.print()
        say(heading, style="bold")
        for name, text in rows:
            say(name, "  ", lit=r"(?<!\S)--?[\w-]+")
            say(text, "      ")


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n") if part.strip()]


def _sections(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Headings in the order in which they come, arguments and options of no heading first."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is None:
            continue  # hidden
        argument = param.param_type_name == "argument"
        heading = getattr(param, "rich_help_panel", None) or ("Arguments" if argument else "Options")
        # An argument is called by its name alone: that all are text need not be said.
        name = param.display_name_raw if argument else record[0]
        sections.setdefault(heading, []).append((name, _spoken(record[1])))
    return {heading: rows for heading, rows in sections.items() if rows}


def _spoken(text: str) -> str:
    """typer's additions in the words of the other texts: "(Default 3, range 1 to 64)"."""
    found = _ADDED.search(text)
    if found is None:
        return text
    added, variable = [], ""
    for part in found[1].split("; "):
        kind, _, value = part.partition(": ")
        if kind == "env var":
            variable = f" Variable: {value}."
        elif kind == "default":
            added.append(f"default {value.removesuffix('.0')}")
        elif limits := _RANGE.fullmatch(part):
            low, high = (bound.removesuffix(".0") for bound in limits.groups())
            added.append(f"range {low} to {high}")
    spoken = ", ".join(added)
    brackets = f" ({spoken[0].upper()}{spoken[1:]})" if spoken else ""
    return text[: found.start()] + brackets + variable


def _commands(command: Any, ctx: Any) -> list[tuple[str, str]]:
    if not isinstance(command, TyperGroup):
        return []
    found = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
    return [
        (name, next(iter(_paragraphs(one.short_help or one.help)), ""))
        for name, one in found
        if one is not None and not one.hidden
    ]
