"""One module, read: what it does with eventlet, line by line, and what happens when it is imported.

Knows syntax trees; what the uses mean is in knowledge.py, and where modules are found in tracing.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .knowledge import (
    CALLS,
    KEYS,
    METHODS,
    NAMES,
    PATCH_GROUPS,
    PATCHERS,
    SPAWNERS,
    UNPATCHED_GROUPS,
    WAITING,
    exists,
)
from .scopes import Names, absolute, own_nodes, plain

__all__ = ["Imports", "Late", "Note", "Patches", "Reading", "Step", "read"]

EVENTLET = "eventlet"


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a rule speaks of."""

    line: int
    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Imports:
    """Running the module imports these, in this order."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patches:
    """Running the module calls monkey_patch()."""

    line: int


@dataclass(frozen=True, slots=True)
class Late:
    """Running the module makes what a later patch does not reach."""

    line: int
    what: str


Step = Imports | Patches | Late


@dataclass(slots=True)
class Reading:
    """What one module says."""

    notes: list[Note] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)  # names of eventlet's, as often as they are touched
    waits: list[Note] = field(default_factory=list)  # calls that wait natively unless patched
    imports: list[int] = field(default_factory=list)  # lines that import eventlet by its own name
    patches_later: list[int] = field(default_factory=list)  # lines within functions
    installs: bool = False
    names: frozenset[str] = frozenset()  # that the module has when it has run
    is_open: bool = False  # it may have others, by a star or __getattr__


def read(tree: ast.Module, package: str) -> Reading:
    """Reads a module of `package` ("" for none)."""
    outer = Names(tree, package)
    reader = _Reader(tree, outer)
    reader.generic_visit(tree)
    reading = reader.reading
    reading.steps = list(_steps(tree, outer))
    reading.names = frozenset({*outer.imported, *outer.assigned})
    reading.is_open = "*" in outer.imported or "__getattr__" in outer.assigned
    return reading


# What it does, wherever that stands


class _Reader(ast.NodeVisitor):
    def __init__(self, tree: ast.Module, names: Names) -> None:
        self.reading = Reading()
        self._names = names
        self._guarded = 0  # depth of `try` whose handlers expect a failed import
        self._gate: str | None = None  # what start_response is called in the application around us
        self._environ = {"env", "environ"}
        # What attributes such as self.worker were assigned.
        self._kept = {
            ast.unparse(node.targets[0]): node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)
        }

    def _note(self, node: ast.AST, code: str, what: str = "") -> None:
        self.reading.notes.append(Note(node.lineno, code, what or ast.unparse(node)))  # type: ignore[attr-defined]

    # Scopes

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for outside in (*getattr(node, "decorator_list", ()), *_defaults(node)):
            self.visit(outside)
        gate, environ = self._gate, self._environ
        found = _application(node)
        if found is not None:
            self._environ = {*environ, found[0]}
            self._gate = found[1]
        elif not isinstance(node, ast.Lambda):
            self._gate = None
        self._visit_within(node, node.body if isinstance(node.body, list) else [node.body])
        self._gate, self._environ = gate, environ

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            if self._names.full_name(base) == "eventlet.wsgi.HttpProtocol":
                self._note(node, "protocol", f"class {node.name}({ast.unparse(base)})")
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name == "handle_one_response":
                        self._note(method, "protocol-response", f"def {method.name}")
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        self._visit_within(node, node.body)

    def _visit_comprehension(self, node: ast.AST) -> None:
        self._visit_within(node, list(ast.iter_child_nodes(node)))

    def _visit_within(self, node: ast.AST, inner: Iterable[ast.AST]) -> None:
        """Visits what has names of its own."""
        outer, self._names = self._names, Names(node, self._names.package, self._names)
        for each in inner:
            self.visit(each)
        self._names = outer

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension

    # Imports

    def visit_Try(self, node: ast.Try) -> None:
        expected = any(_expects_no_module(handler.type) for handler in node.handlers)
        self._guarded += expected
        for inner in node.body:
            self.visit(inner)
        self._guarded -= expected
        for rest in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(rest)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = absolute(node, self._names.package)
        for alias in node.names:
            self._imported(node, origin if alias.name == "*" else f"{origin}.{alias.name}")

    def _imported(self, node: ast.stmt, full: str) -> None:
        if _is_of(EVENTLET, full) and node.lineno not in self.reading.imports:
            self.reading.imports.append(node.lineno)
        name = plain(full)
        if name.partition(".")[0] == "greenlet":
            self._note(node, "greenlet")
        elif _is_of(EVENTLET, name):
            self.reading.uses.append(name)
            self._judge(node, name, ast.unparse(node))

    def _judge(self, node: ast.AST, name: str, what: str) -> None:
        """A name of eventlet's, imported or used."""
        if not exists(name):
            if not self._guarded:
                self._note(node, "missing", f"{what}: {name}" if name not in what else what)
        elif name in NAMES and not isinstance(node, ast.Import | ast.ImportFrom):
            self._note(node, NAMES[name], what)

    # Uses

    def visit_Name(self, node: ast.Name) -> None:
        self._used(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._used(node):
            self.visit(node.value)

    def _used(self, node: ast.Name | ast.Attribute) -> bool:
        """Counts a use of a name of eventlet's; False if it is none."""
        name = self._names.full_name(node)
        if name is None or not _is_of(EVENTLET, name):
            return False
        if isinstance(node, ast.Attribute):
            self.reading.uses.append(name)
        if isinstance(node, ast.Name) and not exists(name):
            return True  # told where it was imported
        base = self._names.full_name(node.value) if isinstance(node, ast.Attribute) else None
        if base is None or exists(base):
            self._judge(node, name, ast.unparse(node))
        return True

    def visit_Call(self, node: ast.Call) -> None:
        name = self._names.full_name(node.func)
        imported = self._names.full_name(
            node
        )  # importlib.import_module("eventlet"), a whole module by a call
        if imported is not None and name != imported and _is_of(EVENTLET, imported):
            self._imported_by_call(node, imported)
        if name in PATCHERS:
            self._patch(node)
        elif name == "eventlet.install":
            self.reading.installs = True
        elif name == "eventlet.hubs.use_hub" and node.args and not isinstance(node.args[0], ast.Constant):
            self._note(node, "hub-of-ones-own")
        elif name in CALLS and _takes_effect(CALLS[name], node):
            self._note(node, CALLS[name])
        elif name in WAITING:
            self.reading.waits.append(Note(node.lineno, "no-patch", ast.unparse(node)))
        elif isinstance(node.func, ast.Attribute):
            self._method(node, node.func)
        elif (
            isinstance(node.func, ast.Name)
            and node.func.id == self._gate
            and len(node.args) > 1
            and isinstance(node.args[1], ast.Dict)
        ):
            self._note(node, "headers-dict")
        self.generic_visit(node)

    def _imported_by_call(self, node: ast.Call, name: str) -> None:
        if isinstance(node.args[0], ast.Constant) and not str(node.args[0].value).startswith("dualwsgi."):
            self.reading.imports.append(node.lineno)
        self.reading.uses.append(name)
        self._judge(node, name, ast.unparse(node))

    def _patch(self, node: ast.Call) -> None:
        self._note(node, "patch")
        for keyword in node.keywords:
            if keyword.arg is None:
                continue
            on = not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
            if keyword.arg in UNPATCHED_GROUPS and on:
                self._note(node, "patch-group", f"monkey_patch({keyword.arg}=...)")
            elif keyword.arg not in PATCH_GROUPS | UNPATCHED_GROUPS:
                self._note(node, "patch-unknown", f"monkey_patch({keyword.arg}=...)")
        if not isinstance(self._names.node, ast.Module):
            self.reading.patches_later.append(node.lineno)
            self._note(node, "patch-in-function")

    def _method(self, node: ast.Call, func: ast.Attribute) -> None:
        if func.attr in METHODS:
            self._note(node, METHODS[func.attr])
        elif func.attr == "kill" and self._came_of(func.value) in SPAWNERS:
            self._note(node, "kill")
        elif func.attr == "get_socket" and self._is_input(func.value):
            self._note(node, "get-socket")
        elif func.attr in ("get", "pop", "setdefault") and node.args:
            self._key(node, func.value, node.args[0])

    def _came_of(self, node: ast.expr) -> str | None:
        """The function whose result this is."""
        value = self._value(node)
        return self._names.full_name(value.func) if isinstance(value, ast.Call) else None

    def _value(self, node: ast.expr) -> ast.expr | None:
        if isinstance(node, ast.Name):
            return self._names.value_of(node.id)
        return self._kept.get(ast.unparse(node)) if isinstance(node, ast.Attribute) else node

    def _is_input(self, node: ast.expr) -> bool:
        value = self._value(node)
        return (
            isinstance(value, ast.Subscript)
            and isinstance(value.slice, ast.Constant)
            and value.slice.value in ("wsgi.input", "eventlet.input")
        )

    # environ

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._key(node, node.value, node.slice)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            self._key(node, node.comparators[0], node.left)
        self.generic_visit(node)

    def _key(self, node: ast.expr, holder: ast.expr, key: ast.expr) -> None:
        if not isinstance(key, ast.Constant) or key.value not in KEYS:
            return
        ours = str(key.value).startswith("eventlet.")
        if ours or (isinstance(holder, ast.Name) and holder.id in self._environ) or _ends_in_environ(holder):
            self._note(node, KEYS[key.value])

    # What an application gives back

    def visit_Return(self, node: ast.Return) -> None:
        if self._gate is not None and isinstance(node.value, ast.List | ast.Tuple):
            self._content(node.value.elts)
        elif self._gate is not None and node.value is not None:
            self._content([node.value])
        self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield) -> None:
        if self._gate is not None and node.value is not None:
            self._content([node.value])
        self.generic_visit(node)

    def _content(self, pieces: list[ast.expr]) -> None:
        for piece in pieces:
            if _is_text(piece):
                self._note(piece, "text")
                break


