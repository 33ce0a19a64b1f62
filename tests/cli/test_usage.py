"""What is typed wrongly is told in one line, with the cure, and other servers' options with our name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualwsgi.config import knobs
from dualwsgi_cli.migration import gunicorn, uwsgi

Invoke = Callable[..., Any]

WRONG = {
    "shop:app": "shop:app: there is no such command; `dualwsgi run shop:app` serves it",
    "serve": "serve: there is no such command; did you mean run?",
    "snap": "snap: there is no such command; there are run, top, ",
    "--threads 3": "--threads: it is an option of `dualwsgi run`",
    "run hello:app --thread 3": "--thread: there is no such option; did you mean --threads?",
    "run hello:app --nonsense": "--nonsense: there is no such option; `dualwsgi run --help` shows",
    "run hello:app more": "more: nothing more is wanted here",
    "run hello:app --proxy-protocol": "--proxy-protocol: it wants a value; give --proxy-protocol off|",
    "top --interval 900": "--interval: ",
    "migrate": "FILE is missing; give dualwsgi migrate FILE",
    "ctl snapshoot": "snapshoot: there is no such command; did you mean snapshot?",
    # gunicorn's
    "run hello:app -k gevent": "-k: that is gunicorn's; here it is --backend (sync and gthread: threads;",
    "run hello:app --worker-class=gthread": "--worker-class: that is gunicorn's; here it is --backend",
    "run hello:app -c gunicorn.conf.py": "-c: that is gunicorn's, and no option here: its file is Python: "
    "`dualwsgi migrate FILE > dualwsgi.toml`",
    "run hello:app --pid x": "--pid: that is gunicorn's; here it is --pidfile",
    "run hello:app --daemon": "--daemon: that is gunicorn's, and no option here: let systemd or a container",
    "run hello:app --proxy-allow-from *": "that is gunicorn's; here it is --proxy-allow-ips",
    "run hello:app --check-config": "it is `dualwsgi run --check`",
    "config --print-config": "it is `dualwsgi config`",
    # uWSGI's and everybody's
    "run hello:app --harakiri 3": "--harakiri: that is uWSGI's; here it is --request-timeout",
    "run --wsgi-file shop.py": "here it is the argument MODULE:CALLABLE and --app-dir",
    "run hello:app --port 80": "here it is --bind HOST:PORT",
}


@pytest.mark.parametrize("typed", WRONG)
def test_it_is_told_in_one_line_with_the_cure(invoke: Invoke, typed: str) -> None:
    done = invoke(*typed.split())
    assert done.exit_code == 2
    assert done.stderr.startswith("dualwsgi: ") and WRONG[typed] in done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout


def test_every_option_of_gunicorn_has_an_answer() -> None:
    for name in gunicorn.SETTINGS:
        rule = gunicorn.rule_of(name)
        assert rule.holds or rule.note, name
        assert rule.holds is False or set(rule.fields) <= {*knobs(), "app", "app_dir"}, name
    assert {gunicorn.setting_of(flag) for flag in gunicorn._FLAGS} <= set(gunicorn.SETTINGS)
    assert gunicorn.setting_of("-z") == gunicorn.setting_of("--nothing") == uwsgi.option_of("--nothing") == ""


@pytest.mark.parametrize(
    ("typed", "variables", "file", "says"),
    [
        ("--cert-reqs required", {}, "", "--cert-reqs: 'required' cannot work alone; give certfile"),
        ("--chdir /no/where", {}, "", "--chdir: cannot change to '/no/where'"),
        ("", {"DUALWSGI_CHDIR": "/no/where"}, "", "DUALWSGI_CHDIR: cannot change to '/no/where'"),
        ("", {}, "threads = 2\nchdir = '/no/where'", "dualwsgi.toml, line 2: chdir: cannot change to"),
        (
            "--log-config none.ini",
            {},
            "",
            "--log-config: cannot read 'none.ini': No such file or directory; give",
        ),
        ("--keyfile x", {}, "", "--keyfile: 1 for 0 certificates"),
    ],
)
def test_what_only_shows_later_is_named_as_it_was_written(
    invoke: Invoke, tmp_path: Path, typed: str, variables: dict[str, str], file: str, says: str
) -> None:
    if file:
        (tmp_path / "dualwsgi.toml").write_text(file)
    done = invoke("run", "dualwsgi.example", "--check", *typed.split(), **variables)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert says in done.stderr
