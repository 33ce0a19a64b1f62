"""What trusted proxies say of a client, in environ: the PROXY protocol, X-Forwarded-*, Forwarded.

What a field says depends on who sent it, and heads are remembered for all connections together.  So
it is applied to each request's own environ, after all that is remembered has been copied; a
connection that this concerns takes no short way.

An application never sees what it must not believe: fields from peers that are not trusted, fields
that no proxy is known to set, and of lists the part that the client itself may have written are
removed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..config import Config, bracketed
from ..http11 import proxy
from ..http11.forwarded import Trust, client_node, parse_forwarded, parse_list
from ..http11.head import Limits
from ..http11.proxy import ProxyHeader
from .environ import Environ, percent_decode
from .heads import Heads, Request
from .memory import Memory

KEYS: Final = {
    name: "HTTP_" + name.upper().replace("-", "_")
    for name in (
        *("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"),
        "x-forwarded-prefix",
    )
}
FOR, PROTO, HOST, PORT, PREFIX = list(KEYS.values())[1:]
FORWARDED: Final = KEYS["forwarded"]

_READ_FROM: Final = (*KEYS.values(), "HTTP_HOST", "wsgi.url_scheme", "HTTPS")
"""All that what they say depends on."""

Reading = tuple[Environ, tuple[str, ...], Environ]
"""What changes in environ, what goes from it, and REMOTE_* of the client."""

READINGS_KEPT: Final = 1024

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
# RFC 3986 section 3.2.2, as far as it is of use: a name, an IPv4 address or an IPv6 one in brackets.
_HOST: Final = re.compile(r"([A-Za-z0-9_\-.~]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", re.ASCII)
_QUOTED: Final = re.compile(r'[\\"]')
_PREFIX: Final = re.compile(r"/(?!/)[!-\"$->@-\[\]-~]*")


class Edge:
    """How a site meets the proxies in front of it."""

    def __init__(self, config: Config) -> None:
        self.proxy_version = {"v1": 1, "v2": 2}.get(config.proxy_protocol)  # None: either
        self._proxies = Trust(config.proxy_allow_ips) if config.proxy_protocol != "off" else None
        self.forwarders = Trust(config.forwarded_allow_ips) if config.forwarded_allow_ips else None
        self._believed = frozenset(KEYS[name] for name in config.forwarded_headers)
        self._read: dict[tuple[str | None, ...], Reading] = {}
        self.no_heads: Memory[Request] = Memory(1, 1)  # the short way, closed
        self.no_resemblance = Heads({}, Limits()).resembling  # and the other

    def expects_header(self, peer: Environ) -> bool:
        """Whether a connection from here begins with a PROXY protocol header."""
        return self._proxies is not None and self._proxies.covers(peer["REMOTE_ADDR"])

    def read_header(self, data: bytes) -> tuple[Environ, int] | None:
        """What the header in front of `data` says to environ, and its length; None if it is not whole.

        Raises BadRequest.
        """
        found = proxy.parse(data, self.proxy_version)
        return None if found is None else (header_environ(found[0]), found[1])

    def forwarding(self, peer: Environ) -> Forwarding | None:
        """For the requests of a connection, once it is known whom it comes from; None if nothing differs."""
        return Forwarding(self, self.forwarders, peer) if self.forwarders is not None else None

    def read_fields(self, environ: Environ) -> Reading:
        """What the fields in an environ from a trusted peer change.

        Clients come again with the same address, so what was read is remembered by all that it was
        read from.
        """
        known = self._read.get(key := tuple(map(environ.get, _READ_FROM)))
        if known is None:
            assert self.forwarders is not None
            before = {name: environ[name] for name in _READ_FROM if name in environ}
            after = before.copy()
            client = read_fields(after, self._believed, self.forwarders) or {}
            changes = {name: value for name, value in after.items() if before.get(name) != value}
            gone = tuple(name for name in before if name not in after)
            known = changes | client, gone, client
            if len(self._read) >= READINGS_KEPT:
                self._read.clear()
            self._read[key] = known
        return known


class Forwarding:
    """What the fields of one connection's requests mean; `peer` says who is at the other end."""

    __slots__ = ("_direct", "_edge", "_is_trusted")

    def __init__(self, edge: Edge, trust: Trust, peer: Environ) -> None:
        self._edge = edge
        self._is_trusted = trust.covers(peer["REMOTE_ADDR"])
        self._direct: Environ = {key: peer[key] for key in ("REMOTE_ADDR", "REMOTE_PORT")}

    def apply(self, environ: Environ, peer: Environ) -> None:
        """Changes the environ of one request, and REMOTE_* in `peer`, from which logs are written."""
        peer.update(self._direct)  # it may still name the client of the request before
        environ.update(self._direct)
        if not self._is_trusted:
            for key in KEYS.values():
                environ.pop(key, None)
            return
        changes, gone, client = self._edge.read_fields(environ)
        environ.update(changes)
        for key in gone:
            del environ[key]
        peer.update(client)


