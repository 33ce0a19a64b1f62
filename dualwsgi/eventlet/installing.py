"""install(): other people's `import eventlet` finds these modules."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

HERE = __name__.rpartition(".")[0]
NAME = "eventlet"


class _Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds eventlet and what is in it here, as the very same module objects."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != NAME and not fullname.startswith(NAME + "."):
            return None
        here = HERE + fullname[len(NAME) :]
        try:
            found = importlib.util.find_spec(here)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: dualwsgi.eventlet stands in for eventlet and has none",
                name=fullname,
            )
        return importlib.machinery.ModuleSpec(
            fullname, self, is_package=found.submodule_search_locations is not None
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module = importlib.import_module(HERE + spec.name[len(NAME) :])
        self._own: Any = (module.__spec__, module.__loader__)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put the alias's spec on the module, which keeps its own.
        module.__spec__, module.__loader__ = self._own


_alias = _Alias()


def install() -> None:
    """From now on `import eventlet`, and what is in it, finds dualwsgi.eventlet.

    RuntimeError if another eventlet has been imported: half of a program would use each.
    """
    present = sys.modules.get(NAME)
    here = sys.modules[HERE]
    if present is not None and present is not here:
        raise RuntimeError(
            f"eventlet was imported before, from {getattr(present, '__file__', '?')}: call"
            " dualwsgi.eventlet.install() first of all"
        )
    if _alias not in sys.meta_path:
        sys.meta_path.insert(0, _alias)
    sys.modules[NAME] = here
