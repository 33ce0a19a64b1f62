"""What becomes of one setting of another server, as data: `dualwsgi migrate` and the tables read it.

A setting that has the name of a field of Config needs no rule: it becomes that field.  So rules are for
other names, other units, and for what has no equivalent, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dualwsgi.config import knobs
from dualwsgi.errors import ConfigError
from dualwsgi.serve.configfile import TARGET_KEYS

__all__ = ["Outcome", "Rule", "becomes", "none", "same", "translate"]

Convert = Callable[[Any], Mapping[str, Any]]
"""From the other server's value to fields of Config.  Raises ValueError with the reason."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`to` is what the documentation says it becomes, "" for nothing; `note` is for people, one line.

    `fields` are all that `convert` may set; a rule whose fields are not there has no equivalent yet.
    """

    to: str
    note: str = ""
    fields: tuple[str, ...] = ()
    convert: Convert | None = None

    @property
    def holds(self) -> bool:
        return self.convert is not None and all(
            name in knobs() or name in TARGET_KEYS for name in self.fields
        )


def becomes(name: str, note: str = "", convert: Callable[[Any], Any] = lambda value: value) -> Rule:
    """The other server's setting is our `name`, its value converted."""
    return Rule(name, note, (name,), lambda value: {name: convert(value)})


def same(name: str, note: str = "") -> Rule:
    """It is ours, under the same name, if there is a field of that name; `note` says what differs."""
    return becomes(name, note)


def none(note: str) -> Rule:
    """Nothing is to be set; `note` says why."""
    return Rule("", note)


@dataclass(slots=True)
class Outcome:
    """What a translation came to.  `settings` are fields of Config, checked; `notes` go by field;
    `left` are (name, value, reason) of what has no equivalent."""

    settings: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    left: list[tuple[str, Any, str]] = field(default_factory=list)


def translate(given: Mapping[str, Any], rules: Mapping[str, Rule]) -> Outcome:
    """Applies `rules` to settings by name, in their order; later ones do not undo earlier ones."""
    outcome = Outcome()
    for name, value in given.items():
        rule = rules.get(name) or (same(name) if name in knobs() else none(""))
        if callable(value):
            reason = rule.note or "it stays Python: put it into the application's own start"
            told = f"{rule.to.replace('_', '-')}: {reason}" if rule.holds else reason
            outcome.left.append((name, value, told))
            continue
        if not rule.holds or rule.convert is None:
            outcome.left.append((name, value, rule.note or "there is nothing of this kind"))
            continue
        try:
            for key, found in rule.convert(value).items():
                checked = _checked(key, found)
                earlier = outcome.settings.setdefault(key, checked)
                if earlier is not checked and isinstance(earlier, tuple):  # addresses, say
                    outcome.settings[key] = tuple(dict.fromkeys(earlier + checked))
                if rule.note:
                    outcome.notes.setdefault(key, rule.note)
        except (ConfigError, ValueError, TypeError) as error:
            outcome.left.append((name, value, str(error)))
    return outcome


def _checked(name: str, value: Any) -> Any:
    knob = knobs().get(name)
    if knob is None:
        return value
    return knob.parse(value, name) if isinstance(value, str) else knob.check(value, name)
