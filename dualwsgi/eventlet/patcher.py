"""eventlet.patcher: the standard library made cooperative, as a whole or for one module.

On threads nothing has to be patched: monkey_patch() warns and does nothing.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Any

from .ground import IS_GREEN, ground

__all__ = ["import_patched", "inject", "is_monkey_patched", "monkey_patch", "original", "slurp_properties"]

GROUPS = ("MySQLdb", "builtins", "os", "psycopg", "select", "socket", "subprocess", "thread", "time")
"""What monkey_patch() takes, as keywords."""

# What each of them is to dualwsgi.green.patch.
_PARTS = {
    "os": ("os", "signal"),
    "psycopg": ("psycopg",),
    "select": ("select",),
    "socket": ("socket", "dns", "ssl"),
    "subprocess": ("subprocess",),
    "thread": ("thread", "queue", "multiprocessing", "asyncio"),
    "time": ("time",),
}
_NOT_BY_DEFAULT = ("MySQLdb", "builtins", "psycopg")

already_patched: dict[str, bool] = {}

STRICT = "DUALWSGI_STRICT_PATCH"


def monkey_patch(**on: bool) -> None:
    """Makes the standard library cooperative, or those groups of it that are named.

    All but MySQLdb and builtins if none is named True.  TypeError for another name.  On threads it
    warns, and raises RuntimeError if DUALWSGI_STRICT_PATCH is set.
    """
    wanted = _wanted(on)
    if not IS_GREEN:
        _refuse()
        return
    from dualwsgi import green

    if "MySQLdb" in wanted:
        warnings.warn(
            "monkey_patch(MySQLdb=True): the driver waits in C; call it by tpool.execute",
            RuntimeWarning,
            stacklevel=2,
        )
    if "builtins" in wanted and "builtins" not in already_patched:
        _patch_open()
    parts = {part for name in wanted for part in _PARTS.get(name, ())}
    flags = {part: part in parts for group in _PARTS.values() for part in group}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", green.LatePatchWarning)
        green.patch(**flags)
    if "thread" in wanted:
        from .ground import green_current

        green_current.install()
    if "time" in wanted:
        import time

        time.sleep = ground.sleep  # which may be called with 0 in the hub itself
    for each in caught:
        # Names that were imported before are repaired; only what is not is worth a word here.
        if "stay native" in str(each.message) or each.category is not green.LatePatchWarning:
            warnings.warn(each.message, each.category, stacklevel=2)
    for name in sorted(wanted):
        already_patched[name] = True


def _patch_open() -> None:
    """open() tells the hub of each new descriptor, so that nobody waits for one that had its number."""
    from . import hubs

    native = builtins.open

    @functools.wraps(native)
    def notifying(*args: Any, **kwargs: Any) -> Any:
        file = native(*args, **kwargs)
        hubs.notify_opened(file.fileno())
        return file

    builtins.open = notifying


def _wanted(on: dict[str, bool]) -> set[str]:
    unknown = set(on) - {*GROUPS, "all"}
    if unknown:
        raise TypeError(f"monkey_patch() got an unexpected keyword argument {min(unknown)!r}")
    default = on.pop("all", None)
    if default is None:
        default = not any(on.values())
    wanted = {name for name in GROUPS if name not in _NOT_BY_DEFAULT} if default else set()
    if default and "psycopg" not in on:
        wanted.add("psycopg")
    for name, value in on.items():
        (wanted.add if value else wanted.discard)(name)
    return wanted


def _refuse() -> None:
    text = (
        "eventlet.monkey_patch() does nothing on threads, where the standard library waits as it should;"
        " remove the call, or set DUALWSGI_BACKEND=green"
    )
    if os.environ.get(STRICT, "").strip().lower() not in ("", "0", "false", "no", "off"):
        frame = sys._getframe(2)
        raise RuntimeError(f"{frame.f_code.co_filename}:{frame.f_lineno}: {text} ({STRICT} is set)")
    warnings.warn(text, RuntimeWarning, stacklevel=3)


def is_monkey_patched(module: Any) -> bool:
    """Whether a module, or a group by its name, is patched."""
    name = module if isinstance(module, str) else getattr(module, "__name__", "")
    return (
        name in already_patched or {"_thread": "thread", "threading": "thread"}.get(name) in already_patched
    )


def original(modname: str) -> Any:
    """The module as it was before patching, or would be without it."""
    if not IS_GREEN:
        return importlib.import_module(modname)
    from dualwsgi import green

    return green.original(modname)


# One module over green ones


def inject(module_name: str, new_globals: dict[str, Any] | None, *additional_modules: Any) -> Any:
    """Imports a module anew, over green modules: `additional_modules`, as (name, module), or all there are.

    Its names are put into `new_globals`, if given.  It is not left in sys.modules.
    """
    from .green import _copy

    modules = dict(additional_modules) if additional_modules else _green_modules()
    below = tuple(name for name in sys.modules if name == module_name or name.startswith(module_name + "."))
    with _copy.standing_in(modules, afresh=(module_name, *below)):
        module = importlib.import_module(module_name)
        module = sys.modules[module_name]
        for name, made in list(sys.modules.items()):
            if name == module_name or name.startswith(module_name + "."):
                _copy.keep_packages(made, modules)
    if new_globals is not None:
        for name, value in vars(module).items():
            if name not in ("__name__", "__file__", "__builtins__", "__path__"):
                new_globals[name] = value
    return module


def import_patched(module_name: str, *additional_modules: Any, **kw_additional_modules: Any) -> Any:
    """Imports a module anew, over green modules; sys.modules stays as it is."""
    return inject(module_name, None, *additional_modules, *kw_additional_modules.items())


def _green_modules() -> dict[str, ModuleType]:
    from .green import _copy

    return _copy.stand_ins(*_copy.STAND_INS)


def slurp_properties(source: Any, destination: Any, ignore: Any = (), srckeys: Any = None) -> None:
    """Copies the names of one module into the globals of another."""
    keys = dir(source) if srckeys is None else srckeys
    destination.update(
        {name: getattr(source, name) for name in keys if not (name.startswith("__") or name in ignore)}
    )
