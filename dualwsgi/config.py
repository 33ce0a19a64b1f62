"""Every setting of the server: one frozen dataclass, one field a knob, checked in one place.

A field's metadata holds its Knob: the help text, how the value is written in text, which values
are allowed.  Flags (`--queue-size`), variables (`DUALWSGI_QUEUE_SIZE`) and help pages are made from
that, so no option is told twice.  Where a knob also exists in gunicorn, it has the name it has there.

This file knows no command line, opens no file and binds no socket.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, NoReturn, cast

from .errors import ConfigError

__all__ = ["BackendName", "BindAddress", "Config", "Knob", "LogLevel", "knobs", "parse_bind", "read_environ"]

BackendName = Literal["threads", "green"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

ENV_PREFIX = "DUALWSGI_"
AUTO = "auto"

KIB = 1024
GIB = 1024**3
DAY = 86_400.0


# The kinds of knob


class Knob:
    """One setting: what it does, how text is read into it, what it may hold.

    `parse` and `check` return the value to keep, or raise ConfigError; `label` is what the operator
    wrote (`threads`, `--threads` or `DUALWSGI_THREADS`), so that the error names it in their words.
    """

    metavar = "TEXT"
    wanted = "a text"
    bounds = ""

    def __init__(self, help_: str, *, short: str = "") -> None:
        self.help = help_
        self.short = short

    def parse(self, text: str, label: str) -> Any:
        return self.check(text, label)

    def check(self, value: Any, label: str) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> str:
        """The text that `parse` reads as `value`."""
        return str(value)

    def refuse(self, value: object, problem: str, label: str) -> NoReturn:
        raise ConfigError(f"{label}: {value!r} {problem}; give {self.wanted}")


class Count(Knob):
    """A whole number within a range."""

    metavar = "N"

    def __init__(self, help_: str, low: int, high: int) -> None:
        super().__init__(help_)
        self.low, self.high = low, high
        self.bounds = f"{self.write(low)} to {self.write(high)}"
        self.wanted = f"a whole number from {self.bounds}"

    def parse(self, text: str, label: str) -> int:
        try:
            value = int(text)
        except ValueError:
            self.refuse(text, "is not a whole number", label)
        return self.check(value, label)

    def check(self, value: Any, label: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(value, "is not a whole number", label)
        if not self.low <= value <= self.high:
            self.refuse(value, "is out of range", label)
        return value


class Size(Count):
    """A number of bytes; text may say 64k, 10M or 1GiB (powers of 1024)."""

    metavar = "BYTES"
    _TEXT = re.compile(r"(\d+) ?(?:([kmg])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE)
    _UNITS = "bkmg"

    def __init__(self, help_: str, low: int, high: int) -> None:
        super().__init__(help_, low, high)
        self.wanted = f"a number of bytes from {self.bounds} (64k, 10M and 1G are understood)"

    def parse(self, text: str, label: str) -> int:
        match = self._TEXT.fullmatch(text.strip())
        if match is None:
            self.refuse(text, "is not a number of bytes", label)
        digits, unit = match.groups("")
        return self.check(int(digits) * KIB ** self._UNITS.index(unit.lower() or "b"), label)

    def write(self, value: int) -> str:
        power = next(power for power in (3, 2, 1, 0) if value % KIB**power == 0) if value else 0
        return f"{value // KIB**power}{self._UNITS[power].upper() if power else ''}"


class Seconds(Knob):
    """A length of time; text may say 500ms, 30s, 2m or 1h."""

    metavar = "SECONDS"
    _TEXT = re.compile(r"(\d+|\d*\.\d+) ?(ms|s|m|h)?", re.ASCII | re.IGNORECASE)
    _UNITS: ClassVar = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

    def __init__(self, help_: str, low: float = 0.001, high: float = DAY) -> None:
        super().__init__(help_)
        self.low, self.high = low, high
        self.bounds = f"{self.write(low)} to {self.write(high)}"
        self.wanted = f"a number of seconds from {self.bounds} (500ms, 30s and 2m are understood)"

    def parse(self, text: str, label: str) -> float:
        match = self._TEXT.fullmatch(text.strip())
        if match is None:
            self.refuse(text, "is not a number of seconds", label)
        digits, unit = match.groups("")
        return self.check(float(digits) * self._UNITS[unit.lower() or "s"], label)

    def check(self, value: Any, label: str) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.refuse(value, "is not a number of seconds", label)
        if not self.low <= value <= self.high:  # NaN fails this too
            self.refuse(value, "is out of range", label)
        return float(value)

    def write(self, value: float) -> str:
        return f"{value:.15g}"


class Switch(Knob):
    """Yes or no."""

    metavar = ""
    wanted = "yes or no (1, true, on and 0, false, off are understood)"
    WORDS: ClassVar[Mapping[str, bool]] = {
        **dict.fromkeys(("1", "true", "yes", "on"), True),
        **dict.fromkeys(("0", "false", "no", "off"), False),
    }

    def parse(self, text: str, label: str) -> bool:
        value = self.WORDS.get(text.strip().lower())
        if value is None:
            self.refuse(text, "is neither yes nor no", label)
        return value

    def check(self, value: Any, label: str) -> bool:
        if not isinstance(value, bool):
            self.refuse(value, "is neither True nor False", label)
        return value

    def write(self, value: bool) -> str:
        return "on" if value else "off"


class Choice(Knob):
    """One word out of a few; `also` are other words for them, in lower case."""

    def __init__(
        self, help_: str, *choices: str, metavar: str = "", also: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(help_)
        self.choices = choices
        self.metavar = metavar or "|".join(choices)
        self.wanted = f"{', '.join(choices[:-1])} or {choices[-1]}"
        self._words = {choice.lower(): choice for choice in choices} | dict(also or {})

    def parse(self, text: str, label: str) -> str:
        word = text.strip().lower()
        return self.check(self._words.get(word, word), label)

    def check(self, value: Any, label: str) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = self._words.get(str(int(value)), value)  # ssl.CERT_REQUIRED and the like
        if not isinstance(value, str) or value not in self.choices:
            self.refuse(value, "is not known", label)
        return value


class Mask(Knob):
    """The permission bits that new files shall not have, in octal, or '' to leave them as they are."""

    metavar = "MODE"
    wanted = "an octal number from 0 to 777 such as 027"

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"(?:0o?)?[0-7]{0,3}", value):
            self.refuse(value, "is no mask", label)
        return value


class Fleet(Knob):
    """How many worker processes: a number, `auto` for one a core, or so many of each backend.

    An int, "auto", or a text such as "green:2,threads:auto".
    """

    metavar = "N"
    MOST = 1_024
    wanted = f"a number from 1 to {MOST}, auto, or a mix such as green:2,threads:2"

    def parse(self, text: str, label: str) -> int | str:
        text = text.strip().lower()
        return self.check(int(text) if _is_number(text) else text, label)

    def check(self, value: Any, label: str) -> int | str:
        if isinstance(value, str):
            parts = [part.strip() for part in value.split(",")]
            backends = [part.partition(":")[0] for part in parts]
            mixed = all(re.fullmatch(r"(threads|green):(auto|[1-9]\d{0,3})", part) for part in parts)
            if value != "auto" and (not mixed or len(set(backends)) != len(backends)):
                self.refuse(value, "is no fleet", label)
            counts = [int(count) for count in re.findall(r"\d+", value)]
        elif isinstance(value, int) and not isinstance(value, bool):
            counts = [value]
        else:
            self.refuse(value, "is no fleet", label)
        if not all(1 <= count <= self.MOST for count in counts):
            self.refuse(value, "is out of range", label)
        fleet: int | str = value
        return fleet


class FieldValue(Knob):
    """The value of a response field, or '' for none (RFC 9110 section 5.5, in ASCII)."""

    wanted = "printable ASCII without a space at either end, or '' to send none"

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"(?:[!-~](?:[ -~]*[!-~])?)?", value):
            self.refuse(value, "cannot be sent in a header", label)
        return value


class LogTarget(Knob):
    """Where a log goes: '-' for standard output, a path, syslog:..., or None for nowhere.

    Text may also be a Switch's word, so that DUALWSGI_ACCESS_LOG=1 does what --access-log does.
    """

    metavar = "FILE"
    wanted = "a path, '-' for standard output, syslog:, syslog:HOST:PORT, or nothing for no log"

    def parse(self, text: str, label: str) -> str | None:
        if not text:
            return None
        on = Switch.WORDS.get(text.lower())
        return self.check(text, label) if on is None else "-" if on else None

    def check(self, value: Any, label: str) -> str | None:
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            self.refuse(value, "is not a path", label)
        return value

    def write(self, value: str | None) -> str:
        return value or ""


class Words(Knob):
    """A text on one line, or ''."""

    wanted = "a text without control characters"

    def __init__(self, help_: str, *, metavar: str = "TEXT") -> None:
        super().__init__(help_)
        self.metavar = metavar

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or any(ord(one) < 32 or one == "\x7f" for one in value):
            self.refuse(value, "is not a text on one line", label)
        return value


class SocketPath(Knob):
    """Where a unix socket shall be: a path, `auto`, or '' for none."""

    metavar = "PATH"
    wanted = "a path of at most 103 bytes, 'auto' or 'off'"

    def parse(self, text: str, label: str) -> str:
        return self.check("" if Switch.WORDS.get(text.lower()) is False else text, label)

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or "\0" in value:
            self.refuse(value, "is not a path", label)
        if len(value.encode(errors="surrogateescape")) > UNIX_PATH_MAX:
            self.refuse(value, "is too long for a unix socket", label)
        return value

    def write(self, value: str) -> str:
        return value or "off"


class FileName(Knob):
    """A path, or None for none.  Whether the file is there is seen when it is opened."""

    metavar = "FILE"
    wanted = "a path"

    def parse(self, text: str, label: str) -> str | None:
        return self.check(text or None, label)

    def check(self, value: Any, label: str) -> str | None:
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            self.refuse(value, "is not a path", label)
        return value

    def write(self, value: str | None) -> str:
        return value or ""


class Text(Knob):
    """Any text without control characters, or '' for none.  A `secret` one is never shown."""

    wanted = "a text without control characters"

    def __init__(self, help_: str, *, metavar: str = "TEXT", secret: bool = False) -> None:
        super().__init__(help_)
        self.metavar = metavar
        self.secret = secret

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or re.search(r"[\x00-\x1f\x7f]", value):
            self.refuse("***" if self.secret else value, "is not a text", label)
        return value

    def write(self, value: str) -> str:
        return "***" if self.secret and value else value


class Permissions(Knob):
    """The permission bits of a file as chmod takes them in octal, or '' to leave them to the umask."""

    metavar = "MODE"
    wanted = "three octal digits such as 660, or nothing to leave it to the umask"

    def check(self, value: Any, label: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"(?:0?[0-7]{3})?", value):
            self.refuse(value, "is no mode of a file", label)
        return value


class Hook(Knob):
    """Something to call: in Python the callable itself, in text where it is found; None for nothing."""

    metavar = "MODULE:NAME"
    wanted = "a callable, or MODULE:NAME of one"

    def parse(self, text: str, label: str) -> Any:
        return self.check(text or None, label)

    def check(self, value: Any, label: str) -> Any:
        if isinstance(value, str) and not re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", value):
            self.refuse(value, "is not MODULE:NAME", label)
        if value is not None and not isinstance(value, str) and not callable(value):
            self.refuse(value, "cannot be called", label)
        return value

    def write(self, value: Any) -> str:
        return value if isinstance(value, str) else "" if value is None else repr(value)


class Several(Knob):
    """Values in an order; text separates them by commas or spaces, and a flag may be repeated."""

    separators = r"[,\s]+"

    def parse(self, text: str, label: str) -> tuple[str, ...]:
        return self.check([part for part in re.split(self.separators, text.strip()) if part], label)

    def check(self, value: Any, label: str) -> tuple[str, ...]:
        texts = (value,) if isinstance(value, str) else value
        if not isinstance(texts, Iterable):
            self.refuse(value, "is not a list", label)
        texts = tuple(texts)
        for text in texts:
            if not isinstance(text, str):
                self.refuse(text, "is not a text", label)
            self.check_one(text, label)
        return texts

    def check_one(self, text: str, label: str) -> None:
        raise NotImplementedError

    def write(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


class FileNames(Several):
    """Paths, separated by commas alone, since a path may hold a space."""

    metavar = "FILE"
    wanted = "a path"
    separators = r"\s*,\s*"

    def check_one(self, text: str, label: str) -> None:
        if not text or "\0" in text:
            self.refuse(text, "is not a path", label)


class Networks(Several):
    """Networks to trust: addresses, CIDR blocks, `unix` for peers on a unix socket, `*` for all."""

    metavar = "NETWORKS"
    wanted = "addresses such as 127.0.0.1, networks such as 10.0.0.0/8, unix or *"

    def check_one(self, text: str, label: str) -> None:
        if text in ("*", "unix"):
            return
        from ipaddress import ip_network  # takes a while to import, and most servers trust nobody

        try:
            ip_network(text)
        except ValueError as error:
            problem = "has bits set beyond its prefix" if "host bits" in str(error) else "is no network"
            self.refuse(text, problem, label)


class SomeOf(Several):
    """Some out of a few words."""

    def __init__(self, help_: str, *choices: str, metavar: str) -> None:
        super().__init__(help_)
        self.choices = choices
        self.metavar = metavar
        self.wanted = f"some of {', '.join(choices)}"

    def parse(self, text: str, label: str) -> tuple[str, ...]:
        return super().parse(text.lower(), label)

    def check_one(self, text: str, label: str) -> None:
        if text not in self.choices:
            self.refuse(text, "is not known", label)


class Binds(Several):
    """One listening address or several; text separates them by commas or spaces."""

    metavar = "ADDRESS"
    wanted = "HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH, unix:@NAME or fd://N, each at most once"

    def check(self, value: Any, label: str) -> tuple[str, ...]:
        if not isinstance(value, str | Iterable):
            self.refuse(value, "is not an address", label)
        texts = (value,) if isinstance(value, str) else tuple(value)
        if not texts or not all(isinstance(text, str) for text in texts):
            self.refuse(value, "names no address", label)
        addresses = [parse_bind(text, label) for text in texts]
        # Port 0 is a new port each time it is asked for, so it may come more than once.
        known = [address for address in addresses if address.port != 0 or address.kind != "tcp"]
        if len(set(known)) != len(known):
            self.refuse(texts, "names an address twice", label)
        return texts

    def write(self, value: tuple[str, ...]) -> str:
        return " ".join(value)


def _knob(default: Any, knob: Knob) -> Any:
    return field(default=default, repr=not getattr(knob, "secret", False), metadata={"knob": knob})


# The settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one server.  All times are in seconds, all sizes in bytes.

    Made by keyword; a value that cannot work raises ConfigError, which names the field, the value
    and the cure.  A `list` or a single `str` for `bind` and an `int` for a time are taken too.
    """

    # Where, and on what
    bind: tuple[str, ...] = _knob(
        ("127.0.0.1:8000",),
        Binds(
            "Listen here: HOST:PORT, [IPV6]:PORT, :PORT for every interface, unix:PATH, unix:@NAME "
            "or fd://N; repeat it to listen on several.",
            short="-b",
        ),
    )
    reuse_port: bool = _knob(
        False, Switch("Let other servers listen on the same port (SO_REUSEPORT); the kernel shares it out.")
    )
    unix_socket_perms: str = _knob(
        "", Permissions("Permissions of the files of unix sockets, such as 660; default: by the umask.")
    )
    unix_socket_owner: str = _knob(
        "",
        Text("Whose the files of unix sockets are: USER, USER:GROUP or :GROUP.", metavar="OWNER"),
    )
    backend: BackendName = _knob(
        "threads", Choice("What runs the application: OS threads or greenlets.", "threads", "green")
    )
    patch: bool = _knob(
        True, Switch("Make the standard library cooperative before the application is imported (green only).")
    )

    # How much at once
    threads: int = _knob(32, Count("Application calls at once, on threads.", 1, 10_000))
    concurrency: int = _knob(1_000, Count("Application calls at once, on green.", 1, 1_000_000))
    max_blocking_time: float = _knob(
        0.1,
        Seconds("On green, report a call that keeps all others waiting so long. 0: never.", 0.0),
    )
    queue_size: int = _knob(
        1_024, Count("Requests that may wait for a call; more are answered 503. 0: none waits.", 0, 1_000_000)
    )
    queue_timeout: float = _knob(
        30.0, Seconds("A request that has waited this long for a call is answered 503.")
    )
    queue_target: float = _knob(
        0.0,
        Seconds(
            "While requests queue without a break, one that has waited this long for a call is answered 503. "
            "0: only the queue timeout counts.",
            0.0,
        ),
    )
    backlog: int = _knob(2_048, Count("Connections the kernel keeps until they are accepted.", 1, 65_535))

    # How large
    limit_request_line: int = _knob(8_190, Size("Largest request line; over it: 414.", 16, GIB))
    limit_request_fields: int = _knob(100, Count("Most header fields of a request; over it: 431.", 1, 32_768))
    limit_request_field_size: int = _knob(
        8_190, Size("Largest header field, name and value; over it: 431.", 16, GIB)
    )
    limit_request_head: int = _knob(65_536, Size("Largest request head in all; over it: 431.", 64, GIB))
    limit_request_body: int = _knob(
        GIB, Size("Largest request body; over it: 413. 0: no limit.", 0, 1024 * GIB)
    )
    limit_chunk_extension: int = _knob(
        4_096, Size("Largest line before a chunk, with its extensions; over it: 400.", 16, GIB)
    )
    limit_trailers: int = _knob(
        8_192, Size("Largest trailer section after a chunked body; over it: 400.", 0, GIB)
    )
    max_keepalive_requests: int = _knob(
        0, Count("Requests on one connection before it is closed. 0: no limit.", 0, 2**31 - 1)
    )
    limit_per_address: int = _knob(
        0,
        Count(
            "Connections that one peer address (of IPv6: one /64) may have; more get 503. 0: no limit.",
            *(0, 1_000_000),
        ),
    )

    # How long
    handshake_timeout: float = _knob(
        10.0, Seconds("A TLS handshake or a PROXY protocol header may take this long.")
    )
    header_timeout: float = _knob(
        10.0, Seconds("A request head may take this long from its first byte; over it: 408.")
    )
    keep_alive: float = _knob(
        75.0,
        Seconds("A connection may be idle this long between requests. 0: close after each response.", 0.0),
    )
    body_timeout: float = _knob(30.0, Seconds("Reading a request body may stall this long; over it: 408."))
    write_timeout: float = _knob(30.0, Seconds("Writing a response may stall this long; over it: closed."))
    min_header_rate: int = _knob(
        0,
        Size(
            "Slowest rate of a request head, in bytes a second, once it took 5 s; under it: 408. 0: any.",
            *(0, GIB),
        ),
    )
    min_body_rate: int = _knob(
        240,
        Size(
            "Slowest rate of a request body, in bytes a second; under it for the body timeout: 408. 0: any.",
            *(0, GIB),
        ),
    )
    min_response_rate: int = _knob(
        240,
        Size(
            "Slowest rate at which a client reads, in bytes a second; under it for the write timeout: "
            "closed. 0: any.",
            *(0, GIB),
        ),
    )
    request_timeout: float = _knob(
        0.0,
        Seconds(
            "A request must be answered within this time; over it: 504, or cut if that has begun. "
            "0: no limit.",
            0.0,
        ),
    )
    late_calls: Literal["leave", "interrupt"] = _knob(
        "leave",
        Choice(
            "What becomes of a thread in a call over its request timeout: left to itself, or interrupted by "
            "RequestTimeout, as on green.",
            *("leave", "interrupt"),
        ),
    )
    max_lost_threads: int = _knob(
        32,
        Count(
            "Threads that stay in a call after its request timeout are replaced, this many at once.",
            *(0, 10_000),
        ),
    )
    linger_timeout: float = _knob(
        2.0,
        Seconds("After an error answer, wait this long for the client to read it before closing.", 0.0, 60.0),
    )
    graceful_timeout: float = _knob(
        30.0, Seconds("When stopping, requests in flight may take this long to end. 0: stop at once.", 0.0)
    )

    # TLS
    certfile: tuple[str, ...] = _knob(
        (),
        FileNames(
            "Speak TLS with this certificate chain (PEM); repeat it, with --keyfile, for several, from which "
            "the name that the client asks for chooses."
        ),
    )
    keyfile: tuple[str, ...] = _knob(
        (), FileNames("The private key of the certificate (PEM), unless it is in the same file.")
    )
    keyfile_password: str = _knob(
        "",
        Text(
            "The password of the private key; better by variable than by flag, which others can see.",
            metavar="PASSWORD",
            secret=True,
        ),
    )
    ca_certs: str | None = _knob(
        None, FileName("Who may sign client certificates (PEM; revocation lists may stand in it too).")
    )
    cert_reqs: Literal["none", "optional", "required"] = _knob(
        "none",
        Choice(
            "Whether clients show a certificate; needs --ca-certs.",
            *("none", "optional", "required"),
            also={"0": "none", "1": "optional", "2": "required"}
            | {f"cert_{word}": word for word in ("none", "optional", "required")},
        ),
    )
    ssl_version: Literal["TLSv1.2", "TLSv1.3"] = _knob(
        "TLSv1.2",
        Choice(
            "The oldest version of TLS that is spoken.",
            *("TLSv1.2", "TLSv1.3"),
            also={"tlsv1_2": "TLSv1.2", "tlsv1_3": "TLSv1.3"},
        ),
    )
    ciphers: str = _knob(
        "", Text("Ciphers for TLS 1.2 in OpenSSL's notation; '' for sound ones.", metavar="CIPHERS")
    )
    ssl_context: Any = _knob(
        None,
        Hook(
            "Makes the ssl.SSLContext: called with the Config and a function that makes the usual one. "
            "A callable, or MODULE:NAME."
        ),
    )

    # Proxies in front
    forwarded_allow_ips: tuple[str, ...] = _knob(
        (),
        Networks(
            "Believe these peers what X-Forwarded-For and its kin say, and nobody else: then who the client "
            "is. Addresses, networks, unix or *."
        ),
    )
    forwarded_headers: tuple[str, ...] = _knob(
        ("x-forwarded-for", "x-forwarded-proto"),
        SomeOf(
            "The fields that these proxies set themselves; others of the kind are removed.",
            *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"),
            *("x-forwarded-prefix", "forwarded"),
            metavar="FIELDS",
        ),
    )
    proxy_protocol: Literal["off", "v1", "v2", "auto"] = _knob(
        "off",
        Choice(
            "Connections from trusted peers begin with a PROXY protocol header, of this version or either.",
            *("off", "v1", "v2", "auto"),
            also={"on": "auto", "true": "auto", "yes": "auto", "1": "auto", "0": "off", "false": "off"},
        ),
    )
    proxy_allow_ips: tuple[str, ...] = _knob(
        ("127.0.0.1", "::1", "unix"),
        Networks("The peers that --proxy-protocol is expected of: addresses, networks, unix or *."),
    )

    # Worker processes
    workers: int | str = _knob(
        1,
        Fleet(
            "Processes that serve: a number, auto for one a core, or a mix such as green:2,threads:2. "
            "More than one, or any option that needs it, puts a supervisor over them.",
            short="-w",
        ),
    )
    supervise: bool = _knob(
        False, Switch("Put a supervisor over a single worker too, so that signals reload and upgrade it.")
    )
    preload: bool = _knob(
        False,
        Switch("Import the application once and fork the workers from there: less memory, quicker starts."),
    )
    timeout: float = _knob(
        30.0,
        Seconds(
            "A worker process whose loop stands still this long is killed and replaced; a request that only "
            "waits does not stop it. 0: never.",
            0.0,
        ),
    )
    max_requests: int = _knob(
        0, Count("Replace a worker after so many requests; none is lost. 0: never.", 0, 2**31 - 1)
    )
    max_requests_jitter: int = _knob(
        0, Count("Add up to so many to --max-requests, by chance, for each worker.", 0, 2**31 - 1)
    )
    max_worker_lifetime: float = _knob(
        0.0, Seconds("Replace a worker of this age. 0: never.", 0.0, 366 * DAY)
    )
    max_worker_rss: int = _knob(
        0, Size("Replace a worker that holds this much memory (resident set). 0: never.", 0, 1024 * GIB)
    )
    pin: bool = _knob(False, Switch("Keep each worker on a core of its own, as far as there are enough."))
    drain_delay: float = _knob(
        0.0,
        Seconds(
            "When told to stop, fail readiness and go on serving this long, until no proxy sends more.", 0.0
        ),
    )
    user: str = _knob("", Text("Run the workers as this user, by name or number.", metavar="USER"))
    group: str = _knob(
        "", Text("Run the workers as this group, by name or number; default: the user's.", metavar="GROUP")
    )
    umask: str = _knob("", Mask("Permission bits that new files shall not have."))
    chdir: str = _knob(
        "", Text("Change to this directory before the application is imported.", metavar="DIRECTORY")
    )
    pidfile: str = _knob("", Text("Write the process id to this file while running.", metavar="FILE"))
    proc_name: str = _knob(
        "", Text("Begin the title of each process with this name; needs setproctitle.", metavar="NAME")
    )

    # What it tells
    access_log: str | None = _knob(
        # Off unless asked for, as in gunicorn: a proxy in front mostly writes one already, and who
        # compares servers compares them without.
        None,
        LogTarget("Write a line for each request to standard output."),
    )
    access_log_format: str = _knob(
        "combined",
        Words(
            "How it is written: common, combined, json, json: FIELDS, or a text with gunicorn's or "
            "eventlet's %(names)s.",
            metavar="FORMAT",
        ),
    )
    access_log_skip: str = _knob(
        "", Words("Leave out these paths and statuses: /healthz /static/* 304 2xx.", metavar="WORDS")
    )
    access_log_slow: float = _knob(
        0.0, Seconds("Leave out what was quicker than this, but for 5xx. 0: leave out nothing.", 0.0)
    )
    request_id: bool = _knob(
        False,
        Switch(
            "Take X-Request-ID and traceparent from requests, or make them; tell the application, the "
            "client and the log."
        ),
    )
    server_timing: bool = _knob(False, Switch("Tell clients in Server-Timing how long a request took."))
    metrics_bind: str = _knob(
        "",
        Words(
            "Serve /metrics (Prometheus), /livez and /readyz at this HOST:PORT. '': nowhere.",
            metavar="ADDRESS",
        ),
    )
    control_socket: str = _knob(
        AUTO,
        SocketPath(
            "Let `dualwsgi top` and `dualwsgi ctl` of the same user attach here; auto: in a private "
            "directory, when the process is the server's own. off: nowhere."
        ),
    )
    log_level: LogLevel = _knob(
        "info",
        Choice(
            "The least that the error log shows: debug, info, warning, error or critical.",
            *("debug", "info", "warning", "error", "critical"),
            metavar="LEVEL",
        ),
    )
    log_config: str = _knob(
        "",
        Words(
            "Configure Python's logging from this file: JSON or TOML as for dictConfig, else ini.",
            metavar="FILE",
        ),
    )
    debug: bool = _knob(False, Switch("Show tracebacks to clients in 500 answers. Never in production."))
    server_header: str = _knob("dualwsgi", FieldValue("Value of the Server header; '' sends none."))

    def __post_init__(self) -> None:
        for name, knob in _KNOBS.items():
            # Checked values may come back tidied (a list as a tuple, an int as a float).
            object.__setattr__(self, name, knob.check(getattr(self, name), name))
        if self.keyfile and len(self.keyfile) != len(self.certfile):
            raise ConfigError(
                f"keyfile: {len(self.keyfile)} for {len(self.certfile)} certificates; give one for each "
                "certfile, in the same order, or none if each certfile holds its key"
            )
        if self.cert_reqs != "none" and self.ssl_context is None:
            wanted = "ca_certs" if self.certfile else "certfile"
            if not getattr(self, wanted):
                raise ConfigError(f"cert_reqs: {self.cert_reqs!r} cannot work alone; give {wanted}")

    def replace(self, **settings: Any) -> Config:
        """A copy with these fields changed, checked again."""
        return replace(self, **settings)

    @property
    def supervised(self) -> bool:
        """Whether these settings need a supervisor over worker processes."""
        return bool(
            self.workers != 1
            or self.supervise
            or self.preload
            or self.max_requests
            or self.max_worker_lifetime
            or self.max_worker_rss
            or self.pin
            or self.user
            or self.group
        )

    def fleet(self, cores: int) -> dict[BackendName, int]:
        """How many workers on which backend, where a machine has so many cores."""
        if isinstance(self.workers, int):
            return {self.backend: self.workers}
        if self.workers == "auto":
            return {self.backend: cores}
        parts = [part.strip().split(":") for part in self.workers.split(",")]
        return {
            cast(BackendName, backend): cores if count == "auto" else int(count) for backend, count in parts
        }

    @property
    def speaks_tls(self) -> bool:
        """Whether its listeners speak TLS."""
        return bool(self.certfile) or self.ssl_context is not None

    @property
    def addresses(self) -> tuple[BindAddress, ...]:
        """`bind`, parsed."""
        return tuple(parse_bind(text) for text in self.bind)


