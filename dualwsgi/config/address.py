"""Addresses to listen on, from text and back.  Nothing here opens a socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from ..errors import ConfigError

__all__ = ["UNIX_PATH_MAX", "BindAddress", "bracketed", "is_number", "parse_bind"]


@dataclass(frozen=True, slots=True)
class BindAddress:
    """An address to listen on.  `kind` says which of the other fields count.

    tcp: `host` ('' for every interface; IPv6 without brackets) and `port` (0: the system picks one).
    unix: `path` in the file system.  abstract: `path` is the name, without its leading NUL (Linux).
    fd: `fd`, a descriptor that already listens.
    """

    kind: Literal["tcp", "unix", "abstract", "fd"]
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1

    def __str__(self) -> str:
        """The text that parses to this address."""
        match self.kind:
            case "unix":
                return f"unix:{self.path}"
            case "abstract":
                return f"unix:@{self.path}"
            case "fd":
                return f"fd://{self.fd}"
        return f"{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """As a host stands before a port: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


# struct sockaddr_un: 108 bytes on Linux, 104 on BSD and macOS, one of them the closing NUL.
UNIX_PATH_MAX = 103


def parse_bind(text: str, label: str = "bind") -> BindAddress:
    """Parse HOST:PORT, [IPV6]:PORT, :PORT, *:PORT, unix:PATH, unix:@NAME or fd://N.

    Raises ConfigError, which starts with `label` and says what to write instead.
    """

    def refuse(problem: str, cure: str) -> NoReturn:
        raise ConfigError(f"{label}: {text!r} {problem}; give {cure}")

    if not text or re.search(r"[\s\0]", text):
        refuse("is not an address", "HOST:PORT such as 127.0.0.1:8000, or unix:PATH")

    scheme, colon, rest = text.partition(":")
    if colon and scheme == "unix":
        path = rest.removeprefix("//")
        kind: Literal["unix", "abstract"] = "abstract" if path.startswith("@") else "unix"
        path = path.removeprefix("@")
        if not path:
            refuse("names no path", "unix:PATH such as unix:/run/app.sock")
        if len(path.encode(errors="surrogateescape")) > UNIX_PATH_MAX:
            refuse("is too long for a unix socket", f"a path of at most {UNIX_PATH_MAX} bytes")
        return BindAddress(kind, path=path)

    if colon and scheme == "fd":
        digits = rest.removeprefix("//")
        if not is_number(digits):
            refuse("names no descriptor", "fd://N such as fd://3")
        return BindAddress("fd", fd=int(digits))

    if "://" in text:
        refuse(
            "is a URL",
            f"the address alone, such as {text.partition('://')[2].rstrip('/') or '127.0.0.1:8000'}",
        )

    host, colon, digits = text.rpartition(":")
    if not colon:
        example = f":{text} or 127.0.0.1:{text}" if is_number(text) else f"{text}:8000"
        refuse("names no port" if not is_number(text) else "is a port alone", example)
    if not is_number(digits) or int(digits) > 65_535:
        refuse("has no usable port", "a port from 0 to 65535 (0: the system picks one)")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            refuse("has no IPv6 address in its brackets", "one such as [::1]:8000")
    elif ":" in host or "[" in host or "]" in host:
        refuse("is an IPv6 address without its brackets", f"[{host.strip('[]')}]:{digits}")
    return BindAddress("tcp", host="" if host == "*" else host, port=int(digits))


def is_number(text: str) -> bool:
    """Whether it is ASCII digits alone, and few."""
    # int() also takes '+1', ' 1', '1_0' and digits of other scripts.
    return text.isascii() and text.isdigit() and len(text) < 10
