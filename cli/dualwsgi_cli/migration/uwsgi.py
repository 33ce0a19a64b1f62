"""uWSGI's options, each with what it becomes: those that a WSGI service uses, of its hundreds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from dualwsgi_cli.migration.rules import Rule, becomes, none

__all__ = ["RULES", "option_of", "read"]

_IN_FRONT = "the HTTP router is not needed: the server itself speaks HTTP"
_HTTP_THERE = "HTTP is spoken there: in nginx, uwsgi_pass becomes proxy_pass"
_STANDARD = "a program of its own, held by systemd or a container, is for this"
_BY_PROXY = "let the proxy or the application do it"
_NOT_THE_FORM = "lines have another form here: access_log_format"


def _target(value: Any) -> str:
    text = str(value)
    if text.endswith(".py"):
        raise ValueError("a module is wanted: app = MODULE, app-dir = DIRECTORY")
    return text


def _file_target(value: Any) -> Mapping[str, Any]:
    """`wsgi-file = web/shop.py` and `callable = app`: its module, and where it is."""
    path, colon, name = _last(value).partition(":")
    directory, file = os.path.split(path)
    module, ending = os.path.splitext(file)
    if ending != ".py" or not module.isidentifier():
        raise ValueError("its name is no module's: rename it, then app = MODULE, app-dir = DIRECTORY")
    return {"app": module + colon + name} | ({"app_dir": directory} if directory else {})


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


def _yes(value: Any) -> bool:
    return _last(value).lower() not in ("0", "false", "no", "off")


def _number(value: Any) -> int:
    return int(_last(value))


RULES: Mapping[str, Rule] = {
    # What is served
    "module": becomes("app", convert=_target),
    "wsgi": becomes("app", convert=_target),
    "wsgi-file": Rule("app, app_dir", "a module is named, not a file", ("app", "app_dir"), _file_target),
    "callable": none("write it behind the module: app = MODULE:CALLABLE"),
    "chdir": becomes("chdir", "before the application is imported, which is looked for there", _last),
    "pythonpath": becomes("app_dir", convert=_last),
    "virtualenv": none("start the dualwsgi of that environment"),
    "home": none("start the dualwsgi of that environment"),
    "venv": none("start the dualwsgi of that environment"),
    "plugins": none("none is needed"),
    "plugin": none("none is needed"),
    "strict": none("always: an unknown setting ends the start with code 2"),
    "ini": none("`dualwsgi migrate FILE > dualwsgi.toml` makes ours of it"),
    "env": none("set it where the service is started, in the unit or the container"),
    "mount": none("dispatch in the application, or in the proxy"),
    "manage-script-name": none("a trusted proxy says SCRIPT_NAME by X-Forwarded-Prefix"),
    "static-map": none("let the proxy or the application serve files"),
    "check-static": none("let the proxy or the application serve files"),
    "add-header": none(_BY_PROXY),
    "route": none(_BY_PROXY),
    "route-run": none(_BY_PROXY),
    "offload-threads": none("files are sent by the kernel, and a slow reader of them holds no thread"),
    "wsgi-env-behavior": none("each request has an environ of its own"),
    "wsgi-env-behaviour": none("each request has an environ of its own"),
    "http-websockets": none("dualwsgi.eventlet has websockets"),
    # Where
    "http": becomes("bind", _IN_FRONT, _addresses),
    "http-socket": becomes("bind", convert=_addresses),
    "https": Rule("bind, certfile, keyfile", _IN_FRONT, ("bind", "certfile", "keyfile"), _https),
    "https-socket": Rule("bind, certfile, keyfile", "", ("bind", "certfile", "keyfile"), _https),
    "socket": becomes("bind", _HTTP_THERE, _addresses),
    "uwsgi-socket": becomes("bind", _HTTP_THERE, _addresses),
    "reuse-port": becomes("reuse_port", convert=_yes),
    "so-keepalive": none("deadlines tell who is gone"),
    "socket-timeout": Rule(
        "body_timeout, write_timeout",
        "",
        ("body_timeout", "write_timeout"),
        lambda value: dict.fromkeys(("body_timeout", "write_timeout"), float(_last(value))),
    ),
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
    "cpu-affinity": Rule("pin", "a core for each worker", ("pin",), lambda value: {"pin": _yes(value)}),
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
    "evil-reload-on-rss": becomes(
        "max_worker_rss", "megabytes there, bytes here", lambda value: 1024**2 * _number(value)
    ),
    "cheaper": none("the number of workers stays; `dualwsgi ctl scale` and TTIN, TTOU change it"),
    "cheaper-initial": none("see cheaper"),
    "cheaper-algo": none("see cheaper"),
    "cheaper-step": none("see cheaper"),
    "ignore-sigpipe": none("always"),
    "ignore-write-errors": none("always: a client that has left is logged with 499"),
    "disable-write-exception": none("a client that has left ends the response, and close() is called"),
    "harakiri-verbose": none("always: the log shows the stack that the call was at"),
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
    "safe-pidfile": becomes("pidfile", convert=_last),
    "procname": becomes("proc_name", "it needs setproctitle: pip install 'dualwsgi[title]'", _last),
    "procname-prefix": becomes("proc_name", "it needs setproctitle: pip install 'dualwsgi[title]'", _last),
    "auto-procname": none("give proc_name"),
    "daemonize": none("let systemd or a container hold the process"),
    # What it tells
    "logto": becomes("access_log", "uWSGI wrote both logs there; here it is requests alone", _file),
    "req-logger": becomes("access_log", convert=_file),
    "logger": becomes("error_logfile", convert=_file),
    "disable-logging": Rule(
        "access_log", "off is the default", ("access_log",), lambda value: {"access_log": None}
    ),
    "log-format": none(_NOT_THE_FORM),
    "logformat": none(_NOT_THE_FORM),
    "logger-format": none("the form of the error log is in log_config"),
    "log-4xx": none("access_log_skip says which are left out: 2xx 3xx"),
    "log-5xx": none("access_log_skip says which are left out: 2xx 3xx 4xx"),
    "log-master": none("each worker writes its lines whole"),
    "log-maxsize": none("let logrotate move the file away, and send USR1"),
    "log-reopen": none("always, by USR1"),
    "memory-report": none("metrics_bind tells it, and `dualwsgi top`"),
    "stats": none("metrics_bind is for Prometheus, `dualwsgi top` and `dualwsgi ctl snapshot` for people"),
    "stats-http": none("see stats"),
    # What else it did
    **dict.fromkeys(
        ("cron", "spooler", "mule", "mules", "attach-daemon", "smart-attach-daemon"), none(_STANDARD)
    ),
    "honour-stdin": none("standard input is left as it is"),
    "touch-reload": none("send SIGHUP where there are worker processes"),
    "py-autoreload": becomes("reload", "by watching, not by looking now and then", _yes),
}


_SHORT: Mapping[str, str] = {
    "-s": "socket",
    "-M": "master",
    "-T": "enable-threads",
    "-H": "home",
    "-d": "daemonize",
}


def option_of(flag: str) -> str:
    """The option of uWSGI that `flag` is, of those that have a rule; else ""."""
    name = _SHORT.get(flag, flag.removeprefix("--").replace("_", "-"))
    return name if name in RULES and flag.startswith("-") else ""


def read(path: str) -> dict[str, Any]:
    """The options in the section [uwsgi] of an ini file; one that comes twice is a list.

    What stands in %(name), %n and the like and $(VARIABLE) is put in.  Raises OSError, and ValueError for
    what is no such file.
    """
    found: dict[str, Any] = {}
    used: set[str] = set()
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
                value = _filled_in(value or "true", found, used, path)
                if name in found:
                    earlier = found[name] if isinstance(found[name], list) else [found[name]]
                    found[name] = [*earlier, value]
                else:
                    found[name] = value
    if not section:
        raise ValueError("it has no section [uwsgi]; an ini file of uWSGI begins with one")
    for name in used - set(RULES):
        found.pop(name, None)  # there only to be put in
    if "callable" in found:
        for name in ("module", "wsgi", "wsgi-file"):
            if name in found and ":" not in found[name]:
                found[name] = f"{found[name]}:{found.pop('callable')}"
                break
    return found


def _filled_in(text: str, found: Mapping[str, Any], used: set[str], path: str) -> str:
    whole = os.path.abspath(path)
    stem, ending = os.path.splitext(os.path.basename(whole))
    magic = {
        **{"p": whole, "s": stem + ending, "n": stem, "e": ending[1:], "d": os.path.dirname(whole) + "/"},
        **{"c": os.path.basename(os.path.dirname(whole)), "%": "%"},
    }

    def put_in(match: re.Match[str]) -> str:
        if name := match["name"]:
            used.add(name)
            return _last(found[name]) if name in found else match[0]
        if variable := match["variable"]:
            return os.environ.get(variable, match[0])
        return magic.get(match["letter"], match[0])

    return re.sub(r"%\((?P<name>[\w-]+)\)|\$\((?P<variable>\w+)\)|%(?P<letter>[psnedc%])", put_in, text)
