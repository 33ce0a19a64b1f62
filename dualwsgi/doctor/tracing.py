"""From a target to all modules that running it would import, each read once, in that order."""

from __future__ import annotations

import ast
import difflib
import importlib.machinery
import importlib.util
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .knowledge import MISSING, RULES
from .reading import Imports, Late, Note, Patches, Reading, read
from .report import Finding, Patch, Report

__all__ = ["NoSuchTarget", "examine"]

# Other people's modules are read for what they do with eventlet, and for nothing else.
_OWN_BUSINESS = frozenset({"greenlet", "text", "headers-dict", "raw-path", "raw-headers"})
_KNOWN = frozenset({"eventlet", "dualwsgi", "dualwsgi_cli", "greenlet", "gevent"})
_QUIET = frozenset({"__future__", "eventlet", "dualwsgi", "sys", "os", "typing"})
"""Whose import before a patch is not worth a word."""


class NoSuchTarget(ConfigError):
    """The target names no module, file or directory that is there, or no name of its module."""


def examine(
    target: str, app_dir: str | os.PathLike[str] | None = None, *, dependencies: bool = True
) -> Report:
    """Reads what `target` imports and tells what it uses of eventlet.

    `target` is MODULE:CALLABLE or MODULE, looked for in `app_dir` (default: the current directory) and on
    the path; or the path of a file or of a directory, all of whose files are then read.  Without
    `dependencies` only files beneath `app_dir`, or beneath that path, are.  Raises NoSuchTarget.
    """
    place = Path(target)
    if place.is_dir():
        # A package's modules are known by the package's name, from the directory around it.
        home = place.resolve() if not (place / "__init__.py").exists() else place.resolve().parent
        tracer = _Tracer(target, Path(app_dir).resolve() if app_dir else home, dependencies)
        for path in _files(place.resolve()):
            tracer.visit(_name(path, tracer.home), path)
    elif target.endswith(".py"):
        if not place.is_file():
            raise NoSuchTarget(f"{target}: there is no such file")
        tracer = _Tracer(target, Path(app_dir or place.parent).resolve(), dependencies)
        tracer.visit(place.stem, place.resolve())
    else:
        tracer = _Tracer(target, Path(app_dir or os.curdir).resolve(), dependencies)
        _visit_module(tracer, target)
    return tracer.report()


def _visit_module(tracer: _Tracer, target: str) -> None:
    module, _, expression = target.partition(":")
    if not all(part.isidentifier() for part in module.split(".")):
        raise NoSuchTarget(f"{target}: give MODULE:CALLABLE, or the path of a file or a directory")
    path = tracer.find(module)
    if path is None:
        raise NoSuchTarget(
            f"{target}: there is no module {module!r} in {tracer.home} or elsewhere on the path"
        )
    tracer.follow(module)
    reading = tracer.read.get(path)
    if reading is None:
        raise NoSuchTarget(f"{target}: {path} cannot be read as Python: {tracer.unread.get(path)}")
    name = expression.partition("(")[0].partition(".")[0].strip()
    if name and name not in reading.names and not reading.is_open:
        near = difflib.get_close_matches(name, reading.names, n=1)
        raise NoSuchTarget(
            f"{target}: {module} has no {name!r}" + (f"; did you mean {near[0]}?" if near else "")
        )


def _files(directory: Path) -> list[Path]:
    """The Python files beneath, without hidden directories and virtual environments."""
    found = []
    for root, directories, names in os.walk(directory):
        directories[:] = sorted(
            name
            for name in directories
            if not name.startswith((".", "__pycache__"))
            and not os.path.exists(os.path.join(root, name, "pyvenv.cfg"))
        )
        found += [Path(root, name) for name in sorted(names) if name.endswith(".py")]
    return found


def _name(path: Path, home: Path) -> str:
    parts = path.relative_to(home).with_suffix("").parts if path.is_relative_to(home) else (path.stem,)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True, slots=True)
class _Delayed:
    """What counts only if a patch comes after it."""

    path: Path
    late: Late


