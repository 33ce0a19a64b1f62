"""The green backend: one hub, parked connections without a greenlet, pooled request greenlets."""

from .backend import GreenBackend

__all__ = ["GreenBackend"]
