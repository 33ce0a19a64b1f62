"""From a parsed request head to the environ that PEP 3333 asks for.

What depends on the request alone is made here and may be kept with its head.  What depends on the
connection (REMOTE_*, SERVER_*, the scheme) is laid over it for every request, by the connection.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from ..http11.head import HTTP_11, FieldLine, RequestLine
from .input import NO_BODY, FileWrapper

Environ = dict[str, Any]

HANDLES: Final = ("wsgi.early_hints", "dualwsgi.send_interim", "dualwsgi.deadline", "dualwsgi.client_gone")
"""By which an application acts on its connection: each refers to it."""

CONNECTION_KEYS: Final = (
    *("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme"),
    *HANDLES,
)
"""Laid over each environ by its connection, always all of them."""


def base_environ(*, multiprocess: bool) -> Environ:
    """The keys that are the same for every request of a server."""
    return {
        "SCRIPT_NAME": "",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input": NO_BODY,
        "wsgi.input_terminated": True,
        # What every connection says for itself: the place for it is made with the copy, so that laying
        # it over need not make the dictionary grow.
        **dict.fromkeys(CONNECTION_KEYS),
    }


def line_environ(line: RequestLine) -> Environ:
    """What the request line says."""
    path = line.path
    environ = {
        "REQUEST_METHOD": line.method,
        "SERVER_PROTOCOL": "HTTP/1.1" if line.version == HTTP_11 else "HTTP/1.0",
        "RAW_URI": line.target,
        "REQUEST_URI": line.target,
        "PATH_INFO": path if "%" not in path else percent_decode(path),
        "QUERY_STRING": line.query,
    }
    if line.authority is not None:
        environ["HTTP_HOST"] = line.authority  # RFC 9112 section 3.2.2: it overrides the field
    return environ


def field_environ(base: Environ, lines: list[FieldLine]) -> Environ:
    """A copy of `base` with what the field lines say."""
    environ = base.copy()
    keys = _keys
    for name, value, _ in lines:
        key = keys.get(name)
        if key is None:
            key = environ_key(name)
        if key not in environ:
            if key:
                environ[key] = value
        else:
            # RFC 9110 section 5.3, and RFC 6265 section 5.4 for cookies, whose values hold commas.
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value
    return environ


_KEYS_KEPT: Final = 4096
_keys: dict[str, str] = {}


def environ_key(name: str) -> str:
    """The key of a field, "" for a name with an underscore and for Proxy.

    `X_Real_IP` and `X-Real-IP` would share a key, and a proxy that polices one lets the other
    pass; so names with underscores never reach the application.  Nor does Proxy, which no RFC knows:
    handed on to a child process as CGI variables are, HTTP_PROXY says where its requests go (httpoxy).
    """
    if "_" in name:
        key = ""
    else:
        key = name.upper().replace("-", "_")
        if key == "PROXY":
            key = ""
        elif key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
    if len(_keys) < _KEYS_KEPT and len(name) <= 64:
        _keys[name] = key
    return key


def percent_decode(path: str) -> str:
    """RFC 3986 section 2.1, to the ISO-8859-1 text that PEP 3333 wants; what is no triplet stays."""
    head, *parts = path.split("%")
    decoded = [head]
    for part in parts:
        octet = _TRIPLETS.get(part[:2])
        decoded.append("%" + part if octet is None else octet + part[2:])
    return "".join(decoded)


_DIGITS: Final = "0123456789abcdefABCDEF"
_TRIPLETS: Final = {high + low: chr(int(high + low, 16)) for high in _DIGITS for low in _DIGITS}
