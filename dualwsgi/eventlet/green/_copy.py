"""Making modules of the standard library anew, over what waits as the chosen backend waits.

A copy is the standard module's own code, run once more while green modules stand in for those that it
imports.  On threads the standard modules wait as they should, and are taken as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ..ground import IS_GREEN

HERE = __name__.rpartition(".")[0]

# What a copy may import, by the name it imports it by, and what it gets.
STAND_INS = {
    "socket": "socket",
    "ssl": "ssl",
    "select": "select",
    "selectors": "selectors",
    "time": "time",
    "os": "os",
    "_thread": "thread",
    "threading": "threading",
    "queue": "Queue",
    "subprocess": "subprocess",
    "socketserver": "SocketServer",
    "http.client": "http.client",
    "http.server": "http.server",
    "urllib.request": "urllib.request",
}


def fill(names: dict[str, Any], module: ModuleType) -> None:
    """All names of `module`, public or not, but those that a module has of itself."""
    for name, value in vars(module).items():
        if not (name.startswith("__") and name.endswith("__")):
            names.setdefault(name, value)
    if "__all__" in vars(module):
        names.setdefault("__all__", list(module.__all__))


@contextmanager
def standing_in(modules: dict[str, Any], afresh: tuple[str, ...] = ()) -> Iterator[None]:
    """Has importing find these modules, and make the `afresh` ones anew, until the end of the block."""
    kept = {name: sys.modules.get(name) for name in (*modules, *afresh)}
    for name in afresh:
        sys.modules.pop(name, None)
    sys.modules.update(modules)
    parents = _in_parents(modules)
    try:
        yield
    finally:
        for parent, attribute, value in parents:
            if value is None:
                delattr(parent, attribute)
            else:
                setattr(parent, attribute, value)
        for name, module in kept.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _in_parents(modules: dict[str, Any]) -> list[tuple[Any, str, Any]]:
    """`http.client` asks the package for its attribute, too: it is told.  Returns what to set back."""
    changed = []
    for name, module in modules.items():
        package, _, attribute = name.rpartition(".")
        if package:
            parent = importlib.import_module(package)
            changed.append((parent, attribute, getattr(parent, attribute, None)))
            setattr(parent, attribute, module)
    return changed


def keep_packages(module: ModuleType, modules: dict[str, Any]) -> None:
    """Has `module` keep the green ones that it has imported as parts of a package.

    `import http.client` binds the package, whose attributes are the standard ones again once the others
    no longer stand in: so the name is bound to the green package.
    """
    for name in modules:
        package = name.rpartition(".")[0]
        if package and vars(module).get(package) is sys.modules.get(package):
            setattr(module, package, importlib.import_module(f"{HERE}.{package}"))


def stand_ins(*names: str) -> dict[str, Any]:
    """The green modules that stand in for those of these names."""
    return {name: importlib.import_module(f"{HERE}.{STAND_INS[name]}") for name in names}


def copy(names: dict[str, Any], standard: str, *beneath: str, shared: tuple[str, ...] = ()) -> None:
    """Fills a module with a copy of the `standard` one over the green ones `beneath` it.

    `shared` are names, of exceptions, that the copy has in common with it.
    """
    native = importlib.import_module(standard)
    if not IS_GREEN:
        fill(names, native)
        return
    modules = stand_ins(*beneath)
    spec = importlib.util.find_spec(standard)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with standing_in({**modules, standard: made}):
        spec.loader.exec_module(made)
        keep_packages(made, modules)
    vars(made).update({name: getattr(native, name) for name in shared})
    fill(names, made)
