"""What the server tells: to logs, to those who watch, to clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..kinds import Choice, FieldValue, FileName, LogTarget, Seconds, SocketPath, Switch, Text, UrlPath, knob
from .room import Room

__all__ = ["AUTO", "ClockMode", "LogLevel", "Telling"]

LogLevel = Literal["debug", "info", "warning", "error", "critical"]

ClockMode = Literal["off", "sampled", "all"]

AUTO = "auto"


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Telling(Room):
    __slots__ = ()
    heading = "What it tells"

    access_log: str | None = knob(
        # Off unless asked for, as in gunicorn: a proxy in front mostly writes one already, and who
        # compares servers compares them without.
        None,
        LogTarget("Write a line for each request to standard output."),
    )
    access_log_format: str = knob(
        "combined",
        Text(
            "How it is written: common, combined, json, json: FIELDS, or a text with gunicorn's or "
            "eventlet's %(names)s.",
            metavar="FORMAT",
        ),
    )
    access_log_skip: str = knob(
        "", Text("Leave out these paths and statuses: /healthz /static/* 304 2xx.", metavar="WORDS")
    )
    access_log_slow: float = knob(
        0.0, Seconds("Leave out what was quicker than this, but for 5xx. 0: leave out nothing.", 0.0)
    )
    request_id: bool = knob(
        False,
        Switch(
            "Take X-Request-ID and traceparent from requests, or make them; tell the application, the "
            "client and the log."
        ),
    )
    server_timing: bool = knob(False, Switch("Tell clients in Server-Timing how long a request took."))
    phase_clock: ClockMode = knob(
        "sampled",
        Choice(
            "Of which requests it is measured where their time goes (queue, application, CPU, sending): "
            "all, sampled (some a second) or off.",
            *("all", "sampled", "off"),
            metavar="WHICH",
        ),
    )
    metrics_bind: str = knob(
        "",
        Text(
            "Serve /metrics (Prometheus), /livez and /readyz at this HOST:PORT. '': nowhere.",
            metavar="ADDRESS",
        ),
    )
    statsd_host: str = knob(
        "",
        Text(
            "Send counts and times of requests to the StatsD daemon at HOST:PORT or unix:PATH, once a "
            "second. '': to none.",
            metavar="ADDRESS",
        ),
    )
    statsd_prefix: str = knob("dualwsgi", Text("What the names sent there begin with.", metavar="NAME"))
    opentelemetry: bool = knob(
        False,
        Switch(
            "Make a span of each request by OpenTelemetry's WSGI middleware; its provider is the "
            "application's or opentelemetry-instrument's. Wants dualwsgi[otel]."
        ),
    )
    livez_path: str = knob(
        "",
        UrlPath(
            "Answer 200 at this path of the main listeners while the loop turns, without the application. "
            "'': nowhere."
        ),
    )
    readyz_path: str = knob(
        "",
        UrlPath(
            "The same, but 503 when the server stops or turns requests away: whether it wants more. "
            "'': nowhere."
        ),
    )
    control_socket: str = knob(
        AUTO,
        SocketPath(
            "Let `dualwsgi top` and `dualwsgi ctl` of the same user attach here; auto: in a private "
            "directory, when the process is the server's own. off: nowhere."
        ),
    )
    log_level: LogLevel = knob(
        "info",
        Choice(
            "The least that the error log shows: debug, info, warning, error or critical.",
            *("debug", "info", "warning", "error", "critical"),
            metavar="LEVEL",
        ),
    )
    error_logfile: str | None = knob(
        None,
        FileName(
            "Write the error log to this file, which may be moved away at any time; default: to standard "
            "error, or where the application's logging sends it."
        ),
    )
    log_config: str = knob(
        "",
        Text(
            "Configure Python's logging from this file: JSON or TOML as for dictConfig, else ini.",
            metavar="FILE",
        ),
    )
    server_header: str = knob("dualwsgi", FieldValue("Value of the Server header; '' sends none."))
