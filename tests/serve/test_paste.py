"""`use = egg:dualwsgi`: PasteDeploy finds the entry point, and pserve serves with it on both backends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from table import table
from wire import PATIENCE

from dualwsgi.config import Config
from dualwsgi.errors import ConfigError
from dualwsgi.serve import paste

pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")


class Kept:
    """Stands in for a Server and keeps what it was given."""

    def __init__(self, app: Any, config: Config) -> None:
        Kept.last = self
        self.app, self.config, self.addresses = app, config, ["http://here"]

    last: Kept

    def serve_forever(self, ready: Callable[[], None]) -> None:
        ready()


def served(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Config:
    monkeypatch.setattr("dualwsgi.serve.server.Server", Kept)
    paste.server_factory({}, **settings)("an application")
    assert Kept.last.app == "an application"
    return Kept.last.config


def test_settings_are_fields_of_config_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    config = served(
        monkeypatch, bind="127.0.0.1:1 [::1]:2", threads="4", **{"keep-alive": "2m", "debug": "on"}
    )
    assert config.bind == ("127.0.0.1:1", "[::1]:2")
    assert (config.threads, config.keep_alive, config.debug) == (4, 120.0, True)


@pytest.mark.parametrize(
    ("given", "bind"),
    [
        ({"host": "0.0.0.0", "port": "6543"}, "0.0.0.0:6543"),
        ({"port": "6543"}, "127.0.0.1:6543"),
        ({"host": "::1"}, "[::1]:8000"),
        ({"host": "*", "port": "1"}, "*:1"),
    ],
)
def test_host_and_port_are_understood(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], bind: str
) -> None:
    assert served(monkeypatch, **given).bind == (bind,)


@table(
    ("given", "says"),
    [
        ({"thread": "3"}, "thread: there is no such setting"),
        ({"threads": "many"}, "threads: 'many' is not a whole number"),
        ({"port": "80", "bind": ":80"}, "give one of both"),
        ({"port": "http"}, "has no usable port"),
    ],
)
def test_what_cannot_work_is_refused_with_its_cure(given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        paste.server_factory({}, **given)


INI = """
[app:main]
paste.app_factory = site_of_mine:main
[server:main]
use = egg:dualwsgi
bind = 127.0.0.1:0
backend = {backend}
"""

SITE = """
from pyramid.config import Configurator
from pyramid.response import Response

def main(global_config, **settings):
    config = Configurator(settings=settings)
    config.add_route("hello", "/hello/{name}")
    config.add_view(lambda request: Response("Hello " + request.matchdict["name"]), route_name="hello")
    return config.make_wsgi_app()
"""


def test_pserve_serves_a_pyramid_application(tmp_path: Path, backend: str) -> None:
    pytest.importorskip("pyramid", reason="Pyramid is not installed")
    (tmp_path / "site_of_mine.py").write_text(SITE)
    (tmp_path / "site.ini").write_text(INI.format(backend=backend))
    code = "from pyramid.scripts.pserve import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, "site.ini"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if match := re.search(r"serves at (http://\S+)", line):
                break
        else:
            pytest.fail(said)
        with urllib.request.urlopen(f"{match[1]}/hello/paste", timeout=PATIENCE) as answer:
            assert answer.read() == b"Hello paste"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()
