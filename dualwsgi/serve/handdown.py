"""What an application finds decided when it is imported: the backend, for `dualwsgi.eventlet`; no arguments.

The annexe reads its backend from the environment at its first import, since a program that imports it
may have no server over it.  Under `dualwsgi run` there is one, and the two must not differ: greenlets
in a thread of the pool, or real locks in the hub, would wait for each other for good.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

from ..config import ENV_PREFIX, Config
from ..errors import ConfigError

__all__ = ["hand_down", "hide_arguments"]

_ANNEXE: Final = "dualwsgi.eventlet"  # by name alone: nothing below it imports it


def hand_down(config: Config) -> None:
    """To be called before an application is imported, in the process that will run it.

    Raises ConfigError if another eventlet has been imported already, and as_eventlet asks for this one.
    """
    os.environ[ENV_PREFIX + "BACKEND"] = config.backend
    if config.strict_patch:
        os.environ[ENV_PREFIX + "STRICT_PATCH"] = "1"
    if config.as_eventlet:
        try:
            import_module(_ANNEXE).install()
        except RuntimeError as error:
            raise ConfigError(f"as_eventlet: {error}") from None


def hide_arguments() -> None:
    """The command line is the server's: an application that parses sys.argv, as those that use oslo.config
    do, would take it for its own.  Not where the program is somebody else's."""
    sys.argv = ["dualwsgi"]
