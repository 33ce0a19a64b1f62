"""How a line of the access log is written: from a format to a function, once, before anything is served.

A format is a name (`common`, `combined`, `json`) or a text with Python's %(name)s in it.  The names are
gunicorn's letters and eventlet's words, so that formats written for either mean the same here:

    %(h)s - - %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s
    %(client_ip)s - - [%(date_time)s] "%(request_line)s" %(status_code)s %(body_length)s %(wall_seconds).6f

    %({accept}i)s  a field of the request        %({wsgi.url_scheme}e)s  a key of environ
    %({etag}o)s    a field of the response

`json` may be followed by names: `json: time, status, {accept}i`.  What clients and applications sent is
escaped, so that no line can be forged.  Knows no file.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...errors import ConfigError
from ...gateway.heads import Request
from ...http11.head import HTTP_11

__all__ = ["COMBINED", "NAMES", "Ended", "Format", "escaped"]

COMBINED: Final = "combined"

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in '"\\':
        return "\\" + character
    number = ord(character)
    return (
        f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
    )


def escaped(text: str) -> str:
    """`text` as it may stand between double quotes in a log line."""
    return _UNSAFE.sub(_escape, text)


@dataclass(slots=True)
class Ended:
    """A response that has ended, as formats see it.

    `environ` and `fields` (of the response) are empty, and the last times -1.0, for what never came to
    the application, and where no format asks for them.  Times in seconds.
    """

    request: Request | None
    peer: Mapping[str, Any]
    status: str
    size: int
    seconds: float
    environ: Mapping[str, Any]
    fields: list[tuple[str, str]]
    queued: float = -1.0
    application: float = -1.0
    first_byte: float = -1.0
    cpu: float = -1.0
    sending: float = -1.0
    request_id: str = ""
    trace_id: str = ""


# Fields

Getter = Callable[[Ended], Any]


def _of_request(name: str) -> Getter:
    wanted = name.lower()

    def get(ended: Ended) -> str:
        if ended.request is None:
            return "-"
        return next((value for key, value, _ in ended.request.lines if key.lower() == wanted), "-")

    return get


def _of_response(name: str) -> Getter:
    wanted = name.lower()
    return lambda ended: next((value for key, value in ended.fields if key.lower() == wanted), "-")


def _of_environ(name: str) -> Getter:
    return lambda ended: ended.environ.get(name, "-")


def _line(attribute: str) -> Getter:
    return lambda ended: getattr(ended.request.line, attribute) if ended.request is not None else "-"


def _protocol(ended: Ended) -> str:
    if ended.request is None:
        return "-"
    return "HTTP/1.1" if ended.request.line.version >= HTTP_11 else "HTTP/1.0"


def _request_line(ended: Ended) -> str:
    if ended.request is None:
        return "-"
    line = ended.request.line
    return f"{line.method} {line.target} {_protocol(ended)}"


def _client(ended: Ended) -> str:
    return ended.peer.get("REMOTE_ADDR") or "-"


def _measured(attribute: str) -> Getter:
    def get(ended: Ended) -> float | None:
        seconds: float = getattr(ended, attribute)
        return round(seconds, 6) if seconds >= 0 else None

    return get


class _Clock:
    """Local time in the form of the common log format, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self, ended: Ended) -> str:
        second = int(time.time())
        if second != self._second:
            local = time.localtime(second)
            # Not %b, which speaks the language of the locale.
            self._text = time.strftime(f"%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z", local)
            self._second = second
        return self._text


_clock = _Clock()


def _iso(ended: Ended) -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03}Z"


