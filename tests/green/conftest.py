"""What the tests of the green library share.

Patching changes a process for good, so whatever needs it runs in a process of its own: the fixture
`isolated` runs a script with all warnings as errors and a deadline, and `probe.py` beside this file is
what these scripts import.  Everything else runs here, unpatched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dualwsgi import green

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

Isolated = Callable[..., str]


def ends_of(text: str, most: int = 6000) -> str:
    """The text, or its first and last part: the cause comes first, and what it left open afterwards."""
    return text if len(text) <= most else f"{text[: most // 2]}\n[...]\n{text[-most // 2 :]}"


@pytest.fixture
def isolated(tmp_path: Path) -> Isolated:
    """Run a script in a process of its own; returns what it printed.  It must exit with 0 in time."""

    def run(script: str, *args: str, deadline: float = 30, code: int = 0, warnings: str = "error") -> str:
        file = tmp_path / "script.py"
        file.write_text(textwrap.dedent(script))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE), str(tmp_path)])}
        environment["PYTHONFAULTHANDLER"] = "1"
        process = subprocess.Popen(
            [sys.executable, "-W", warnings, str(file), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        try:
            out, err = process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            process.send_signal(6)  # faulthandler shows where it hangs
            out, err = process.communicate()
            pytest.fail(f"still running after {deadline} s\n{out}\n{ends_of(err)}")
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{ends_of(err)}"
        run.stderr = err  # type: ignore[attr-defined]
        return out

    return run


@pytest.fixture
def hub() -> Iterator[green.Hub]:
    """The hub of this thread; nothing may be left behind in it."""
    the_hub = green.get_hub()
    before = set(the_hub.greenlets), the_hub.timers, set(the_hub.descriptors)
    failures: list[BaseException] = []
    on_error, the_hub.on_error = the_hub.on_error, lambda where, error: failures.append(error)
    yield the_hub
    green.sleep(0)
    the_hub.on_error = on_error
    left = {one for one in the_hub.greenlets if isinstance(one, green.GreenThread)} - before[0]
    assert not left, f"greenlets left behind: {left}"
    assert the_hub.timers <= before[1], "timers left behind"
    assert not failures, failures
