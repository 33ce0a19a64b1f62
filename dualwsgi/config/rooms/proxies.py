"""Whom to believe what they say of the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..kinds import Choice, Networks, SomeOf, knob
from .room import Room

__all__ = ["Proxies"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Proxies(Room):
    __slots__ = ()
    heading = "Proxies in front"

    forwarded_allow_ips: tuple[str, ...] = knob(
        (),
        Networks(
            "Believe these peers what X-Forwarded-For and its kin say, and nobody else: then who the client "
            "is. Addresses, networks, unix or *."
        ),
    )
    forwarded_headers: tuple[str, ...] = knob(
        ("x-forwarded-for", "x-forwarded-proto"),
        SomeOf(
            "The fields that these proxies set themselves; others of the kind are removed.",
            *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"),
            *("x-forwarded-prefix", "forwarded"),
            metavar="FIELDS",
        ),
    )
    proxy_protocol: Literal["off", "v1", "v2", "auto"] = knob(
        "off",
        Choice(
            "Connections from trusted peers begin with a PROXY protocol header, of this version or either.",
            *("off", "v1", "v2", "auto"),
            also={"on": "auto", "true": "auto", "yes": "auto", "1": "auto", "0": "off", "false": "off"},
        ),
    )
    proxy_allow_ips: tuple[str, ...] = knob(
        ("127.0.0.1", "::1", "unix"),
        Networks("The peers that --proxy-protocol is expected of: addresses, networks, unix or *."),
    )
