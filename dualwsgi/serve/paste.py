"""`use = egg:dualwsgi` in the [server:main] of a PasteDeploy file, as `pserve` reads it.

Settings are fields of Config, in text; `host` and `port` are understood too, as other servers take
them.  The application is Paste's to load: this file is called by it and imports nothing of it.

On green, `pserve` has imported the application and much of the standard library before a server is
named, so nothing is patched here; `dualwsgi run --backend green` with a factory that loads the ini
file patches first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..config import Config, bracketed, knobs, read_environ
from ..errors import ConfigError

__all__ = ["server_factory"]


def server_factory(global_conf: Mapping[str, str], **settings: str) -> Callable[[Any], None]:
    """What PasteDeploy calls; returns what serves an application until SIGINT or SIGTERM.

    Raises ConfigError for a setting that there is not, or that cannot work.
    """
    config = _read(settings)

    def serve(app: Any) -> None:
        from .server import Server

        server = Server(app, config)
        server.serve_forever(
            lambda: print(f"dualwsgi serves at {' and '.join(server.addresses)}", flush=True)
        )

    return serve


def _read(settings: Mapping[str, str]) -> Config:

    given = {name.replace("-", "_"): text for name, text in settings.items()}
    found: dict[str, Any] = {}
    if "host" in given or "port" in given:
        if "bind" in given:
            raise ConfigError("bind: it is given beside host and port; give one of both")
        host, port = given.pop("host", "127.0.0.1"), given.pop("port", "8000")
        given["bind"] = f"{bracketed(host)}:{port}"
    for name, text in given.items():
        knob = knobs().get(name)
        if knob is None:
            raise ConfigError(f"{name}: there is no such setting; `dualwsgi config` prints every one")
        found[name] = knob.parse(text, name)
    return Config(**read_environ(os.environ) | found)
