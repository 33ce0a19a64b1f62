"""gunicorn's settings, each with what it becomes.  The names are those of gunicorn 23 to 26."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dualwsgi_cli.migration.rules import Rule, becomes, none, same

__all__ = ["RULES", "SETTINGS", "read"]

BACKENDS = {"sync": "threads", "gthread": "threads", "gevent": "green", "eventlet": "green"}

GIB = 1024**3


def _worker_class(value: Any) -> Mapping[str, Any]:
    name = str(value).rpartition(".")[2].lower()
    for word, backend in BACKENDS.items():
        if word in name:
            return {"backend": backend}
    raise ValueError("no backend works like it: threads and green are for WSGI applications")


def _binds(value: Any) -> Any:
    texts = [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value)
    return tuple(text if ":" in text or "/" not in text else f"unix:{text}" for text in texts)


def _unlimited(value: Any) -> int:
    """gunicorn's 0 is no limit; here every limit of a head has an end."""
    return int(value) or GIB


def _log(value: Any) -> str | None:
    return None if value in (None, "None", "") else str(value)


def _path(value: Any) -> str:
    first, *more = str(value).split(",")
    if more:
        raise ValueError("one directory is put on the path; set PYTHONPATH for several")
    return first


RULES: Mapping[str, Rule] = {
    # What is served
    "wsgi_app": becomes("app"),
    "chdir": same("chdir") if same("chdir").holds else becomes("app_dir", "the working directory stays"),
    "pythonpath": becomes("app_dir", convert=_path),
    "paste": none("give the ini file to pserve, with `use = egg:dualwsgi`"),
    "raw_paste_global_conf": none("give it to pserve"),
    "raw_env": none("set it where the service is started, in the unit or the container"),
    "config": none("it is the file that was read"),
    # Where
    "bind": becomes("bind", convert=_binds),
    "sendfile": none("files are always sent by the kernel where it can"),
    # What runs it
    "worker_class": Rule("backend", "sync and gthread: threads; gevent: green", ("backend",), _worker_class),
    "threads": becomes(
        "threads",
        "it bounds application calls alone; waiting clients take none",
        lambda value: max(1, int(value)),
    ),
    "worker_connections": becomes("concurrency", "it bounds application calls alone, on green"),
    "worker_tmp_dir": none("heartbeats are no files here"),
    "tmp_upload_dir": none("bodies are not written to files"),
    # How long
    "keepalive": becomes(
        "keep_alive", "2 s in gunicorn; here an idle connection costs no thread, so 75 s", float
    ),
    "graceful_timeout": becomes("graceful_timeout", convert=float),
    # How large
    "limit_request_line": becomes("limit_request_line", "0 was no limit", _unlimited),
    "limit_request_field_size": becomes("limit_request_field_size", "0 was no limit", _unlimited),
    # What it tells
    "accesslog": becomes("access_log", convert=_log),
    "statsd_host": becomes("statsd_host", "counts and times once a second, not a datagram a request"),
    "statsd_prefix": becomes("statsd_prefix"),
    "loglevel": becomes("log_level", convert=lambda value: str(value).lower()),
    "errorlog": none(
        "the error log goes to standard error, or where the application's logging sends `dualwsgi`"
    ),
    "capture_output": none("standard output and error are left as they are"),
    "logger_class": none("the error log is the standard logger `dualwsgi`"),
    "enable_stdio_inheritance": none("standard output and error are always inherited"),
    "disable_redirect_access_to_syslog": none("the access log never goes there unless told to"),
    "spew": none("a debugger does it better"),
    "check_config": none("it is `dualwsgi run --check`"),
    "print_config": none("it is `dualwsgi config`"),
    # Processes
    "preload_app": becomes("preload", "a reload gets new code here, too", bool),
    "timeout": becomes("timeout", "a worker whose loop stands still; a slow request does not stop it", float),
    "user": becomes("user", convert=str),
    "group": becomes("group", convert=str),
    "umask": becomes("umask", convert=lambda value: value if isinstance(value, str) else f"{value:03o}"),
    "daemon": none("let systemd or a container hold the process"),
    "default_proc_name": none("gunicorn's own"),
    "initgroups": none("a user's supplementary groups are always taken on"),
    # HTTP
    "proxy_protocol": becomes(
        "proxy_protocol",
        "only trusted peers send it: see proxy_allow_ips",
        lambda value: {True: "auto", False: "off", "true": "auto", "false": "off"}.get(value, value),
    ),
    "secure_scheme_headers": none("X-Forwarded-Proto is understood from forwarded_allow_ips, and Forwarded"),
    "ssl_version": none("TLS 1.2 and 1.3 are spoken; ssl_version = TLSv1.3 allows that alone"),
    "suppress_ragged_eofs": none("an end of TLS that is not said is told as one"),
    "do_handshake_on_connect": none("handshakes are parked, with a deadline: handshake_timeout"),
    "permit_obsolete_folding": none("refused: two parsers read it in two ways (RFC 9112 section 5.2)"),
    "strip_header_spaces": none("refused: it smuggles requests (RFC 9112 section 5.1)"),
    "permit_unconventional_http_method": none("any token is a method (RFC 9110 section 9.1)"),
    "permit_unconventional_http_version": none("HTTP/1.0 and 1.1 are served, the rest is 505"),
    "casefold_http_method": none("methods are case-sensitive (RFC 9110 section 9.1)"),
    "header_map": none("always `drop`: a name with an underscore never reaches the application"),
    "forwarder_headers": none("names with underscores never reach the application"),
}

