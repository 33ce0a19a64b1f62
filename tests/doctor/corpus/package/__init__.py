"""Imports that have to be followed: relative ones, submodules, a call."""

from . import inner
from .inner import deep as _deep

application = inner.application