def _is_of(package: str, name: str) -> bool:
    return name == package or name.startswith(package + ".")


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str(value)):
            return value != ""
        case ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Mod() | ast.Add()):
            return _is_text(left)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()), attr="format" | "join")):
            return True
    return False


def _takes_effect(code: str, node: ast.Call) -> bool:
    """Whether a call of these does what cannot be done everywhere: Timeout() and Timeout(None) never fire."""
    first = node.args[0] if node.args else next((word.value for word in node.keywords), None)
    never = first is None or (isinstance(first, ast.Constant) and first.value in (None, False))
    return not never


def _expects_no_module(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    said = {
        name.id if isinstance(name, ast.Name) else "" if name is not None else "Exception" for name in names
    }
    return bool(said & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def _ends_in_environ(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("environ", "env")


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.expr]:
    return [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]


def _application(node: ast.AST) -> tuple[str, str] | None:
    """What environ and start_response are called in a WSGI application; None if it is none."""
    if not isinstance(node, ast.FunctionDef):
        return None
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    if len(names) != 2:
        return None
    called = any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == names[1]
        for inner in own_nodes(node)
    )
    return (names[0], names[1]) if called else None


# What happens when it is imported, in order


def _steps(tree: ast.Module, names: Names) -> Iterator[Step]:
    yield from _run(tree.body, names)


def _run(body: list[ast.stmt], names: Names) -> Iterator[Step]:
    for statement in body:
        match statement:
            case ast.If(test=test) if _is_type_checking(test):
                yield from _run(statement.orelse, names)
            case ast.If() | ast.For() | ast.While():
                yield from _run(statement.body, names)
                yield from _run(statement.orelse, names)
            case ast.With():
                yield from _run(statement.body, names)
            case ast.Try():
                yield from _run(statement.body, names)
                for handler in statement.handlers:
                    yield from _run(handler.body, names)
                yield from _run(statement.orelse, names)
                yield from _run(statement.finalbody, names)
            case ast.ClassDef():
                if any(names.full_name(base) == "threading.local" for base in statement.bases):
                    yield Late(statement.lineno, f"class {statement.name}(threading.local)")
                yield from _run(statement.body, names)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for value in _defaults(statement):
                    if names.full_name(value) in WAITING:
                        yield Late(value.lineno, f"{ast.unparse(value)} as a default of {statement.name}()")
            case ast.Import():
                yield Imports(tuple(alias.name for alias in statement.names))
            case ast.ImportFrom():
                origin = absolute(statement, names.package)
                yield Imports((origin, *(f"{origin}.{alias.name}" for alias in statement.names)))
            case _:
                yield from _calls(statement, names)


def _calls(statement: ast.stmt, names: Names) -> Iterator[Step]:
    for node in (statement, *own_nodes(statement)):
        if not isinstance(node, ast.Call):
            continue
        name = names.full_name(node.func)
        if name in PATCHERS:
            yield Patches(node.lineno)
        elif name == "functools.partial" and node.args and names.full_name(node.args[0]) in WAITING:
            yield Late(node.lineno, ast.unparse(node))
        elif name == "importlib.import_module" and node.args and isinstance(node.args[0], ast.Constant):
            yield Imports((str(node.args[0].value),))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