def read_fields(environ: Environ, believed: frozenset[str], trust: Trust) -> Environ | None:
    """Rewrites what a trusted peer has sent; REMOTE_* of the client, or None if it is not told."""
    for key in KEYS.values():
        if key not in believed:
            environ.pop(key, None)
    elements = parse_forwarded(environ[FORWARDED]) if FORWARDED in environ else None
    if elements:
        found = client_node([element.get("for", "") for element in elements], trust.covers)
        at = found[0] if found is not None else len(elements) - 1
        for key in KEYS.values():
            environ.pop(key, None)  # two tales would be one too many
        environ[FORWARDED] = ", ".join(_written(element) for element in elements[at:])
        said = {"proto": elements[at].get("proto", ""), "host": elements[at].get("host", "")}
    else:
        environ.pop(FORWARDED, None)
        nodes = parse_list(environ.get(FOR, ""))
        found = client_node(nodes, trust.covers)
        at = found[0] if found is not None else len(nodes) - 1
        if found is not None:
            environ[FOR] = ", ".join(nodes[at:])
        else:
            environ.pop(FOR, None)
        # Other lists are taken to have grown with this one, or to have been set by the outermost proxy.
        beyond = max(0, len(nodes) - 1 - at)
        said = {
            name: _pick(environ, key, beyond)
            for name, key in (("proto", PROTO), ("host", HOST), ("port", PORT), ("prefix", PREFIX))
        }
    _rewrite(environ, said)
    return {"REMOTE_ADDR": found[1][0], "REMOTE_PORT": found[1][1]} if found is not None else None


def _pick(environ: Environ, key: str, beyond: int) -> str:
    """One member of a list, which then stands in environ alone."""
    value = environ.get(key)
    if value is None:
        return ""
    members = parse_list(value)
    if not members:
        del environ[key]
        return ""
    member = environ[key] = members[max(0, len(members) - 1 - beyond)]
    return str(member)


def _rewrite(environ: Environ, said: dict[str, str]) -> None:
    """What the client asked the outermost proxy for."""
    scheme = name = port = ""
    if said["proto"]:
        scheme = _SCHEMES.get(said["proto"].lower(), "")
        if not scheme:
            environ.pop(PROTO, None)
        else:
            environ["wsgi.url_scheme"] = scheme
            if scheme == "https":
                environ["HTTPS"] = "on"
            else:
                environ.pop("HTTPS", None)
    if said["host"]:
        match = _HOST.fullmatch(said["host"])
        if match is None:
            environ.pop(HOST, None)
        else:
            name, port = match[1], match[2] or ""
            environ["HTTP_HOST"] = said["host"]
            environ["SERVER_NAME"] = name
    if told := said.get("port", ""):
        if told.isascii() and told.isdigit() and len(told) <= 5 and 0 < int(told) <= 65535:
            port = told
            own = _HOST.fullmatch(environ.get("HTTP_HOST", ""))
            if own is not None:
                default = _DEFAULT_PORTS[environ["wsgi.url_scheme"]]
                environ["HTTP_HOST"] = own[1] if port == default else f"{own[1]}:{port}"
        else:
            environ.pop(PORT, None)
    if port or name or scheme:
        environ["SERVER_PORT"] = port or _DEFAULT_PORTS[environ["wsgi.url_scheme"]]
    if prefix := said.get("prefix", ""):
        if _PREFIX.fullmatch(prefix):
            environ["SCRIPT_NAME"] = percent_decode(prefix.rstrip("/"))
        else:
            environ.pop(PREFIX, None)


def _written(element: dict[str, str]) -> str:
    return ";".join(f'{name}="{_QUOTED.sub(_escape, value)}"' for name, value in element.items())


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[0]


# The PROXY protocol


def header_environ(header: ProxyHeader) -> Environ:
    """What a PROXY protocol header says to environ; nothing of the client where it names none."""
    environ: Environ = {}
    told: dict[str, Any] = {"version": header.version, "tlvs": dict(header.fields)}
    if header.source is not None and header.destination is not None:
        told |= {"source": header.source, "destination": header.destination}
        environ |= {
            "REMOTE_ADDR": header.source[0],
            "REMOTE_PORT": str(header.source[1]),
            "SERVER_NAME": bracketed(header.destination[0]),
            "SERVER_PORT": str(header.destination[1]),
        }
    for name, kind in (("authority", proxy.AUTHORITY), ("alpn", proxy.ALPN), ("netns", proxy.NETNS)):
        if kind in header.fields:
            told[name] = _text(header.fields[kind])
    if proxy.UNIQUE_ID in header.fields:
        told["unique_id"] = header.fields[proxy.UNIQUE_ID]
    if header.tls is not None and header.tls.flags & proxy.CLIENT_SSL:
        environ |= _tls_environ(header)
    environ["dualwsgi.proxy_protocol"] = told
    return environ


def _tls_environ(header: ProxyHeader) -> Environ:
    """The client's TLS, which ended at the proxy, under the names that TLS here would have."""
    tls = header.tls
    assert tls is not None
    shown = bool(tls.flags & proxy.CLIENT_CERT)
    environ: Environ = {
        "HTTPS": "on",
        "wsgi.url_scheme": "https",
        "SSL_CLIENT_VERIFY": "NONE"
        if not shown
        else "SUCCESS"
        if tls.verify == 0
        else f"FAILED:{tls.verify}",
    }
    for key, kind in (("SSL_PROTOCOL", proxy.SSL_VERSION), ("SSL_CIPHER", proxy.SSL_CIPHER)):
        if kind in tls.fields:
            environ[key] = _text(tls.fields[kind])
    if shown and proxy.SSL_CN in tls.fields:
        environ["SSL_CLIENT_S_DN_CN"] = _text(tls.fields[proxy.SSL_CN])
    if proxy.AUTHORITY in header.fields:
        environ["SSL_TLS_SNI"] = _text(header.fields[proxy.AUTHORITY])
    return environ


def _text(octets: bytes) -> str:
    return re.sub("[\x00-\x1f\x7f]", "", octets.decode("latin-1"))