_KNOBS: dict[str, Knob] = {item.name: item.metadata["knob"] for item in fields(Config)}


def knobs() -> Mapping[str, Knob]:
    """Every field of Config, in order, with its knob."""
    return _KNOBS


def available_cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """The fields that `environ` sets by `DUALWSGI_<FIELD>`, parsed and checked.

    Other DUALWSGI_* names are left alone: Kubernetes makes DUALWSGI_PORT and the like for a service
    that happens to be called dualwsgi.  Where '' is no value (a number, say), it counts as not set,
    since that is what an unset variable becomes in a compose file.
    """
    found = {}
    for name, knob in _KNOBS.items():
        variable = ENV_PREFIX + name.upper()
        text = environ.get(variable)
        if text is None or (not text and not isinstance(knob, FieldValue | LogTarget)):
            continue
        found[name] = knob.parse(text, variable)
    return found


# Addresses


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
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
        if not _is_number(digits):
            refuse("names no descriptor", "fd://N such as fd://3")
        return BindAddress("fd", fd=int(digits))

    if "://" in text:
        refuse(
            "is a URL",
            f"the address alone, such as {text.partition('://')[2].rstrip('/') or '127.0.0.1:8000'}",
        )

    host, colon, digits = text.rpartition(":")
    if not colon:
        example = f":{text} or 127.0.0.1:{text}" if _is_number(text) else f"{text}:8000"
        refuse("names no port" if not _is_number(text) else "is a port alone", example)
    if not _is_number(digits) or int(digits) > 65_535:
        refuse("has no usable port", "a port from 0 to 65535 (0: the system picks one)")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            refuse("has no IPv6 address in its brackets", "one such as [::1]:8000")
    elif ":" in host or "[" in host or "]" in host:
        refuse("is an IPv6 address without its brackets", f"[{host.strip('[]')}]:{digits}")
    return BindAddress("tcp", host="" if host == "*" else host, port=int(digits))


def _is_number(text: str) -> bool:
    # int() also takes '+1', ' 1', '1_0' and digits of other scripts.
    return text.isascii() and text.isdigit() and len(text) < 10
