"""The doctor on a corpus of small applications, which say at each line what is to be found there.

    eventlet.kill(worker)  # doctor: kill

All else that it finds is a false alarm, and there is none.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from table import table

from dualwsgi.doctor import WAYS, Level, NoSuchTarget, Report, examine
from dualwsgi.doctor.knowledge import CALLS, KEYS, METHODS, MISSING, NAMES, RULES, exists

CORPUS = Path(__file__).parent / "corpus"
APPLICATIONS = sorted(path.stem for path in CORPUS.iterdir() if path.stem != "__pycache__")


def expected(paths: list[Path]) -> set[tuple[str, int, str]]:
    found = set()
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.search(r"# doctor: (.+)$", line)
            for code in match[1].split(", ") if match else ():
                found.add((path.relative_to(CORPUS).as_posix(), number, code))
    return found


def told(report: Report) -> set[tuple[str, int, str]]:
    assert not any(finding.foreign for finding in report.findings)
    return {
        (Path(finding.path).resolve().relative_to(CORPUS).as_posix(), finding.line, finding.code)
        for finding in report.findings
    }


def files_of(name: str) -> list[Path]:
    path = CORPUS / name
    return list(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@table("name", APPLICATIONS)
def test_each_application_of_the_corpus_is_told_what_it_says_and_no_more(name: str) -> None:
    found, wanted = told(examine(name, CORPUS)), expected(files_of(name))
    assert (found - wanted, wanted - found) == (set(), set()), "false alarms, and what was missed"


def test_every_rule_is_in_the_corpus() -> None:
    assert {code for _, _, code in expected(list(CORPUS.rglob("*.py")))} == set(RULES)
    assert {*NAMES.values(), *CALLS.values(), *METHODS.values(), *KEYS.values()} <= set(RULES)


def test_what_the_rules_name_is_there_and_what_is_called_missing_is_not() -> None:
    named = {*NAMES, *CALLS} - {"greenlet"}
    assert [name for name in named if not exists(name)] == []
    assert [name for name in MISSING if exists(name)] == []


def test_a_directory_is_read_whole_and_a_file_as_a_module() -> None:
    whole = examine(str(CORPUS / "package"))
    assert told(whole) == expected(files_of("package")) | {("package/unreached.py", 5, "kill")}
    assert told(examine(str(CORPUS / "hello.py"))) == expected(files_of("hello"))


@table(
    ("name", "verdicts"),
    [
        ("clean", (Level.WORKS, Level.WORKS, Level.WORKS)),
        ("hello", (Level.WORKS, Level.WORKS, Level.FAILS)),
        ("shadowed", (Level.WORKS, Level.DIFFERS, Level.WORKS)),
        ("unpatched", (Level.DIFFERS, Level.WORKS, Level.WORKS)),
        ("missing", (Level.FAILS, Level.FAILS, Level.FAILS)),
    ],
)
def test_each_way_has_its_verdict(name: str, verdicts: tuple[Level, ...]) -> None:
    report = examine(name, CORPUS)
    assert tuple(report.verdict(way) for way in WAYS) == verdicts


def test_it_tells_what_is_used_where_it_is_imported_and_when_it_patches() -> None:
    report = examine("patched", CORPUS)
    assert report.uses["eventlet.monkey_patch"] == 1
    assert [place.rpartition("/")[2] for place in report.imports] == ["patched.py:20"]
    assert [(patch.line, patch.when) for patch in report.patches] == [
        (22, "after importing functools, threading, time"),
        (26, "in a function, when that is called"),
    ]
    assert not examine("clean", CORPUS).uses


def test_a_program_that_installs_needs_no_other_line(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from dualwsgi import eventlet\neventlet.install()\nimport eventlet.wsgi\n"
    )
    report = examine("app", tmp_path)
    assert (report.imports, report.findings) == ([], [])
    (tmp_path / "app.py").write_text("import eventlet.wsgi\n")
    assert examine("app", tmp_path).imports


def test_dependencies_are_followed_and_told_apart(tmp_path: Path) -> None:
    place = tmp_path / "lib/site-packages/helper"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("import eventlet, greenlet\neventlet.Timeout(5)\n")
    (tmp_path / "app.py").write_text("import helper\ndef application(environ, start_response): ...\n")
    import sys

    sys.path.append(str(place.parent))
    try:
        report = examine("app:application", tmp_path)
        assert [(finding.code, finding.foreign) for finding in report.findings] == [("timeout", True)]
        assert examine("app:application", tmp_path, dependencies=False).findings == []
    finally:
        sys.path.remove(str(place.parent))


def test_a_package_without_an_init_file_is_followed_too(tmp_path: Path) -> None:
    """Flask has one, `flask.sansio`."""
    (tmp_path / "framework" / "bare" / "deeper").mkdir(parents=True)
    (tmp_path / "framework" / "__init__.py").write_text("from .bare.deeper import scaffold\n")
    (tmp_path / "framework" / "bare" / "deeper" / "scaffold.py").write_text(
        "import eventlet\n\neventlet.kill(1)\n"
    )
    (tmp_path / "shop.py").write_text("import framework\n\n\ndef app(environ, start_response): ...\n")
    assert [(found.line, found.code) for found in examine("shop:app", tmp_path).findings] == [(3, "kill")]


def test_nothing_of_the_application_is_run(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import eventlet\nraise SystemExit('it was run')\n")
    assert examine("app", tmp_path).modules == 1


@table(
    ("target", "says"),
    [
        ("hello:hello_word", "did you mean hello_world"),
        ("nowhere:app", "there is no module 'nowhere'"),
        ("nowhere.py", "there is no such file"),
        ("not a module", "give MODULE:CALLABLE"),
    ],
)
def test_a_target_that_is_not_there_is_told(target: str, says: str) -> None:
    with pytest.raises(NoSuchTarget, match=says):
        examine(target, CORPUS)


def test_a_file_that_is_no_python_is_told_and_the_rest_read(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "app.py").write_text("import broken\nimport eventlet\neventlet.kill(1)\n")
    report = examine("app", tmp_path)
    assert "broken.py: invalid syntax" in report.unread[0]
    assert [finding.code for finding in report.findings] == ["kill"]
