"""dualwsgi.serve(): one process or a fleet, as the settings say, until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import Config
from ..errors import ConfigError
from ..gateway.site import Application
from .handdown import hand_down
from .identity import held_pid_file, settle
from .loader import load_app
from .nonblocking import lay_streams
from .server import Server

__all__ = ["serve"]


def serve(app: Application | str, bind: str | Sequence[str] | None = None, **settings: Any) -> None:
    """Serves `app` until SIGINT or SIGTERM.  Keyword arguments are fields of Config.

    `app` may be a text such as "hello:app", and has to be with worker processes, which import it
    themselves.  Raises ConfigError, and SystemExit if a fleet ends by a failure.
    """
    if bind is not None:
        settings["bind"] = (bind,) if isinstance(bind, str) else tuple(bind)
    config = Config(**settings)
    put_back = lay_streams()
    try:
        _serve(app, config)
    finally:
        put_back()


def _serve(app: Application | str, config: Config) -> None:
    if not config.supervised:
        settle(config)
        if isinstance(app, str):
            hand_down(config)
            app = load_app(app)
        with held_pid_file(config):
            Server(app, config).serve_forever()
        return
    if not isinstance(app, str):
        raise ConfigError(
            "workers: each process has to import the application; give it as a text such as 'hello:app'"
        )
    from .supervisor import Supervisor  # late: one process needs none of it

    settle(config)
    if code := Supervisor(app, config).run():
        raise SystemExit(code)
