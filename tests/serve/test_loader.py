"""What `module:callable` may say, and what each mistake is answered with."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from dualwsgi.errors import ConfigError
from dualwsgi.serve.loader import ApplicationNotFound, ApplicationNotLoaded, NotAnApplication, load_app

SITE = """
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"app"]

    class Site:
        def wsgi(self, environ, start_response):
            return [b"site"]

        label = "a text"

    site = Site()
    nothing = None

    def make_app(name="made", *, twice=False):
        def made(environ, start_response):
            return [name.encode() * (2 if twice else 1)]
        return made

    def broken():
        raise RuntimeError("no database")

    def one(environ):
        return []

    async def asynchronous(scope, receive, send):
        pass
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with modules of its own names, forgotten after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    (tmp_path / "loader_site.py").write_text(textwrap.dedent(SITE))
    (tmp_path / "loader_pkg").mkdir()
    (tmp_path / "loader_pkg" / "__init__.py").write_text("")
    (tmp_path / "loader_pkg" / "deep.py").write_text("application = lambda e, s: [b'deep']\napp = None\n")
    (tmp_path / "loader_needs.py").write_text("import loader_absent_dependency\n")
    (tmp_path / "loader_syntax.py").write_text("def app(:\n")
    (tmp_path / "loader_raises.py").write_text("def boom():\n    return 1 / 0\nboom()\n")
    (tmp_path / "loader_exits.py").write_text("raise SystemExit('usage: me')\n")
    (tmp_path / "loader_factory.py").write_text("def create_app():\n    return None\n")
    (tmp_path / "loader_empty.py").write_text("VALUE = 1\n")
    yield tmp_path  # type: ignore[misc]
    for name in set(sys.modules) - known:
        if name.startswith("loader_"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("loader_site:app", b"app"),
        ("loader_site", b"app"),
        ("loader_site:site.wsgi", b"site"),
        ("loader_site:make_app()", b"made"),
        ("loader_site:make_app('x')", b"x"),
        ('loader_site:make_app("x", twice=True)', b"xx"),
        ("loader_pkg.deep", b"deep"),
        ("loader_pkg.deep:application", b"deep"),
    ],
)
def test_a_target_gives_the_application_it_names(project: Path, target: str, answer: bytes) -> None:
    app = load_app(target, project)
    assert list(app({}, lambda *args: None)) == [answer]


def test_the_current_directory_is_where_modules_are_looked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert callable(load_app("loader_site"))
    assert sys.path[0] == str(project)


def test_a_directory_that_may_not_be_read_is_told_of(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # which root never is refused
    with pytest.raises(ApplicationNotFound, match=r"cannot be read by this user \(uid \d+\)"):
        load_app("zzz_nowhere:app", project)


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("loader_sit:app", ApplicationNotFound, "there is no module 'loader_sit' in"),
        ("loader_sit:app", ApplicationNotFound, "did you mean loader_site?"),
        ("loader_pkg.dep", ApplicationNotFound, "did you mean loader_pkg.deep?"),
        ("zzz_nowhere:app", ApplicationNotFound, "give --app-dir DIRECTORY"),
        ("loader_site.py:app", ApplicationNotFound, "give loader_site:app"),
        ("src/site.py", ApplicationNotFound, "give site:app --app-dir src"),
        ("src/site:app", ApplicationNotFound, "give its dotted name"),
        ("", ApplicationNotFound, "give MODULE:NAME"),
        (":app", ApplicationNotFound, "give MODULE:NAME"),
        ("loader site:app", ApplicationNotFound, "is not the name of a module"),
        ("loader_site:ap", ApplicationNotFound, "no attribute 'ap'; did you mean loader_site:app?"),
        ("loader_site:site.wsg", ApplicationNotFound, "did you mean loader_site:site.wsgi?"),
        ("loader_site:qqqqq", ApplicationNotFound, "give loader_site:NAME"),
        ("loader_site:app[0]", ApplicationNotFound, "more than a name"),
        ("loader_site:app(", ApplicationNotFound, "is not a name"),
        ("loader_site:make_app(open)", ApplicationNotFound, "not a literal"),
        ("loader_factory", ApplicationNotFound, "give loader_factory:create_app()"),
        ("loader_empty", ApplicationNotFound, "neither 'application' nor 'app'; give loader_empty:NAME"),
        ("loader_site:site.label", NotAnApplication, "it is a str"),
        ("loader_site:nothing", NotAnApplication, "it is None"),
        ("loader_factory:create_app()", NotAnApplication, "it is None"),
        ("loader_site:site.label()", NotAnApplication, "leave out the ()"),
        ("loader_site:broken", NotAnApplication, "if it makes the application, give loader_site:broken()"),
        ("loader_site:one", NotAnApplication, "it takes (environ)"),
        ("loader_site:asynchronous", NotAnApplication, "ASGI"),
        ("loader_needs", ApplicationNotLoaded, "No module named 'loader_absent_dependency'"),
        ("loader_syntax", ApplicationNotLoaded, "SyntaxError"),
        ("loader_raises", ApplicationNotLoaded, "ZeroDivisionError"),
        ("loader_exits", ApplicationNotLoaded, "it exits while it is imported"),
        ("loader_site:broken()", ApplicationNotLoaded, "the factory failed: RuntimeError: no database"),
    ],
)
def test_a_mistake_is_named_with_its_cure(
    project: Path, target: str, error: type[ConfigError], says: str
) -> None:
    with pytest.raises(error) as caught:
        load_app(target, project)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("target", "shows"),
    [
        ("loader_needs", "import loader_absent_dependency"),
        ("loader_syntax", "def app(:"),
        ("loader_raises", "return 1 / 0"),
        ("loader_site:broken()", 'raise RuntimeError("no database")'),
    ],
)
def test_the_traceback_shown_starts_in_the_operators_code(project: Path, target: str, shows: str) -> None:
    with pytest.raises(ApplicationNotLoaded) as caught:
        load_app(target, project)
    assert shows in caught.value.detail
    assert "loader.py" not in caught.value.detail.replace(str(project), "")
    assert "importlib" not in caught.value.detail


def test_a_removed_working_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a deployment that removes the release before it; the next reload finds out."""
    (tmp_path / "release").mkdir()
    monkeypatch.chdir(tmp_path / "release")
    (tmp_path / "release").rmdir()
    with pytest.raises(ApplicationNotFound, match="the working directory has been removed; start it anew"):
        load_app("loader_site")
