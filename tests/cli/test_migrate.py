"""`dualwsgi migrate`: what it prints is a file that `run` takes, and nothing is dropped in silence."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualwsgi.config import Config, knobs
from dualwsgi.serve.configfile import open_file
from dualwsgi_cli.migration import gunicorn, uwsgi

Invoke = Callable[..., Any]

GUNICORN = """
import os
wsgi_app = "shop.wsgi:application"
bind = "0.0.0.0:8000,unix:/run/shop.sock"
worker_class = "gevent"
worker_connections = 500
threads = 0
keepalive = 5
limit_request_line = 0
limit_request_fields = 50
accesslog = "-"
loglevel = "WARNING"
backlog = os.cpu_count() and 512
spew = True
reload_extra_files = ["a.html"]
header_map = "dangerous"
a_name_of_its_own = 1
def post_fork(server, worker):
    pass
child_exit = ssl_context = post_fork
"""

UWSGI = """
; a comment
[other]
module = nothing
[uwsgi]
project = shop
base = /srv/%(project)
module = %(project).wsgi
chdir = %(base)
pidfile = /run/%n.pid
callable = application
http-socket = :8000
http_socket = /run/%(project).sock
socket = :3031
log-4xx = true
threads = 8
listen = 512
master = true
disable-logging
limit-post = 1048576
harakiri-verbose = true
reload-on-rss = 256
processes = 4
"""


def migrated(invoke: Invoke, place: Path, name: str, text: str) -> tuple[dict[str, Any], str]:
    (place / name).write_text(text)
    done = invoke("migrate", name)
    assert done.exit_code == 0, done.output
    (place / "made.toml").write_text(done.output)
    file = open_file(str(place / "made.toml"))
    Config(**file.settings())
    return tomllib.loads(done.output), done.output


def test_a_gunicorn_file_becomes_a_file_of_ours(invoke: Invoke, tmp_path: Path) -> None:
    said, text = migrated(invoke, tmp_path, "gunicorn.conf.py", GUNICORN)
    assert said == {
        "app": "shop.wsgi:application",
        "bind": ["0.0.0.0:8000", "unix:/run/shop.sock"],
        "backlog": 512,
        "backend": "green",
        "reload-extra-files": ["a.html"],
        "threads": 1,
        "concurrency": 500,
        "keep-alive": 5,
        "limit-request-line": 65536,
        "limit-request-fields": 50,
        "access-log": "-",
        "log-level": "warning",
    }
    left = text.partition("# What is no setting here, and why:\n")[2]
    assert "#   spew = True: a debugger does it better" in left
    assert "#   header_map = 'dangerous': always `drop`" in left
    assert (
        "#   post_fork = a hook: worker-started: name it as MODULE:NAME; it is called with the Server" in left
    )
    assert "#   ssl_context = a hook: ssl-context: name it as MODULE:NAME" in left
    assert "#   child_exit = a hook: the supervisor never imports the application" in left
    assert "a_name_of_its_own" not in text  # a gunicorn file is a program, and has names of its own


def test_an_ini_of_uwsgi_becomes_a_file_of_ours(invoke: Invoke, tmp_path: Path) -> None:
    said, text = migrated(invoke, tmp_path, "shop.ini", UWSGI)
    assert said == {
        "app": "shop.wsgi:application",
        "chdir": "/srv/shop",
        "pidfile": "/run/shop.pid",
        "bind": [":8000", "unix:/run/shop.sock", ":3031"],
        "threads": 8,
        "backlog": 512,
        "access-log": "",
        "limit-request-body": 1048576,
        "max-worker-rss": 256 * 1024**2,
        "workers": 4,
    }
    assert "#   harakiri-verbose = 'true': always: " in text
    assert "#   master = 'true': always" in text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("wsgi-file = web/shop.py\ncallable = app", {"app": "shop:app", "app-dir": "web"}),
        ("wsgi-file = shop.py", {"app": "shop"}),
        (
            "http = :80\nsocket = /run/a.sock\nhttps = :443,a.pem,a.key",
            {"bind": [":80", "unix:/run/a.sock", ":443"]},
        ),
        ("chdir = $(NO_SUCH_PLACE)/%n", {"chdir": "$(NO_SUCH_PLACE)/u"}),
        ("socket-timeout = 9", {"body-timeout": 9, "write-timeout": 9}),
    ],
)
def test_what_uwsgi_files_say_in_other_ways(
    invoke: Invoke, tmp_path: Path, text: str, made: dict[str, Any]
) -> None:
    said, _ = migrated(invoke, tmp_path, "u.ini", f"[uwsgi]\n{text}\n")
    assert {name: said.get(name) for name in made} == made


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("gunicorn.conf.py", "bind = 1\nbind = 1 / 0", "gunicorn.conf.py, line 2: ZeroDivisionError"),
        ("gunicorn.conf.py", "bind =", "SyntaxError"),
        ("u.ini", "module = x", "it has no section [uwsgi]"),
        ("u.yaml", "uwsgi:", "of uWSGI's forms only ini is read"),
        ("shop.py", "app = 1", "it sets nothing that gunicorn knows"),
        (".", "", "Is a directory; give a gunicorn.conf.py"),
    ],
)
def test_a_file_that_fails_is_named_with_the_line(
    invoke: Invoke, tmp_path: Path, name: str, text: str, says: str
) -> None:
    if text:
        (tmp_path / name).write_text(text)
    done = invoke("migrate", name)
    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_named(invoke: Invoke) -> None:
    done = invoke("migrate", "none.conf.py")
    assert done.exit_code == 2
    assert "none.conf.py" in done.stderr


def test_a_value_that_cannot_be_kept_is_told(invoke: Invoke, tmp_path: Path) -> None:
    text = "worker_class = 'uvicorn.workers.UvicornWorker'\nbacklog = 'x'\n"
    said, shown = migrated(invoke, tmp_path, "gunicorn.conf.py", text)
    assert said == {}
    assert "no backend works like it" in shown
    assert "backlog: 'x' is not a whole number" in shown


@pytest.mark.parametrize("server", [gunicorn, uwsgi])
def test_every_rule_names_fields_or_gives_a_reason(server: Any) -> None:
    for name, rule in server.RULES.items():
        assert rule.note or rule.convert, name
        assert bool(rule.fields) == (rule.convert is not None), name
    if server is gunicorn:
        assert set(gunicorn.RULES) <= set(gunicorn.SETTINGS)
        assert knobs().keys() & set(gunicorn.SETTINGS) >= {"bind", "backlog", "threads"}
