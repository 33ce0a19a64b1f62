"""The micro-benchmarks run, each once; what they measure is for people to read."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.soak  # a run of pytest of its own
@pytest.mark.skipif(
    importlib.util.find_spec("pytest_benchmark") is None, reason="pytest-benchmark is not installed"
)
def test_each_micro_benchmark_runs_and_measures_what_it_says() -> None:
    argv = ["-m", "pytest", "-c", "loadtests/micro/pytest.ini", "loadtests/micro", "-q"]
    done = subprocess.run(
        [sys.executable, *argv, "--benchmark-disable", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 20
