"""Joins the floors: listeners, the backend, signals, logs.  Only this package knows them all.

The package can be called: `dualwsgi.serve(app)` is `dualwsgi.serve.front.serve(app)`.  The import
of anything in here binds this package to the very name that the front door gives the function.
"""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, app: Any, bind: str | Sequence[str] | None = None, **settings: Any) -> None:
        """Serves `app`, or what "module:app" names, until SIGINT or SIGTERM.

        Keyword arguments are fields of Config.
        """
        from .front import serve

        serve(app, bind, **settings)


sys.modules[__name__].__class__ = _CallablePackage
