"""The plain way and typer's make the same of a command line, and what is not plain is typer's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from unittest.mock import patch

from command import call
from hypothesis import given, settings
from hypothesis import strategies as st
from table import table

from dualwsgi.config import LogTarget, Switch, knobs
from dualwsgi_cli.flags import Asked, flag_of, read_plainly

SWITCHES = [name for name, knob in knobs().items() if isinstance(knob, Switch | LogTarget)]
OTHERS = [name for name in knobs() if name not in SWITCHES]
VALUE_FLAGS = [
    *(flag_of(name) for name in OTHERS),
    *(f"{flag_of(name)}file" for name in SWITCHES if isinstance(knobs()[name], LogTarget)),
    *("--app-dir", "--config"),
]
SHORT = [knob.short for knob in knobs().values() if knob.short]

value = st.text(min_size=1, max_size=8).filter(lambda text: not text.startswith("-")) | st.just("-")
words = st.lists(
    st.one_of(
        st.sampled_from(SWITCHES).map(lambda name: [flag_of(name)]),
        st.sampled_from(SWITCHES).map(lambda name: [f"--no-{flag_of(name).removeprefix('--')}"]),
        st.tuples(st.sampled_from(VALUE_FLAGS), value | st.just("")).map(lambda pair: ["=".join(pair)]),
        st.tuples(st.sampled_from(VALUE_FLAGS + SHORT), value).map(list),
    ),
    max_size=6,
).map(lambda groups: [word for group in groups for word in group])


def by_typer(arguments: Sequence[str]) -> Asked:
    said: list[Asked] = []

    def launch(asked: Asked, *, check: bool) -> None:
        assert not check
        said.append(asked)

    with patch("dualwsgi_cli.run.launch", launch):
        result = call(arguments, {"DUALWSGI_APP": None, "DUALWSGI_APP_DIR": None})
    assert result.exit_code == 0, result.output
    (asked,) = said
    return asked._replace(options={name: given for name, given in asked.options.items() if given is not None})


@settings(max_examples=100, deadline=None)
@given(words, st.booleans(), st.integers(0, 6))
def test_both_ways_make_the_same_of_a_plain_line(line: list[str], names: bool, at: int) -> None:
    arguments = ["run", *line]
    if names:  # the application, before or after the options
        arguments.insert(1 if at % 2 else len(arguments), "hello:app")
    asked = read_plainly(arguments)
    assert asked is not None
    assert asked == by_typer(arguments)


@table(
    "line",
    [
        *("", "--help", "--version", "config", "top", "ctl stop", "run --help", "run -h"),
        *("run hello:app --check", "run hello:app --dashboard", "run -- hello:app", "run hello:app -"),
        *("run hello:app --treads 4", "run hello:app --thread 4", "run hello:app --threads"),
        *("run hello:app --threads --debug", "run hello:app --debug=yes", "run hello:app other:app"),
        *("run hello:app -b", "run hello:app -b=:80", "run hello:app -b:80"),
    ],
)
def test_what_is_not_plain_is_left_to_typer(line: str) -> None:
    assert read_plainly(line.split()) is None


def test_an_empty_word_names_no_application() -> None:
    assert read_plainly(["run", ""]) is None


def test_a_plain_run_imports_no_typer() -> None:
    code = (
        "import sys, dualwsgi_cli.entry as entry\n"
        "sys.argv = ['dualwsgi', 'run', 'no_such:app', '--threads', '4']\n"
        "try: entry.main()\n"
        "except SystemExit as end: print(end.code, {'typer', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "2 set()\n"
    assert done.stderr.startswith("dualwsgi: no_such: there is no module 'no_such'")
