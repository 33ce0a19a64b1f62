"""What the documentation takes from the code: a marker in a page becomes a table when the site is built.

<!-- table: settings -->       every field of Config, by the headings of the help page
<!-- table: gunicorn -->       gunicorn's settings and what `dualwsgi migrate` makes of them
<!-- table: uwsgi -->          the same of uWSGI's options
<!-- table: metrics -->        what a scrape of /metrics tells
<!-- text: errors -->          the error tree, as the library draws it
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return re.sub(r"^<!-- (?:table|text): (\w+) -->$", lambda match: MAKERS[match[1]](), markdown, flags=re.M)


def settings() -> str:
    from dualwsgi.config import ENV_PREFIX, Config, LogTarget, Switch, headings, knobs

    defaults, heading = Config(), ""
    lines: list[str] = []
    for name, knob in knobs().items():
        if headings()[name] != heading:
            heading = headings()[name]
            lines += [
                "",
                f"## {heading}",
                "",
                "| setting | default | what it does |",
                "| --- | --- | --- |",
            ]
        flag = "--" + name.replace("_", "-")
        flags = f"`{flag}`"
        if isinstance(knob, LogTarget):
            flags += f", `{flag}file {knob.metavar}`, `--no-{name.replace('_', '-')}`"
        elif isinstance(knob, Switch):
            flags += f", `--no-{name.replace('_', '-')}`"
        else:
            flags += f" `{knob.metavar}`"
        if knob.short:
            flags += f", `{knob.short}`"
        default = knob.write(getattr(defaults, name))
        spoken = f"`{default}`" if default else "off"
        bounds = f" ({knob.bounds})" if knob.bounds else ""
        names = f'<a id="{name}"></a>**{name}**<br>{flags}<br>`{ENV_PREFIX}{name.upper()}`'
        lines.append(
            f"| {_cell(names)} | {_cell(spoken)} | {_cell(escape(knob.help, quote=False) + bounds)} |"
        )
    return "\n".join(lines)


def _migration(names: list[str], rules: Mapping[str, Any]) -> str:
    from dualwsgi.config import knobs

    lines = ["| there | here | |", "| --- | --- | --- |"]
    for name in names:
        rule = rules.get(name)
        if rule is None:
            here, note = (f"`{name}`", "") if name in knobs() else ("none", "")
        elif rule.holds:
            here, note = ", ".join(f"`{field}`" for field in rule.to.split(", ")), rule.note
        else:
            here, note = "none", rule.note
        lines.append(f"| `{name}` | {here} | {_cell(note)} |")
    return "\n".join(lines)


def gunicorn() -> str:
    from dualwsgi_cli.migration import gunicorn

    return _migration(list(gunicorn.SETTINGS), gunicorn.RULES)


def uwsgi() -> str:
    from dualwsgi_cli.migration import uwsgi

    return _migration(list(uwsgi.RULES), uwsgi.RULES)


def metrics() -> str:
    import dualwsgi
    from dualwsgi.example import app
    from dualwsgi.serve.observe.families import write_metrics
    from dualwsgi.serve.observe.snapshot import take

    text = write_metrics(take(dualwsgi.Server(app, bind=("127.0.0.1:0",))))
    labels: dict[str, set[str]] = {}
    for name, told in re.findall(r"^(\w+)\{(.*)\} ", text, re.M):
        found = set(re.findall(r'(\w+)="', told)) - {"le"}
        labels.setdefault(re.sub("_bucket$", "", name), set()).update(found)
    for name in re.findall(r"^# HELP (dualwsgi_route_\w+)", text, re.M):
        labels[name] = {"route"}  # there are none before there are requests
    lines = ["| metric | kind | labels | what it is |", "| --- | --- | --- | --- |"]
    for name, what, kind in re.findall(r"^# HELP (\w+) (.*)\n# TYPE \w+ (\w+)$", text, re.M):
        of = ", ".join(f"`{label}`" for label in sorted(labels.get(name, ())))
        lines.append(f"| `{name}` | {kind} | {of} | {_cell(what)} |")
    return "\n".join(lines)


def errors() -> str:
    from dualwsgi import errors

    tree = inspect.getdoc(errors) or ""
    drawn = "\n".join(line for line in tree.splitlines() if line.startswith("    "))
    lines = ["```text", inspect.cleandoc(drawn), "```"]
    for name in errors.__all__:
        kind = getattr(errors, name)
        bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
        lines += ["", f"## {name}", "", f"A {bases}. {inspect.getdoc(kind)}"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


MAKERS: Mapping[str, Callable[[], str]] = {
    maker.__name__: maker for maker in (settings, gunicorn, uwsgi, metrics, errors)
}