_HOOKS = (
    *("on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_int"),
    *("worker_abort", "pre_exec", "pre_request", "post_request", "child_exit", "worker_exit"),
    *("nworkers_changed", "on_exit", "ssl_context"),
)

SETTINGS: tuple[str, ...] = (
    *("config", "wsgi_app", "bind", "backlog", "workers", "worker_class", "threads", "worker_connections"),
    *("max_requests", "max_requests_jitter", "timeout", "graceful_timeout", "keepalive"),
    *("limit_request_line", "limit_request_fields", "limit_request_field_size"),
    *("reload", "reload_engine", "reload_extra_files", "spew", "check_config", "print_config"),
    *("preload_app", "sendfile", "reuse_port", "chdir", "daemon", "raw_env", "pidfile", "worker_tmp_dir"),
    *("user", "group", "umask", "initgroups", "tmp_upload_dir", "secure_scheme_headers"),
    *("forwarded_allow_ips", "accesslog", "disable_redirect_access_to_syslog", "access_log_format"),
    *("errorlog", "loglevel", "capture_output", "logger_class", "logconfig", "logconfig_dict"),
    *("logconfig_json", "syslog_addr", "syslog", "syslog_prefix", "syslog_facility"),
    *("enable_stdio_inheritance", "statsd_host", "dogstatsd_tags", "statsd_prefix", "proc_name"),
    *("default_proc_name", "pythonpath", "paste", *_HOOKS, "proxy_protocol", "proxy_allow_ips", "keyfile"),
    *("certfile", "ssl_version", "cert_reqs", "ca_certs", "suppress_ragged_eofs"),
    *("do_handshake_on_connect", "ciphers", "raw_paste_global_conf", "permit_obsolete_folding"),
    *("strip_header_spaces", "permit_unconventional_http_method", "permit_unconventional_http_version"),
    *("casefold_http_method", "forwarder_headers", "header_map"),
)
"""Every setting of gunicorn, in the order of its documentation."""


def read(path: str) -> dict[str, Any]:
    """Gunicorn's settings in a configuration file, which is run, as gunicorn runs it.

    Raises whatever the file does, and OSError.
    """
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    scope: dict[str, Any] = {
        "__builtins__": __builtins__,
        "__name__": "__config__",
        "__file__": os.path.abspath(path),
    }
    exec(code, scope)
    return {name: scope[name] for name in SETTINGS if name in scope}
