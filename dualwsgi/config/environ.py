"""Settings by variables of the environment, and what else the machine says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .kinds import FieldValue, LogTarget
from .settings import knobs

__all__ = ["ENV_PREFIX", "available_cores", "read_environ"]

ENV_PREFIX = "DUALWSGI_"


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
