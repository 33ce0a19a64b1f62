"""From the text `module:callable` to a WSGI application, with errors that tell the cure.

    hello              the module's `application`, else its `app`
    hello:app          an attribute
    pkg.mod:site.wsgi  an attribute of an attribute
    pkg.mod:make_app("prod", debug=True)
                       what the factory returns; its arguments are literals

Knows importing and nothing of serving: a worker process loads its application anew with it.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from ..errors import ConfigError

__all__ = [
    "ApplicationNotFound",
    "ApplicationNotLoaded",
    "NotAnApplication",
    "WSGIApplication",
    "load_app",
    "load_hook",
]

# PEP 3333's application(environ, start_response) -> iterable of bytes.
WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Tried in this order where the target names none: PEP 3333's own word first, as mod_wsgi, uWSGI and
# gunicorn have it, then the one that Flask and most tutorials use.
DEFAULT_NAMES = ("application", "app")


class ApplicationNotFound(ConfigError):
    """The target cannot be read, or names a module or an attribute that does not exist."""


class ApplicationNotLoaded(ConfigError):
    """The module or the factory was found and failed; `detail` is its traceback, without ours."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class NotAnApplication(ConfigError):
    """What the target names cannot be called with (environ, start_response)."""


def load_app(target: str, app_dir: str | os.PathLike[str] | None = None) -> WSGIApplication:
    """Import the application that `target` names; the forms are at the top of this module.

    `app_dir` (default: the current directory) is put first on `sys.path` and stays there, since an
    application may import more of itself later.  Raises ApplicationNotFound, ApplicationNotLoaded
    or NotAnApplication, all of them ConfigErrors.
    """
    module_name, _, expression = target.partition(":")
    if module_name.endswith(".py") or not all(part.isidentifier() for part in module_name.split(".")):
        raise ApplicationNotFound(_misread(target, module_name))
    attributes, call = _parse(target, expression)

    try:
        directory = os.path.abspath(app_dir or os.curdir)
    except OSError:
        # As after a deployment that has removed the release before it.
        raise ApplicationNotFound(
            "the working directory has been removed; start it anew, in one that stays (--chdir, or "
            "WorkingDirectory= of the unit)"
        ) from None
    if directory not in sys.path:
        sys.path.insert(0, directory)

    module = _import(module_name, directory)
    if not attributes:
        attributes = [next((name for name in DEFAULT_NAMES if hasattr(module, name)), DEFAULT_NAMES[-1])]
        if not hasattr(module, attributes[0]):
            raise ApplicationNotFound(_no_default(module_name, module))
    found = _look_up(module, module_name, attributes)
    spoken = f"{module_name}:{'.'.join(attributes)}"
    if call is not None:
        spoken += "(...)" if call.args or call.keywords else "()"
        found = _call_factory(spoken, found, call)
    _require_application(spoken, found)
    return found  # type: ignore[no-any-return]  # as far as a signature can tell, it is one


def load_hook(target: str) -> Callable[..., Any]:
    """Import the callable that `target`, MODULE:NAME, names.  Raises as load_app()."""
    module_name, _, expression = target.partition(":")
    found = _look_up(_import(module_name, os.getcwd()), module_name, expression.split("."))
    if not callable(found):
        raise NotAnApplication(f"{target}: it cannot be called, it is {_kind(found)}; name a callable")
    return found  # type: ignore[no-any-return]


def _look_up(module: ModuleType, module_name: str, attributes: list[str]) -> Any:
    found: Any = module
    for depth, name in enumerate(attributes):
        try:
            found = getattr(found, name)
        except AttributeError:
            owner = ":".join((module_name, *filter(None, [".".join(attributes[:depth])])))
            raise ApplicationNotFound(_no_attribute(owner, found, name)) from None
    return found


# Reading the target


def _parse(target: str, expression: str) -> tuple[list[str], ast.Call | None]:
    """The dotted names of `expression` and, where it is a factory, its call."""
    if not expression:
        return [], None
    cure = "give MODULE:NAME, MODULE:NAME.NAME or MODULE:FACTORY(literals)"
    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):
        raise ApplicationNotFound(f"{target}: {expression!r} is not a name; {cure}") from None
    call = node if isinstance(node, ast.Call) else None
    name = call.func if call else node
    names: list[str] = []
    while isinstance(name, ast.Attribute):
        names.insert(0, name.attr)
        name = name.value
    if not isinstance(name, ast.Name):
        raise ApplicationNotFound(f"{target}: {expression!r} is more than a name; {cure}")
    return [name.id, *names], call


def _misread(target: str, module_name: str) -> str:
    if module_name.endswith(".py"):
        path = Path(module_name)
        app_dir = "" if str(path.parent) == "." else f" --app-dir {path.parent}"
        return f"{target}: a module is wanted, not a file; give {path.stem}:app{app_dir}"
    if os.sep in module_name:
        return f"{target}: a module is wanted, not a path; give its dotted name, with --app-dir DIRECTORY"
    return f"{target}: {module_name!r} is not the name of a module; give MODULE:NAME such as hello:app"


