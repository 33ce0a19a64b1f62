"""What flags say of the settings; and command lines that are plain, read without typer.

An option takes text and hands it to its knob, so that a flag, a variable and a file are read and
refused alike.  Options not given stay out of `settings`, which leaves the variable or the default.

Importing typer takes longer than all else that a server needs to start, and is of use for a help page or a
mistake alone.  So a command line that only says what is to be is read here, by the same knobs, and whatever
is more than that is left to typer.  Both ways make the same of a line, which a test holds them to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dualwsgi.config import LogTarget, Several, Switch, knobs

__all__ = ["Asked", "flag_of", "read_plainly", "settings"]


class Asked(NamedTuple):
    """What `dualwsgi run` was told by its command line; None for what it was not."""

    target: str | None
    app_dir: str | None
    config: str | None
    options: Mapping[str, Any]


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


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
                found[name] = knob.check("-" if path is None else path or None, f"{flag_of(name)}file")
        elif isinstance(knob, Several):
            if given:
                found[name] = knob.parse(",".join(given), flag_of(name))
        elif given is not None:
            found[name] = given if isinstance(knob, Switch) else knob.parse(given, flag_of(name))
    return found


def read_plainly(arguments: Sequence[str]) -> Asked | None:
    """What these arguments of `dualwsgi` say, if they are a plain `run`; else None, and typer knows."""
    if arguments[:1] != ["run"]:
        return None
    switches, values = _plain_flags()
    words = deque(arguments[1:])
    targets: list[str] = []
    said: dict[str, Any] = {}
    while words:
        word = words.popleft()
        flag, equals, value = word.partition("=")
        if word in switches:
            name, on = switches[word]
            said[name] = on
        elif flag in values and (not equals or flag.startswith("--")):
            if not equals:
                if not words or (words[0].startswith("-") and words[0] != "-"):
                    return None
                value = words.popleft()
            name, many = values[flag]
            if many:
                said.setdefault(name, []).append(value)
            else:
                said[name] = value
        elif word and not word.startswith("-") and not targets:
            targets.append(word)
        else:
            return None
    app_dir, config = said.pop("app_dir", None), said.pop("config", None)
    return Asked(targets[0] if targets else None, app_dir, config, said)


def _plain_flags() -> tuple[dict[str, tuple[str, bool]], dict[str, tuple[str, bool]]]:
    """Flags that say yes or no, each with its setting and which; and those that take a value, each with its
    setting and whether there may be several."""
    switches: dict[str, tuple[str, bool]] = {}
    values = {"--app-dir": ("app_dir", False), "--config": ("config", False)}
    for name, knob in knobs().items():
        flag = flag_of(name)
        if isinstance(knob, Switch | LogTarget):
            switches[flag] = name, True
            switches[f"--no-{flag.removeprefix('--')}"] = name, False
            if isinstance(knob, LogTarget):
                values[f"{flag}file"] = f"{name}file", False
        else:
            values[flag] = values[knob.short or flag] = name, isinstance(knob, Several)
    return switches, values
