"""eventlet's names, on greenlets or on OS threads: `from dualwsgi import eventlet`.

    from dualwsgi import eventlet
    from dualwsgi.eventlet import wsgi

    wsgi.server(eventlet.listen(("", 8090)), app)

DUALWSGI_BACKEND=green (the default here) or threads chooses what runs below.  `install()` makes
`import eventlet` in other people's programs find these modules.  What differs from eventlet's own,
and why, is in docs/eventlet.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .ground import BACKEND as BACKEND

__version__ = "0.41.3"
"""The version whose ways are kept, for programs that ask."""
version_info = (0, 41, 3)

_HOMES = {
    "convenience": ("StopServe", "connect", "listen", "serve", "wrap_ssl"),
    "event": ("Event",),
    "greenpool": ("GreenPile", "GreenPool"),
    "greenthread": (
        *("GreenThread", "getcurrent", "kill", "sleep", "spawn"),
        *("spawn_after", "spawn_after_local", "spawn_n"),
    ),
    "installing": ("install",),
    "patcher": ("import_patched", "monkey_patch"),
    "queue": ("LightQueue", "Queue"),
    "semaphore": ("BoundedSemaphore", "CappedSemaphore", "Semaphore"),
    "timeout": ("Timeout", "is_timeout", "with_timeout", "wrap_is_timeout"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = frozenset(
    {
        *(
            "backdoor",
            "convenience",
            "corolocal",
            "debug",
            "event",
            "green",
            "greenio",
            "greenpool",
            "greenthread",
        ),
        *("hubs", "patcher", "pools", "queue", "semaphore", "support", "timeout", "tpool"),
        *("websocket", "wsgi"),
    }
)
__all__ = sorted({*_HOME, *_MODULES, "BACKEND"})  # noqa: PLE0605 - a list, made of what stands above


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = import_module(f".{name}", __name__)
    elif name == "greenlet":
        value = import_module(".greenthread", __name__).greenlet
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
