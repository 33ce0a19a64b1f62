"""The house plan as a test: imports point down only, and each floor knows just what it may.

Read from the source by ast, so nothing is imported, and imports inside functions and under
TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

# From the cellar up.  A part may import itself and what stands below it.
FLOORS = (
    *("errors", "_version", "config", "counters", "native", "seam"),
    "http11",
    "gateway",
    *("green", "backends"),
    "serve",
    "__init__",  # the front door
    "compare",  # starts servers as child processes, and is imported by none
    *("eventlet", "testing"),  # the annexes: nobody inside imports them
    "doctor",  # looks at programs, and at what the annexe has
)
FLOOR = {part: height for height, part in enumerate(FLOORS)}

# Parts that may import less of the house than their floor allows.
ONLY = {
    "green": {"errors"},
    "http11": {"errors", "config", "seam", "counters"},
    "example": set[str](),
    "compare": {"_version", "config", "errors"},
    "doctor": {"errors", "eventlet"},
    "__main__": set[str](),
}

# The protocol core has bytes and messages: no socket, clock, thread or log.
HTTP11_STDLIB = {
    *("__future__", "base64", "bisect", "collections", "dataclasses", "enum", "functools"),
    *("ipaddress", "itertools", "re", "string", "struct", "types", "typing"),
}

# Where greenlet may be imported; nothing else from outside the standard library may be, anywhere.
GREENLET_AT_HOME = ("dualwsgi/green/", "dualwsgi/backends/green/")

# What runs in the load generator's own process, which is nobody's import.
LOCUST_AT_HOME = "dualwsgi/compare/driver.py"

# What the command line need not know.
CLI_FORBIDDEN = {"http11", "gateway", "backends", "counters", "seam"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every name that `path` imports, in full: `from a import b` is a.b."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    base = ROOT / "cli" if path.is_relative_to(ROOT / "cli") else ROOT
    package = path.relative_to(base).parent.parts
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)


def house_imports(path: Path) -> set[tuple[str, ...]]:
    """What `path` imports of dualwsgi: dualwsgi.http11.head is ('http11', 'head')."""
    found = {tuple(name.split(".")[1:]) for name in imports(path) if name.partition(".")[0] == "dualwsgi"}
    # `from dualwsgi import Config` names no part: it comes through the front door.
    return {names if names and is_part(names[0]) else ("__init__", *names) for names in found}


def outside_imports(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)} - {"dualwsgi"}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "dualwsgi").parts[0].removesuffix(".py")


def is_part(name: str) -> bool:
    return (ROOT / "dualwsgi" / name).is_dir() or (ROOT / "dualwsgi" / f"{name}.py").is_file()


def offenders(package: str, fault: Callable[[Path], object]) -> dict[str, object]:
    """The files of a package that `fault` finds something wrong with, and what."""
    found = {path.relative_to(ROOT).as_posix(): fault(path) for path in modules(package)}
    assert found, f"{package} is not where this looks for it"
    return {place: what for place, what in found.items() if what}


def reaching_up(path: Path) -> object:
    part = part_of(path)
    parts = {names[0] for names in house_imports(path)} - {part}
    if part in ONLY:
        return parts - ONLY[part]
    if part not in FLOOR:
        return "it has no floor yet: give it one in FLOORS"
    return {other for other in parts if FLOOR.get(other, len(FLOORS)) >= FLOOR[part]}


def test_imports_point_down_only() -> None:
    assert offenders("dualwsgi", reaching_up) == {}


EXTRAS = {
    "dualwsgi/serve/observe/collector.py": {"prometheus_client"},
    "dualwsgi/serve/observe/tracing.py": {"opentelemetry"},
}
"""Files that stand on an extra of the distribution, and are only imported where that is installed."""


def foreign(path: Path) -> set[str]:
    """What comes neither from the house nor from the standard library, but where it is at home."""
    found = outside_imports(path) - sys.stdlib_module_names
    place = path.relative_to(ROOT).as_posix()
    if place.startswith(GREENLET_AT_HOME):
        found.discard("greenlet")
    if place == "dualwsgi/__main__.py":
        found.discard("dualwsgi_cli")
    if place == "dualwsgi/testing/plugin.py":
        found.discard("pytest")  # which loads it, and nothing else does
    if place == LOCUST_AT_HOME:
        found -= {"locust", "gevent"}
    found -= EXTRAS.get(place, set())
    return found


def test_the_library_stands_on_the_standard_library_and_greenlet() -> None:
    # A greenlet import outside its home would turn the GIL on for the threads backend.
    assert offenders("dualwsgi", foreign) == {}


def test_the_command_line_stands_on_typer_and_rich() -> None:
    # An editable install shows the whole checkout, which a wheel does not hold.
    own = {"dualwsgi_cli", "typer", "rich"} | sys.stdlib_module_names
    assert offenders("cli/dualwsgi_cli", lambda path: outside_imports(path) - own) == {}


def test_nobody_imports_the_process_that_locust_patches() -> None:
    driver = ("compare", "driver")
    assert offenders("dualwsgi", lambda path: driver in {names[:2] for names in house_imports(path)}) == {}


def test_the_protocol_core_has_no_socket_clock_thread_or_log() -> None:
    assert offenders("dualwsgi/http11", lambda path: outside_imports(path) - HTTP11_STDLIB) == {}


def test_the_gateway_does_not_wait_on_its_own() -> None:
    waits = {"select", "selectors", "threading", "_thread", "greenlet"}
    assert offenders("dualwsgi/gateway", lambda path: outside_imports(path) & waits) == {}


def out_of_its_room(path: Path) -> set[tuple[str, ...]]:
    room = path.relative_to(ROOT).parts[2]
    forbidden = {"threads": [("backends", "green"), ("green",)], "green": [("backends", "threads")]}
    heads = [("http11",), *forbidden.get(room, [])]
    return {names for names in house_imports(path) if any(names[: len(head)] == head for head in heads)}


def test_the_backends_know_no_http_and_not_each_other() -> None:
    assert offenders("dualwsgi/backends", out_of_its_room) == {}


def test_the_command_line_keeps_to_the_front_rooms() -> None:
    forbidden = CLI_FORBIDDEN
    rooms = offenders("cli/dualwsgi_cli", lambda path: {n[0] for n in house_imports(path)} & forbidden)
    assert rooms == {}


def test_the_entry_point_imports_nothing_before_it_patches() -> None:
    tree = ast.parse((ROOT / "cli/dualwsgi_cli/entry.py").read_bytes())
    top = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert top == {"__future__", "os", "sys", "collections.abc"}
