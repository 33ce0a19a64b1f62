"""gunicorn's settings, each with what it becomes.  The names are those of gunicorn 23 to 27."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dualwsgi.config import Config, knobs
from dualwsgi_cli.migration.rules import Rule, becomes, none, same

__all__ = ["RULES", "SETTINGS", "read", "rule_of", "setting_of"]

BACKENDS = {"sync": "threads", "gthread": "threads", "gevent": "green", "eventlet": "green"}


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
    """gunicorn's 0 is no limit; here all of a head has one, and a part of it needs none that is larger."""
    return int(value) or WHOLE_HEAD


def _log(value: Any) -> str | None:
    return None if value in (None, "None", "") else str(value)


def _path(value: Any) -> str:
    first, *more = str(value).split(",")
    if more:
        raise ValueError("one directory is put on the path; set PYTHONPATH for several")
    return first


_HOOKS = (
    *("on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_int"),
    *("worker_abort", "pre_exec", "pre_request", "post_request", "child_exit", "worker_exit"),
    *("nworkers_changed", "on_exit", "ssl_context"),
)

_HTTP2_SETTINGS = (
    *("http_protocols", "http2_cleartext", "http2_max_concurrent_streams", "http2_initial_window_size"),
    *("http2_max_frame_size", "http2_max_header_list_size"),
)

_DIRTY_SETTINGS = ("dirty_apps", "dirty_workers", "dirty_timeout", "dirty_threads", "dirty_graceful_timeout")

_DIRTY_HOOKS = ("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit")

WHOLE_HEAD = Config().limit_request_head

_AS_NAME = "name it as MODULE:NAME; it is called with"
_OF_MASTER = "the supervisor never imports the application, and calls nothing of it"
_ASGI = "ASGI is not spoken"
_HTTP2 = "HTTP/2 is not spoken; let a proxy in front do it"
_DIRTY = "give long work to a task queue"

