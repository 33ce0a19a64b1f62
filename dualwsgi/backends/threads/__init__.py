"""The threads backend: lanes of one leader and some followers.  It never imports greenlet."""

from .backend import ThreadsBackend

__all__ = ["ThreadsBackend"]