class _Tracer:
    """Follows imports, and remembers what the modules said."""

    def __init__(self, target: str, home: Path, dependencies: bool) -> None:
        self.home = home
        self.read: dict[Path, Reading] = {}
        self.unread: dict[Path, str] = {}
        self._target = target
        self._dependencies = dependencies
        self._seen: set[str] = set()
        self._found: dict[str, Path | None] = {}
        self._imported: list[str] = []  # top-level packages, as far as they are come
        self._patches: list[Patch] = []
        self._late: list[_Delayed] = []

    # Finding

    def find(self, name: str) -> Path | None:
        """The source of a module; nothing is imported for it."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Path | None:
        first, *rest = name.split(".")
        finder = importlib.machinery.PathFinder
        spec = finder.find_spec(first, [str(self.home), *sys.path])
        if spec is None and first not in sys.modules:
            try:
                spec = importlib.util.find_spec(first)  # installed for editing, say
            except (ImportError, ValueError):
                spec = None
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return None
            # By its last name alone: for a whole one, the finder looks for the path of a package without
            # an __init__.py at its parent in sys.modules, and nothing has been imported.
            spec = finder.find_spec(part, list(spec.submodule_search_locations))
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        return Path(spec.origin)

    def is_own(self, path: Path) -> bool:
        """Whether it is the application's, and not a dependency's."""
        return path.is_relative_to(self.home) and "site-packages" not in path.relative_to(self.home).parts

    # Following

    def follow(self, name: str) -> None:
        """Imports a module: its packages first."""
        first = name.partition(".")[0]
        if first in _KNOWN or first in sys.stdlib_module_names:
            self._note_import(first)
            return
        parts = name.split(".")
        for number in range(1, len(parts) + 1):
            full = ".".join(parts[:number])
            if full in self._seen:
                continue
            path = self.find(full)
            if path is None or not (self._dependencies or self.is_own(path)):
                self._seen.add(full)
                continue
            self.visit(full, path)
        self._note_import(first)

    def _note_import(self, first: str) -> None:
        if first not in _QUIET and first not in self._imported:
            self._imported.append(first)

    def visit(self, name: str, path: Path) -> None:
        """Reads a module, and goes through what running it would do."""
        if name in self._seen or path in self.read or path in self.unread:
            return
        self._seen.add(name)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        try:
            tree = ast.parse(path.read_bytes(), str(path))
            reading = self.read[path] = read(tree, package)
        except (SyntaxError, ValueError, OSError, RecursionError) as error:
            self.unread[path] = str(error)
            return
        for step in reading.steps:
            match step:
                case Imports(names):
                    for each in names:
                        self.follow(each)
                case Patches(line):
                    when = (
                        f"after importing {', '.join(self._imported)}" if self._imported else "first of all"
                    )
                    self._patches.append(Patch(self._shown(path), line, when))
                case Late() if not self._patches and self.is_own(path):
                    self._late.append(_Delayed(path, step))

    # Telling

    def report(self) -> Report:
        report = Report(self._target, modules=len(self.read))
        uses: Counter[str] = Counter()
        installs = any(reading.installs for reading in self.read.values())
        report.patches = list(self._patches)
        for path, reading in self.read.items():
            own = self.is_own(path)
            uses.update(reading.uses)
            if not installs:
                report.imports += [f"{self._shown(path)}:{line}" for line in reading.imports]
            report.patches += [
                Patch(self._shown(path), line, "in a function, when that is called")
                for line in reading.patches_later
            ]
            notes = [note for note in reading.notes if own or note.code not in _OWN_BUSINESS]
            report.findings += [self._finding(path, note) for note in notes]
        report.uses = dict(uses)
        if self._patches:
            report.findings += [
                self._finding(each.path, Note(each.late.line, "patch-late", each.late.what))
                for each in self._late
            ]
        elif not report.patches and uses:
            report.findings += [
                self._finding(path, note)
                for path, reading in self.read.items()
                if self.is_own(path)
                for note in reading.waits
            ]
        report.findings = sorted(set(report.findings))
        report.unread = [f"{self._shown(path)}: {why}" for path, why in sorted(self.unread.items())]
        return report

    def _finding(self, path: Path, note: Note) -> Finding:
        cure = RULES[note.code].cure
        if note.code == "missing":
            cure = next((MISSING[name] for name in MISSING if name.rpartition(".")[2] in note.what), cure)
        return Finding(self._shown(path), note.line, note.code, note.what, cure, not self.is_own(path))

    def _shown(self, path: Path) -> str:
        """A path as one would type it."""
        for base in (Path.cwd(), self.home):
            if path.is_relative_to(base):
                return str(path.relative_to(base))
        return str(path)
