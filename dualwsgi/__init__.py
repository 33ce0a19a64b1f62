"""dualwsgi: a WSGI server on OS threads or on greenlets, with the same bytes on the wire.

    import dualwsgi
    dualwsgi.serve(app, bind="127.0.0.1:8000", backend="threads")

The names below come in when they are first asked for: whoever wants `dualwsgi.green` to patch the
standard library passes through here, before anything of it (logging, threading) may be imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .config import Config
    from .errors import (
        ApplicationError,
        BadRequest,
        BodyError,
        ClientGone,
        ConfigError,
        DeadlineExceeded,
        DualwsgiError,
        RequestTimeout,
    )
    from .serve.front import serve
    from .serve.server import Server
    from .serve.supervisor import Supervisor

__all__ = [
    "ApplicationError",
    "BadRequest",
    "BodyError",
    "ClientGone",
    "Config",
    "ConfigError",
    "DeadlineExceeded",
    "DualwsgiError",
    "RequestTimeout",
    "Server",
    "Supervisor",
    "__version__",
    "serve",
]

_ROOMS = {"Config": ".config", "Server": ".serve.server", "Supervisor": ".serve.supervisor"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "serve":
        return import_module(".serve", __name__)  # a package that can be called; see there
    value = getattr(import_module(_ROOMS.get(name, ".errors"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
