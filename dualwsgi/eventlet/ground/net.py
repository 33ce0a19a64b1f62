"""The sockets of the chosen ground."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from . import BACKEND

net: Final[Any] = import_module(f".{BACKEND}_net", __package__)
