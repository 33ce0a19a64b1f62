"""Who the client is, behind proxies: X-Forwarded-For and its kin, and Forwarded (RFC 7239).

Each proxy adds who has connected to it at the right.  So what stands at the right was said by the
peer, and is worth as much as the peer; what stands left of it was said by whom it names; and the
first from the right that is not trusted is the client: what is left of that anybody may have written.

Texts to values: it knows no environ and no socket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Node = tuple[str, str]
"""An address, and a port or ''."""


class Trust:
    """Who is trusted: addresses, networks, `unix` for peers on a unix socket, `*` for everybody."""

    def __init__(self, texts: Iterable[str]) -> None:
        texts = tuple(texts)
        self._everybody = "*" in texts
        self._unix = self._everybody or "unix" in texts
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(text) for text in texts if text not in ("*", "unix")
        ]
        self._known: dict[str, bool] = {}

    def covers(self, address: str) -> bool:
        """Whether this address is trusted; '' is a peer on a unix socket."""
        if not address:
            return self._unix
        if self._everybody:
            return True
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= 4096:
                self._known.clear()
            known = self._known[address] = self._is_within(address)
        return known

    def _is_within(self, address: str) -> bool:
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(found in network for network in self._networks)


# Addresses

_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?", re.ASCII)
_WITH_PORT: Final = re.compile(r"([0-9.]+):(\d{1,5})", re.ASCII)


@lru_cache(4096)  # clients come again, and reading an address takes as long as reading a head
def parse_node(text: str) -> Node | None:
    """192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:80; None for anything else.

    "unknown" and names that hide a node (RFC 7239 section 6) are no address.
    """
    match = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    host, port = (match[1], match[2] or "") if match else (text, "")
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    return str(address), port


def client_node(nodes: Sequence[str], trusts: Callable[[str], bool]) -> tuple[int, Node] | None:
    """The client in a list that a trusted peer has sent, and its place: the first from the right that is
    not trusted, or the last that is an address; None if not even the first is one."""
    found: tuple[int, Node] | None = None
    for at in range(len(nodes) - 1, -1, -1):
        node = parse_node(nodes[at])
        if node is None:
            break
        found = at, node
        if not trusts(node[0]):
            break
    return found


def parse_list(value: str) -> list[str]:
    """The members of a comma-separated list, without the empty ones (RFC 9110 section 5.6.1)."""
    return [part for part in (part.strip(" \t") for part in value.split(",")) if part]


# RFC 7239

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# forwarded-pair = token "=" value;  value = token / quoted-string.  The brackets and colons of
# addresses belong in quotes, and many leave those out.
_PAIR: Final = re.compile(
    rf'[ \t]*({_TOKEN})=(?:"((?:[^"\\\x00-\x1f\x7f]|\\[\t -~\x80-\xff])*)"'
    rf"|([!#$%&'*+\-.^_`|~0-9A-Za-z:\[\]]+))[ \t]*"
)


def parse_forwarded(value: str) -> list[dict[str, str]] | None:
    """The elements of Forwarded, each its parameters by lower-case name; None if it is malformed."""
    elements: list[dict[str, str]] = []
    element: dict[str, str] = {}
    at, size = 0, len(value)
    while True:
        match = _PAIR.match(value, at)
        if match is not None:
            name = match[1].lower()
            if name in element:
                return None
            quoted = match[2]
            element[name] = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            at = match.end()
        else:
            while at < size and value[at] in " \t":
                at += 1
        mark = value[at : at + 1]
        if mark in (",", ""):
            if element:
                elements.append(element)
            element = {}
            if not mark:
                return elements
        elif mark != ";":
            return None
        at += 1