RULES: Mapping[str, Rule] = {
    # What is served
    "wsgi_app": becomes("app"),
    "pythonpath": becomes("app_dir", convert=_path),
    "paste": none("give the ini file to pserve, with `use = egg:dualwsgi`"),
    "raw_paste_global_conf": none("give it to pserve"),
    "raw_env": none("set it where the service is started, in the unit or the container"),
    "config": none("its file is Python: `dualwsgi migrate FILE > dualwsgi.toml` makes ours of it"),
    # Where
    "bind": becomes("bind", convert=_binds),
    "sendfile": none("files are always sent by the kernel where it can"),
    # What runs it
    "worker_class": Rule(
        "backend", "sync and gthread: threads; gevent and eventlet: green", ("backend",), _worker_class
    ),
    "threads": becomes(
        "threads",
        "it bounds application calls alone; waiting clients take none",
        lambda value: max(1, int(value)),
    ),
    "worker_connections": becomes("concurrency", "it bounds application calls alone, on green", int),
    "worker_tmp_dir": none("heartbeats are no files here"),
    "tmp_upload_dir": none("TMPDIR says where --request-buffering keeps large bodies"),
    # How long
    "keepalive": becomes("keep_alive", "an idle connection costs no thread here: the default is 75 s", float),
    "graceful_timeout": becomes("graceful_timeout", convert=float),
    # How large
    "limit_request_line": becomes(
        "limit_request_line", "its 0, no limit, is that of the whole head", _unlimited
    ),
    "limit_request_field_size": becomes(
        "limit_request_field_size", "its 0, no limit, is that of the whole head", _unlimited
    ),
    # What it tells
    "accesslog": becomes("access_log", convert=_log),
    "statsd_host": becomes("statsd_host", "counts and times once a second, not a datagram a request"),
    "statsd_prefix": becomes("statsd_prefix"),
    "loglevel": becomes("log_level", convert=lambda value: str(value).lower()),
    "access_log_format": becomes("access_log_format", "`json` makes JSON whatever clients send"),
    "errorlog": becomes(
        "error_logfile",
        "by default standard error",
        lambda value: "" if value in ("-", None) else str(value),
    ),
    "logconfig": becomes("log_config", "the logger is called `dualwsgi`, not `gunicorn.error`"),
    "logconfig_json": becomes("log_config", "the logger is called `dualwsgi`, not `gunicorn.error`"),
    "logconfig_dict": none("write it to a file, as JSON or TOML, and name that as log_config"),
    "syslog": none("give log_config with a logging.handlers.SysLogHandler for the logger `dualwsgi`"),
    "syslog_addr": none("see syslog"),
    "syslog_prefix": none("see syslog"),
    "syslog_facility": none("see syslog"),
    "dogstatsd_tags": none("let the daemon add them to what begins with statsd_prefix"),
    "enable_backlog_metric": none("what waits for a call is counted in any case"),
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
    "pidfile": becomes("pidfile", convert=str),
    "proc_name": becomes("proc_name", "it needs setproctitle: pip install 'dualwsgi[title]'", str),
    "reload_engine": none("watchfiles watches; WATCHFILES_FORCE_POLLING=1 has it look for itself"),
    "control_socket": becomes("control_socket", "it speaks to `dualwsgi top` and `dualwsgi ctl`", str),
    "control_socket_mode": none("it is for the server's own user alone"),
    "control_socket_disable": Rule(
        "control_socket",
        "off",
        ("control_socket",),
        lambda value: {"control_socket": "off"} if value else {},
    ),
    # Hooks
    "on_starting": none(_OF_MASTER),
    "on_reload": none(_OF_MASTER),
    "when_ready": none(f"{_OF_MASTER}; systemd is told by itself, others by /readyz of metrics_bind"),
    "pre_fork": none("workers are programs of their own; with preload, os.register_at_fork is for this"),
    "post_fork": becomes("worker_started", f"{_AS_NAME} the Server, before it accepts"),
    "post_worker_init": becomes("worker_started", f"{_AS_NAME} the Server, before it accepts"),
    "worker_exit": becomes("worker_stopped", f"{_AS_NAME} the Server"),
    "worker_int": none("worker_stopped is called when a worker has stopped in order"),
    "worker_abort": none("a worker that stands still shows its stacks in the log by itself"),
    "pre_exec": none(_OF_MASTER),
    "pre_request": becomes("request_begun", f"{_AS_NAME} environ"),
    "post_request": becomes("request_ended", f"{_AS_NAME} environ, the status and the seconds it took"),
    "child_exit": none(f"{_OF_MASTER}; worker_stopped is called in each worker that stops in order"),
    "nworkers_changed": none(_OF_MASTER),
    "on_exit": none(_OF_MASTER),
    "ssl_context": becomes("ssl_context", f"{_AS_NAME} the Config and a function that makes the usual one"),
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
    "protocol": none("HTTP/1.1 is spoken; from uwsgi_pass go to proxy_pass"),
    "uwsgi_allow_ips": none("the uwsgi protocol is not spoken"),
    "http_parser": none("there is one, in Python"),
    "root_path": none(f"{_ASGI}; a trusted proxy says SCRIPT_NAME by X-Forwarded-Prefix"),
    **dict.fromkeys(
        ("asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "websocket_max_message_size"),
        none(_ASGI),
    ),
    **dict.fromkeys(_HTTP2_SETTINGS, none(_HTTP2)),
    **dict.fromkeys((*_DIRTY_SETTINGS, *_DIRTY_HOOKS), none(_DIRTY)),
}

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
    *("control_socket", "control_socket_mode", "control_socket_disable", "enable_backlog_metric"),
    *("protocol", "uwsgi_allow_ips", "http_parser", "root_path"),
    *("asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "websocket_max_message_size"),
    *(*_HTTP2_SETTINGS, *_DIRTY_SETTINGS, *_DIRTY_HOOKS),
)
"""Every setting of gunicorn, in the order of its documentation."""

_FLAGS: Mapping[str, str] = {
    **{"-b": "bind", "-w": "workers", "-k": "worker_class", "-t": "timeout", "-D": "daemon"},
    **{"-e": "raw_env", "--env": "raw_env", "-p": "pidfile", "--pid": "pidfile", "-c": "config"},
    **{"-u": "user", "-g": "group", "-m": "umask", "-n": "proc_name", "--name": "proc_name"},
    **{"-R": "enable_stdio_inheritance", "--keep-alive": "keepalive", "--preload": "preload_app"},
    **{"--limit-request-field_size": "limit_request_field_size", "--no-sendfile": "sendfile"},
    **{"--reload-extra-file": "reload_extra_files", "--access-logfile": "accesslog"},
    **{"--access-logformat": "access_log_format", "--error-logfile": "errorlog", "--log-file": "errorlog"},
    **{"--log-level": "loglevel", "--log-config": "logconfig", "--log-config-json": "logconfig_json"},
    **{"--log-config-dict": "logconfig_dict", "--log-syslog": "syslog", "--log-syslog-to": "syslog_addr"},
    **{"--log-syslog-prefix": "syslog_prefix", "--log-syslog-facility": "syslog_facility"},
    **{"--paster": "paste", "--paste-global": "raw_paste_global_conf", "--dirty-app": "dirty_apps"},
    **{"--proxy-allow-from": "proxy_allow_ips", "--uwsgi-allow-from": "uwsgi_allow_ips"},
    **{"--no-control-socket": "control_socket_disable"},
}
"""Its options that are not called as its settings are."""


def setting_of(flag: str) -> str:
    """The setting that gunicorn's option `flag` makes; "" if it has no such option."""
    name = flag.removeprefix("--").replace("-", "_")
    return _FLAGS.get(flag, name if flag.startswith("--") and name in SETTINGS else "")


def rule_of(name: str) -> Rule:
    """What becomes of a setting of gunicorn, whether or not it has a rule of its own."""
    return RULES.get(name) or (same(name) if name in knobs() else none(""))


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
