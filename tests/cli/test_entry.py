"""The entry point: it sees a green run coming before anything else is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from table import table

import dualwsgi
import dualwsgi_cli
from dualwsgi_cli.entry import wants_patch


@table(
    ("arguments", "environ", "expected"),
    [
        ("run hello:app --backend green", {}, True),
        ("run --backend=green hello:app", {}, True),
        ("run hello:app", {"DUALWSGI_BACKEND": "green"}, True),
        ("run hello:app", {"DUALWSGI_BACKEND": " Green "}, True),
        ("run hello:app --backend threads --backend green", {}, True),
        ("run hello:app --backend green --no-patch --patch", {}, True),
        ("run hello:app --backend green --patch", {"DUALWSGI_PATCH": "0"}, True),
        ("run hello:app", {}, False),
        ("", {"DUALWSGI_BACKEND": "green"}, False),
        ("--version", {"DUALWSGI_BACKEND": "green"}, False),
        ("run hello:app --backend threads", {"DUALWSGI_BACKEND": "green"}, False),
        ("run hello:app --backend green --backend threads", {}, False),
        ("run hello:app --backend green --no-patch", {}, False),
        ("run hello:app --backend green", {"DUALWSGI_PATCH": "no"}, False),
        ("run hello:app --backend", {}, False),
        ("run hello:app --backend gevent", {}, False),
        ("run -- --backend=green", {}, False),
    ],
)
def test_a_green_run_is_patched_unless_told_not_to(
    arguments: str, environ: dict[str, str], expected: bool
) -> None:
    assert wants_patch(arguments.split(), environ) is expected


def test_neither_rich_nor_logging_nor_typer_is_there_when_patching_would_happen() -> None:
    code = (
        "import sys, dualwsgi, dualwsgi_cli.entry as entry; entry.wants_patch(['run'], {});"
        "print([name for name in ('typer', 'rich', 'logging', 'threading', 'socket') if name in sys.modules])"
    )
    # -S leaves out site, and with it what an editable install imports to find its packages.
    roots = [
        str(Path(module.__file__).parent.parent) for module in (dualwsgi, dualwsgi_cli) if module.__file__
    ]
    path = f"import sys; sys.path[:0] = {roots}; "
    done = subprocess.run(
        [sys.executable, "-S", "-c", path + code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