NAMES: Final[dict[str, Getter]] = {
    # gunicorn's
    "h": _client,
    "l": lambda ended: "-",
    "u": lambda ended: ended.environ.get("REMOTE_USER") or "-",
    "t": lambda ended: f"[{_clock(ended)}]",
    "r": _request_line,
    "m": _line("method"),
    "U": _line("path"),
    "q": _line("query"),
    "H": _protocol,
    "s": lambda ended: ended.status[:3],
    "B": lambda ended: ended.size,
    "b": lambda ended: ended.size or "-",
    "f": _of_request("Referer"),
    "a": _of_request("User-Agent"),
    "T": lambda ended: int(ended.seconds),
    "M": lambda ended: int(ended.seconds * 1e3),
    "D": lambda ended: int(ended.seconds * 1e6),
    "L": lambda ended: f"{ended.seconds:.6f}",
    "p": lambda ended: f"<{os.getpid()}>",
    # eventlet's
    "client_ip": _client,
    "client_port": lambda ended: ended.peer.get("REMOTE_PORT") or "-",
    "date_time": _clock,
    "request_line": _request_line,
    "status_code": lambda ended: ended.status[:3],
    "body_length": lambda ended: ended.size,
    "wall_seconds": lambda ended: ended.seconds,
    # Words of our own, for JSON above all
    "time": _iso,
    "method": _line("method"),
    "target": _line("target"),
    "path": _line("path"),
    "query": _line("query"),
    "protocol": _protocol,
    "status": lambda ended: int(ended.status[:3]),
    "reason": lambda ended: ended.status[4:],
    "size": lambda ended: ended.size,
    "seconds": lambda ended: round(ended.seconds, 6),
    "queued": _measured("queued"),
    "application": _measured("application"),
    "first_byte": _measured("first_byte"),
    "cpu": _measured("cpu"),
    "sending": _measured("sending"),
    "referer": _of_request("Referer"),
    "user_agent": _of_request("User-Agent"),
    "host": _of_request("Host"),
    "route": lambda ended: ended.request.line.route_name() if ended.request is not None else "-",
    "pid": lambda ended: os.getpid(),
    "request_id": lambda ended: ended.request_id or "-",
    "trace_id": lambda ended: ended.trace_id or "-",
}

_OF_CALL: Final = frozenset(
    {"u", "queued", "application", "first_byte", "cpu", "sending", "request_id", "trace_id"}
)
"""Names that are only known if the application's calls are watched."""

_FIELDS: Final = {
    "f": "referer",
    "referer": "referer",
    "a": "user-agent",
    "user_agent": "user-agent",
    "host": "host",
}
"""Names of request fields."""

_COMMON: Final = '%(h)s - - %(t)s "%(r)s" %(s)s %(b)s'
_WELL_KNOWN: Final = {
    "common": _COMMON,
    "combined": _COMMON + ' "%(f)s" "%(a)s"',
}
_JSON: Final = "time, client_ip, method, target, protocol, status, size, seconds, referer, user_agent"
_NAME: Final = re.compile(r"%\((\{[^{}()]+\}[ioe]|\w+)\)|%%|(%)")


class Format:
    """A format, ready to write lines.

    `watches_calls` says whether it needs to know of each call, `asks_cpu` whether of its processor time.

    `reads` are the fields of requests that stand in it, in lower case.

    Raises ConfigError, which names what is not known and says what is.
    """

    def __init__(self, text: str) -> None:
        kind, colon, rest = text.partition(":")
        self.is_json = kind == "json"
        if self.is_json:
            names = [name.strip() for name in (rest if colon else _JSON).split(",")]
        else:
            text = _WELL_KNOWN.get(text, text)
            names = []
            for match in _NAME.finditer(text):
                if match[2]:
                    raise ConfigError(
                        f"access_log_format: a % that begins no %(name)s in {text!r}; give %% for the sign"
                    )
                if match[1]:
                    names.append(match[1])
            if not names:
                raise ConfigError(
                    f"access_log_format: {text!r} names no field; "
                    "give common, combined, json or a text with %(name)s in it"
                )
        self._text = text
        self._getters = {name: _getter(name) for name in names}
        self.reads = frozenset(
            _FIELDS.get(name, name[1:-2].lower()) for name in names if name in _FIELDS or name.endswith("}i")
        )
        self.watches_calls = any(name in _OF_CALL or name.endswith(("}e", "}o")) for name in names)
        self.asks_cpu = "cpu" in names
        if not self.is_json:
            try:
                self(Ended(None, {}, "200 OK", 0, 0.0, {}, []))
            except (ValueError, TypeError) as error:
                raise ConfigError(
                    f"access_log_format: {text!r} cannot be written: {error}; give %(name)s"
                ) from None

    def __call__(self, ended: Ended) -> str:
        """The line, without its end."""
        values = {name: get(ended) for name, get in self._getters.items()}
        if self.is_json:
            # ASCII, with controls as \uXXXX: json's own escapes are all that is needed.
            return json.dumps(values, default=str)
        for name, value in values.items():
            if not isinstance(value, int | float):
                values[name] = "-" if value is None else escaped(str(value))
        return self._text % values


def _getter(name: str) -> Getter:
    if name.startswith("{"):
        make = {"i": _of_request, "o": _of_response, "e": _of_environ}[name[-1]]
        return make(name[1:-2])
    get = NAMES.get(name)
    if get is None:
        raise ConfigError(
            f"access_log_format: {name!r} is not known; give {', '.join(NAMES)}, "
            "{field}i, {field}o or {key}e"
        )
    return get
