"""Where the library's own log goes, in every process alike."""

from __future__ import annotations

import logging

__all__ = ["set_up_log"]


def set_up_log(level: str, form: str = "%(asctime)s %(levelname)s %(message)s") -> None:
    """Send the library's log to standard error, or to wherever the application sends its own.

    To be called when the application is loaded: it may have set up logging, and `dictConfig` puts
    every logger that exists before it out of service unless told not to.
    """
    logger = logging.getLogger("dualwsgi")
    logger.disabled = False
    logger.setLevel(level.upper())
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(form))
        logger.addHandler(handler)
