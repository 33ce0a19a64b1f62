"""uWSGI's options, each with what it becomes: those that a WSGI service uses, of its hundreds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dualwsgi_cli.migration.rules import Rule, becomes, none

__all__ = ["RULES", "read"]

_IN_FRONT = "the HTTP router is not needed: the server itself speaks HTTP"
_NOT_SPOKEN = "the uwsgi protocol is not spoken; let the proxy speak HTTP to `bind`"


def _target(value: Any) -> str:
    text = str(value)
    if text.endswith(".py"):
        raise ValueError("a module is wanted: app = MODULE, app-dir = DIRECTORY")
    return text


def _addresses(value: Any) -> tuple[str, ...]:
    return tuple(f"unix:{text}" if "/" in text else text for text in _all(value))


def _https(value: Any) -> Mapping[str, Any]:
    address, *files = _last(value).split(",")
    if len(files) < 2:
        raise ValueError("it names no certificate and key")
    return {"bind": _addresses(address), "certfile": (files[0],), "keyfile": (files[1],)}


def _all(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _last(value: Any) -> str:
    return _all(value)[-1]


def _file(value: Any) -> str:
    path = _last(value).removeprefix("file:")
    if re.match(r"[a-z]+:", path):
        raise ValueError("only a file, or '-' for standard output")
    return path


def _number(value: Any) -> int:
    return int(_last(value))


RULES: Mapping[str, Rule] = {
    # What is served
    "module": becomes("app", convert=_target),
    "wsgi": becomes("app", convert=_target),
    "wsgi-file": none("a module is wanted: app = MODULE, app-dir = DIRECTORY"),
    "callable": none("write it behind the module: app = MODULE:CALLABLE"),
    "chdir": becomes("app_dir", "the working directory stays", _last),
    "pythonpath": becomes("app_dir", convert=_last),
    "virtualenv": none("start the dualwsgi of that environment"),
    "home": none("start the dualwsgi of that environment"),
    "env": none("set it where the service is started, in the unit or the container"),
    "mount": none("dispatch in the application, or in the proxy"),
    "static-map": none("let the proxy or the application serve files"),
    # Where
    "http": becomes("bind", _IN_FRONT, _addresses),
    "http-socket": becomes("bind", convert=_addresses),
    "https": Rule("bind, certfile, keyfile", _IN_FRONT, ("bind", "certfile", "keyfile"), _https),
    "https-socket": Rule("bind, certfile, keyfile", "", ("bind", "certfile", "keyfile"), _https),
    "socket": none(_NOT_SPOKEN),
    "uwsgi-socket": none(_NOT_SPOKEN),
    "listen": becomes("backlog", convert=_number),
    "http-keepalive": becomes("keep_alive", _IN_FRONT, lambda value: float(_last(value))),
    "http-timeout": becomes("body_timeout", convert=lambda value: float(_last(value))),
    "http-auto-chunked": none("always: a response without a length is sent in chunks"),
    "http-chunked-input": none("always: a body in chunks is read as any other"),
    # What runs it
    "processes": becomes("workers", convert=_number),
    "workers": becomes("workers", convert=_number),
    "threads": becomes("threads", "it bounds application calls alone; waiting clients take none", _number),
    "enable-threads": none("always"),
    "gevent": Rule(
        "backend, concurrency",
        "on green",
        ("backend", "concurrency"),
        lambda value: {"backend": "green", "concurrency": _number(value)},
    ),
    "gevent-monkey-patch": none("on green it is done unless told not to: patch"),
    "master": none("always, where there are worker processes"),
    "lazy-apps": none("always, unless preload is on"),
    "cpu-affinity": Rule("pin", "a core for each worker", ("pin",), lambda value: {"pin": True}),
    "single-interpreter": none("always"),
    "need-app": none("always: what cannot be loaded ends the start with code 2"),
    "vacuum": none("always: the file of a unix socket is removed"),
    "die-on-term": none("always: SIGTERM stops the server gracefully"),
    "thunder-lock": none("one process accepts what it can serve"),
    # How long, how large
    "harakiri": becomes(
        "request_timeout", "it ends the call, not the process", lambda value: float(_last(value))
    ),
    "buffer-size": becomes("limit_request_head", convert=_number),
    "limit-post": becomes("limit_request_body", convert=_number),
    "post-buffering": Rule(
        "request_buffering",
        "bodies of up to 64 KB are collected anyway",
        ("request_buffering",),
        lambda value: {"request_buffering": _number(value) > 0},
    ),
    "max-requests": becomes("max_requests", convert=_number),
    "max-requests-delta": becomes("max_requests_jitter", convert=_number),
    "max-worker-lifetime": becomes("max_worker_lifetime", convert=lambda value: float(_last(value))),
    "reload-on-rss": becomes(
        "max_worker_rss", "megabytes there, bytes here", lambda value: 1024**2 * _number(value)
    ),
    "worker-reload-mercy": becomes("graceful_timeout", convert=lambda value: float(_last(value))),
    "reload-mercy": becomes("graceful_timeout", convert=lambda value: float(_last(value))),
    # Who
    "uid": becomes("user", convert=_last),
    "gid": becomes("group", convert=_last),
    "umask": becomes("umask", convert=_last),
    "chmod-socket": becomes(
        "unix_socket_perms", convert=lambda value: "666" if value == "true" else _last(value)
    ),
    "chown-socket": becomes("unix_socket_owner", convert=_last),
    "pidfile": becomes("pidfile", convert=_last),
    "procname": becomes("proc_name", convert=_last),
    "daemonize": none("let systemd or a container hold the process"),
    # What it tells
    "logto": becomes("access_log", "uWSGI wrote both logs there; here it is requests alone", _file),
    "req-logger": becomes("access_log", convert=_file),
    "logger": none(
        "the error log goes to standard error, or where the application's logging sends `dualwsgi`"
    ),
    "disable-logging": Rule(
        "access_log", "off is the default", ("access_log",), lambda value: {"access_log": None}
    ),
    "stats": none("there is none of this form"),
    "touch-reload": none("send SIGHUP where there are worker processes"),
    "py-autoreload": becomes("reload", "by watching, not by looking now and then", bool),
}


def read(path: str) -> dict[str, Any]:
    """The options in the section [uwsgi] of an ini file; one that comes twice is a list.

    Raises OSError, and ValueError for what is no such file.
    """
    found: dict[str, Any] = {}
    section = ""
    with open(path, encoding="utf-8") as file:
        for line in (text.strip() for text in file):
            if not line or line[0] in "#;":
                continue
            if line.startswith("[") and line.endswith("]"):
                section = line[1:-1].strip()
            elif section == "uwsgi":
                name, _, value = (part.strip() for part in line.partition("="))
                name = name.replace("_", "-")
                value = value or "true"
                if name in found:
                    earlier = found[name] if isinstance(found[name], list) else [found[name]]
                    found[name] = [*earlier, value]
                else:
                    found[name] = value
    if not section:
        raise ValueError("it has no section [uwsgi]")
    if "module" in found and "callable" in found and ":" not in found["module"]:
        found["module"] = f"{found['module']}:{found.pop('callable')}"
    return found
