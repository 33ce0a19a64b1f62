"""`dualwsgi run --as-eventlet`: a program that imports eventlet itself, on whatever its server runs on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet import Fleet
from wire import CLOSE, Client, eventually, request

# Unchanged from a day when it ran on eventlet: the imports, a green module, a pool.
PROGRAM = """\
import eventlet
import eventlet.wsgi
from eventlet import GreenPool, getcurrent
from eventlet.green import socket

def application(environ, start_response):
    start_response("200 OK", [])
    said = list(GreenPool(2).imap(str, [eventlet.BACKEND, eventlet.__name__, type(getcurrent()).__module__]))
    return [" ".join(said).encode()]
"""
GREEN = b"green dualwsgi.eventlet greenlet"
THREADS = b"threads dualwsgi.eventlet dualwsgi.eventlet.ground.threads"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serves the program; returns the address."""
    fleets: list[Fleet] = []

    def run(program: str, *options: str) -> str:
        (tmp_path / "old_program.py").write_text(program)
        fleets.append(Fleet(tmp_path, "--bind", "127.0.0.1:0", *options, target="old_program"))
        return fleets[-1].serves()

    yield run
    for fleet in fleets:
        fleet.kill()


def ask(address: str) -> bytes:
    with Client(address) as client:
        return client.send(request("GET", "/", CLOSE)).response().body


def test_a_program_finds_this_eventlet_where_it_imports_the_other(start: Callable[..., str]) -> None:
    assert ask(start(PROGRAM, "--as-eventlet", "--backend", "green")) == GREEN


@pytest.mark.parametrize("how", ["preload", "no-preload"])
def test_each_worker_of_a_mixed_fleet_has_its_own(start: Callable[..., str], how: str) -> None:
    """Also in a program that asks for this eventlet by its own name, for which no option is needed."""
    program, options = PROGRAM, ("--as-eventlet",)
    if how == "no-preload":
        program, options = PROGRAM.replace("import eventlet\n", "from dualwsgi import eventlet\n", 1), ()
        program = program.replace("import eventlet.wsgi\n", "").replace(
            "from eventlet", "from dualwsgi.eventlet"
        )
    address = start(program, *options, "--workers", "green:1,threads:1", f"--{how}")
    seen: set[bytes] = set()
    assert eventually(lambda: seen.add(ask(address)) or seen >= {GREEN, THREADS})


def refused(place: Path, program: str, *options: str) -> tuple[int, str]:
    (place / "patching.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "dualwsgi", "run", "--check", "patching", *options],
        cwd=place,
        env={name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


PATCHES = """\
import eventlet
eventlet.monkey_patch()
def application(environ, start_response): ...
"""


def test_patching_on_threads_is_warned_of_at_its_place_and_with_strict_patch_an_error(tmp_path: Path) -> None:
    code, said = refused(tmp_path, PATCHES, "--as-eventlet")
    assert code == 0
    assert re.search(
        r"patching\.py:2: RuntimeWarning: eventlet\.monkey_patch\(\) does nothing on threads", said
    )
    code, said = refused(tmp_path, PATCHES, "--as-eventlet", "--strict-patch")
    assert code == 2
    assert re.search(r"patching\.py:2: eventlet\.monkey_patch\(\) does nothing on threads.*\n$", said)
