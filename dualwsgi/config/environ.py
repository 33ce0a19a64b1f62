"""Settings by variables of the environment, and what else the machine says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .kinds import FieldValue, LogTarget
from .settings import knobs

__all__ = ["ENV_PREFIX", "available_cores", "mistyped", "read_environ"]

ENV_PREFIX = "DUALWSGI_"


OTHERS = ("APP", "APP_DIR", "CONFIG", "STRICT_PATCH")
"""What is read besides the settings."""

NEAR = 0.8
"""How much alike (0 to 1) two names must be: what Kubernetes makes is like none."""


def available_cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """The fields that `environ` sets by `DUALWSGI_<FIELD>`, parsed and checked.

    Other DUALWSGI_* names are left alone: Kubernetes makes DUALWSGI_PORT and the like for a service
    that happens to be called dualwsgi.  Where '' is no value (a number, say), it counts as not set,
    since that is what an unset variable becomes in a compose file.
    """
    found = {}
    for name, knob in knobs().items():
        variable = ENV_PREFIX + name.upper()
        text = environ.get(variable)
        if text is None or (not text and not isinstance(knob, FieldValue | LogTarget)):
            continue
        found[name] = knob.parse(text, variable)
    return found


def mistyped(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that set nothing, and are nearly named like one that does: that one's name."""
    known = [*OTHERS, *(name.upper() for name in knobs())]
    names = [name.removeprefix(ENV_PREFIX) for name in environ if name.startswith(ENV_PREFIX)]
    found = {}
    for name in names:
        if name not in known:
            from difflib import get_close_matches  # not for those who type well

            if near := get_close_matches(name, known, 1, NEAR):
                found[ENV_PREFIX + name] = ENV_PREFIX + near[0]
    return found
