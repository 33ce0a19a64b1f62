"""The threads backend: lanes of one leader and some followers.  It never imports greenlet.

lane.py says which file is for what.
"""

from .backend import ThreadsBackend

__all__ = ["ThreadsBackend"]
