"""`import dualwsgi`: quick, quiet, and every public name is behind it, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest
from table import table

import dualwsgi


@table("name", dualwsgi.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(dualwsgi, name)
    assert name in dir(dualwsgi)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sevre'"):
        dualwsgi.sevre  # noqa: B018


@pytest.mark.parametrize(
    "first",
    [
        "import dualwsgi",
        "import dualwsgi.serve.loader",
        "import dualwsgi.serve.server",
        "from dualwsgi import Server",
    ],
)
def test_serve_is_callable_whatever_was_imported_first(first: str) -> None:
    code = f"{first}; import dualwsgi; dualwsgi.serve(None, bind='127.0.0.1:0')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "the application must be callable, and None is not" in done.stderr
