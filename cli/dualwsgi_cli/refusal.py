"""What the operator got wrong ends in one line on standard error and exit code 2, in whichever command."""

from __future__ import annotations

from typing import Final, NoReturn

from dualwsgi.serve.errorlog import tell

__all__ = ["refuse"]

EXIT_USAGE: Final = 2


def refuse(text: str) -> NoReturn:
    """Says what is wrong, and exits."""
    tell(f"dualwsgi: {text}")
    raise SystemExit(EXIT_USAGE)