# Importing


def _import(module_name: str, directory: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Its own name or a parent's: nobody got as far as running the module's code.
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ApplicationNotFound(_no_module(module_name, error.name, directory)) from None
        cure = "; --as-eventlet has it find dualwsgi's" if str(error.name).split(".")[0] == "eventlet" else ""
        raise _not_loaded(f"{module_name}: a module that it imports is missing", error, cure) from None
    except SystemExit as error:
        raise _not_loaded(f"{module_name}: it exits while it is imported", error) from None
    except Exception as error:
        raise _not_loaded(f"{module_name}: importing it failed", error) from None


def _not_loaded(message: str, error: BaseException, cure: str = "") -> ApplicationNotLoaded:
    # The operator's frames alone: not this module's, not those of the import system.
    frames: TracebackType | None = error.__traceback__
    while frames and (
        frames.tb_frame.f_code.co_filename in (__file__, importlib.__file__)
        or frames.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    ):
        frames = frames.tb_next
    lines = traceback.TracebackException(type(error), error, frames).format()
    return ApplicationNotLoaded(f"{message}: {_summary(error)}{cure}", "".join(lines))


def _summary(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def _call_factory(spoken: str, factory: Any, call: ast.Call) -> Any:
    if not callable(factory):
        raise NotAnApplication(f"{spoken}: it cannot be called, it is {_kind(factory)}; leave out the ()")
    try:
        args = [ast.literal_eval(arg) for arg in call.args]
        kwargs = {word.arg or "**": ast.literal_eval(word.value) for word in call.keywords}
    except (ValueError, TypeError, SyntaxError):
        cure = 'give texts, numbers, True, False or None, such as make_app("prod", 3)'
        raise ApplicationNotFound(f"{spoken}: an argument is not a literal; {cure}") from None
    try:
        return factory(*args, **kwargs)
    except Exception as error:
        raise _not_loaded(f"{spoken}: the factory failed", error) from None


# Judging what was found


def _require_application(spoken: str, found: Any) -> None:
    if not callable(found):
        raise NotAnApplication(f"{spoken}: it cannot be called, it is {_kind(found)}; name the application")
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(type(found).__call__):
        raise NotAnApplication(f"{spoken}: it is an ASGI application; this server speaks WSGI (PEP 3333)")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return  # written in C, or told wrongly: the first request will show
    try:
        signature.bind({}, None)
    except TypeError:
        message = f"{spoken}: it cannot be called with (environ, start_response), it takes {signature}"
        if not any(parameter.default is parameter.empty for parameter in signature.parameters.values()):
            message += f"; if it makes the application, give {spoken}()"
        raise NotAnApplication(message) from None


def _kind(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0] in "aeiou" else f"a {name}"


# Telling the cure


def _no_module(wanted: str, missing: str, directory: str) -> str:
    message = f"{wanted}: there is no module {missing!r} in {directory} or elsewhere on the path"
    parent, _, leaf = missing.rpartition(".")
    where = os.path.join(directory, *parent.split("."))
    if not os.access(directory, os.R_OK | os.X_OK):
        return f"{wanted}: {directory} cannot be read by this user (uid {os.geteuid()}); let it read there"
    try:
        names = {Path(entry).stem for entry in os.listdir(where) if entry.endswith(".py") or "." not in entry}
    except OSError:
        names = set()
    if near := _near(leaf, names):
        return f"{message}; did you mean {'.'.join(filter(None, [parent, near]))}?"
    return f"{message}; give --app-dir DIRECTORY if it is in another place"


def _no_default(module_name: str, module: ModuleType) -> str:
    message = f"{module_name}: it has neither {DEFAULT_NAMES[0]!r} nor {DEFAULT_NAMES[1]!r}"
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module_name and not name.startswith("_")
    ]
    factories = [name for name in own if "app" in name.lower()]
    if factories and not isinstance(getattr(module, factories[0]), type):
        return f"{message}; if {factories[0]} makes the application, give {module_name}:{factories[0]}()"
    return f"{message}; give {module_name}:NAME" + (f" (it has {', '.join(own[:5])})" if own else "")


def _no_attribute(owner: str, holder: object, name: str) -> str:
    near = _near(name, [known for known in dir(holder) if not known.startswith("_")])
    separator = "." if ":" in owner else ":"
    return f"{owner}: it has no attribute {name!r}" + (
        f"; did you mean {owner}{separator}{near}?" if near else f"; give {owner}{separator}NAME"
    )


def _near(name: str, known: Iterable[str]) -> str | None:
    lowered = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[matches[0]] if matches else None
