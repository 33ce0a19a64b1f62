"""What the connections of one listener share: the application, the rules, and what is remembered.

A Site belongs to one lane or hub, so nothing in it is written by two at a time in earnest: the
dictionaries are only ever changed by single operations that the interpreter makes whole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..config import Config
from ..http11.head import Limits
from ..http11.response import ResponsePlan
from .environ import base_environ
from .heads import Heads, Request
from .health import Check, HealthLane
from .memory import Memory
from .phase import pace, patience

if TYPE_CHECKING:
    from .forwarding import Edge

logger = logging.getLogger("dualwsgi")

Application = Callable[..., Any]

LIGHT: Final = 16384
"""Octets of content up to which a whole response may be held for a moment; a larger one goes out at once."""


Told = Callable[[Request | None, dict[str, Any], str, int, float], None]
"""What is called once a response; see AccessLog."""


class AccessLog(Protocol):
    """What is told of each response.  `reads` are the request fields, in lower case, that it may tell of."""

    @property
    def reads(self) -> frozenset[str]: ...

    def __call__(
        self, request: Request | None, peer: dict[str, str], status: str, size: int, seconds: float
    ) -> None:
        """Once a response: `size` in octets of content.  Never raises."""
        ...

    def flush(self) -> None:
        """About once a second.  Never raises."""
        ...


class DateField:
    """The Date field line (RFC 9110 section 6.6.1), made anew once a second."""

    __slots__ = ("_until", "line")

    def __init__(self) -> None:
        self.line = b""
        self._until = 0.0
        self.refresh(time.monotonic())

    def refresh(self, now: float) -> None:
        """`now` in monotonic seconds.  Costs a comparison unless the second is over."""
        if now >= self._until:
            wall = time.time()
            self.line = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode("ascii")
            self._until = now + 1.0 - wall % 1.0


class Site:
    """One application at one listener, as one lane or hub serves it.

    `checks`, by path, answer in its place.
    """

    def __init__(
        self,
        app: Application,
        config: Config,
        log: AccessLog | None = None,
        checks: Mapping[str, Check] | None = None,
    ) -> None:
        self.app = app
        self.config = config
        self.limits = Limits(
            request_line=config.limit_request_line,
            fields=config.limit_request_fields,
            field_size=config.limit_request_field_size,
            head=config.limit_request_head,
            body=config.limit_request_body,
            chunk_line=config.limit_chunk_extension,
            trailers=config.limit_trailers,
        )
        self.server_field = (
            b"Server: %b\r\n" % config.server_header.encode("ascii") if config.server_header else b""
        )
        self.date = DateField()
        self.patience = patience(config)
        self.header_rate = config.min_header_rate
        self.body_pace = pace(config.min_body_rate)
        self.response_pace = pace(config.min_response_rate)
        self.log: Told | None = log  # whoever watches this site may stand before it
        self.health = HealthLane(checks, self.server_field) if checks else None
        self.refused_at = -inf  # when a request was last turned away, in monotonic seconds
        base = base_environ(multiprocess=config.supervised)
        self.heads = Heads(base, self.limits, checks or (), log.reads if log is not None else frozenset())
        self.plans: Memory[ResponsePlan] = Memory(1024, 1 << 20)
        self.edge: Edge | None = None
        if config.proxy_protocol != "off" or config.forwarded_allow_ips:
            from .forwarding import Edge  # late: it takes a while, and most servers hear no proxy

            self.edge = Edge(config)
        self.on_tick: Callable[[float], object] | None = None  # of whoever watches this site
        self.draining = False
        # The Date line of response heads that may be used again; None if none may.
        quickly = config.keep_alive > 0 and config.max_keepalive_requests == 0
        self.stamp = self.date.line if quickly else None
        # Who hears of the end of each request hears of it before the next one begins on its thread.
        self.held_up_to = LIGHT if config.request_ended is None else -1

    def tick(self, now: float) -> None:
        """To be called about once a second while there is work."""
        self.date_line(now)
        self.heads.age(now)
        self.plans.age(now)
        if self.on_tick is not None:
            self.on_tick(now)

    def date_line(self, now: float) -> bytes:
        """The Date field line for `now`, in monotonic seconds."""
        self.date.refresh(now)
        if self.stamp is not None:
            self.stamp = self.date.line
            if self.draining:  # since just now, by another thread
                self.stamp = None
        return self.date.line

    def drain(self) -> None:
        """From now on every response says Connection: close."""
        self.draining = True
        self.stamp = None
