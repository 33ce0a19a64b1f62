"""What a change of a file means for --reload."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import pytest
from table import table
from wire import eventually

from dualwsgi.errors import ConfigError
from dualwsgi.serve import reloading
from dualwsgi.serve.reloading import FileWatch, is_code

PATIENCE = 30.0


@table(
    ("path", "counts"),
    [
        ("/a/shop.py", True),
        ("/a/dualwsgi.toml", True),
        ("/a/pyproject.toml", True),
        ("/a/shop.pyc", False),
        ("/a/style.css", False),
        ("/a/py", False),
    ],
)
def test_code_and_settings_count(path: str, counts: bool) -> None:
    assert is_code(path) is counts


def test_what_has_changed_is_told_of_code_and_of_all_that_was_named(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    code, pages = tmp_path / "code", tmp_path / "pages"
    for place in (code, code / "__pycache__", pages):
        place.mkdir()
    told: Queue[list[str]] = Queue()
    found: set[str] = set()
    ignored, wanted = (code / "notes.txt", code / "__pycache__/a.py"), (code / "a.py", pages / "a.html")

    def seen() -> bool:
        for path in (*ignored, *wanted):  # again and again: the watch begins a moment after the test
            path.write_text(str(len(found)))
        with contextlib.suppress(Empty):
            found.update(told.get(timeout=0.5))
        return found >= {str(path) for path in wanted}

    watch = FileWatch(str(code), [str(pages)], told.put)
    try:
        eventually(seen, PATIENCE)
        assert found == {str(path) for path in wanted}
    finally:
        watch.close()


def test_a_change_that_cannot_be_told_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watchfiles = pytest.importorskip("watchfiles")
    monkeypatch.setattr(reloading, "REST", 0.0)
    told: Queue[list[str]] = Queue()

    def watch_files(*_: object, **__: object) -> Iterator[set[tuple[int, str]]]:
        yield {(1, "a.py")}
        over.wait(PATIENCE)

    def changed(paths: list[str]) -> None:
        if not caplog.records:
            raise OSError("the directory is gone")
        told.put(paths)

    over = threading.Event()
    monkeypatch.setattr(watchfiles, "watch", watch_files)
    watch = FileWatch(str(tmp_path), [], changed)
    assert told.get(timeout=PATIENCE) == ["a.py"]
    watch.close()
    over.set()
    assert "the directory is gone" in caplog.text


def test_without_the_library_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigError, match=r"pip install 'dualwsgi\[reload\]'"):
        FileWatch(".", [], print)


def test_what_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    with pytest.raises(ConfigError, match="reload_extra_files: there is no"):
        FileWatch(str(tmp_path), [str(tmp_path / "none")], print)
