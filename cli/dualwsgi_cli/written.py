"""Settings as they stand in `dualwsgi.toml`: from values to TOML, for commands that print such a file.

Knows how TOML is written and nothing of where the values came from.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["toml_line", "toml_value"]


def toml_line(name: str, value: Any) -> str:
    """`name = value`; the name with hyphens, as a flag has it."""
    return f"{name.replace('_', '-')} = {toml_value(value)}"


def toml_value(value: Any) -> str:
    """A value of Config; None, which TOML has no word for, is the empty text that means the same."""
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml_value, value))}]"
    # The escapes of a JSON text are TOML's, but for DEL, which JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
