"""Names in a syntax tree: what each stands for, as far as imports and plain assignments tell.

A name that is a parameter or is assigned anything else stands for nothing that is known, also where
an import of the same name is in sight further out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["Names", "own_nodes"]

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, *_COMPREHENSIONS)


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What is in `node`, in the order of the source, but not in what has names of its own."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _SCOPES):
            yield from own_nodes(child)


class Names:
    """The names of one module, function, class or comprehension, and those around it."""

    def __init__(self, node: ast.AST, package: str, outer: Names | None = None) -> None:
        self.node = node
        self.package = package
        self.outer = outer
        self.imported: dict[str, str] = {}
        self.assigned: dict[str, ast.expr | None] = {}
        self._resolving: set[str] = set()
        if isinstance(node, Function):
            arguments = node.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                self.assigned[argument.arg] = None
            for rest in (arguments.vararg, arguments.kwarg):
                if rest is not None:
                    self.assigned[rest.arg] = None
        if isinstance(node, _COMPREHENSIONS):
            for part in node.generators:
                self._bind(part.target)
        else:
            for inner in own_nodes(node):
                self._take(inner)

    def _take(self, node: ast.AST) -> None:
        match node:
            case ast.Import():
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    self.imported[alias.asname or first] = alias.name if alias.asname else first
            case ast.ImportFrom():
                origin = absolute(node, self.package)
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = f"{origin}.{alias.name}"
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                # A second value makes it unknown which of them it has.
                self.assigned[name] = None if name in self.assigned else value
            case ast.Name(id=name, ctx=ast.Store()):
                self.assigned.setdefault(name, None)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                self.assigned[name] = None
            case ast.ExceptHandler(name=str(name)):
                self.assigned[name] = None
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                for name in names:
                    self.assigned.pop(name, None)

    def _bind(self, target: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.assigned[node.id] = None

    # Asking

    def full_name(self, node: ast.AST) -> str | None:
        """The dotted name that `node` stands for, such as eventlet.wsgi.server; None if none is known."""
        match node:
            case ast.Name(id=name):
                return self._look_up(name)
            case ast.Attribute(value=value, attr=attr):
                base = self.full_name(value)
                return f"{base}.{attr}" if base is not None else None
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
                if isinstance(func, ast.Name) and func.id == "__import__":
                    return plain(name)
                return plain(name) if self.full_name(func) == "importlib.import_module" else None
        return None

    def _look_up(self, name: str) -> str | None:
        scope: Names | None = self
        while scope is not None:
            # A class's names are not those of the functions in it.
            if scope is self or not isinstance(scope.node, ast.ClassDef):
                if name in scope.imported:
                    return plain(scope.imported[name])
                if name in scope.assigned:
                    return scope._alias(name)
            scope = scope.outer
        return None

    def _alias(self, name: str) -> str | None:
        value = self.assigned[name]
        if value is None or name in self._resolving or isinstance(value, ast.Call):
            return None
        self._resolving.add(name)
        try:
            return self.full_name(value)
        finally:
            self._resolving.discard(name)

    def value_of(self, name: str) -> ast.expr | None:
        """What a name has been assigned, if just one thing, in this scope or around it."""
        scope: Names | None = self
        while scope is not None:
            if name in scope.assigned:
                return scope.assigned[name]
            scope = scope.outer
        return None


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The full name of the module that `from ... import` names, in a module of `package`."""
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join(filter(None, [*above, node.module or ""]))


def plain(name: str) -> str:
    """dualwsgi.eventlet is eventlet, whichever way it was imported."""
    return name.removeprefix("dualwsgi.") if name.startswith("dualwsgi.eventlet") else name
