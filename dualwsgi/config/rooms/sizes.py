"""How large the parts of a request may be, and how much one client may have."""

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import GIB, Count, Size, Switch, knob
from .room import Room

__all__ = ["Sizes"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Sizes(Room):
    __slots__ = ()
    heading = "How large"

    limit_request_line: int = knob(8_190, Size("Largest request line; over it: 414.", 16, GIB))
    limit_request_fields: int = knob(100, Count("Most header fields of a request; over it: 431.", 1, 32_768))
    limit_request_field_size: int = knob(
        8_190, Size("Largest header field, name and value; over it: 431.", 16, GIB)
    )
    limit_request_head: int = knob(65_536, Size("Largest request head in all; over it: 431.", 64, GIB))
    limit_request_body: int = knob(
        GIB, Size("Largest request body; over it: 413. 0: no limit.", 0, 1024 * GIB)
    )
    request_buffering: bool = knob(
        False,
        Switch(
            "Call the application when the whole body is in; what is over 64 KB waits in a temporary file."
        ),
    )
    limit_chunk_extension: int = knob(
        4_096, Size("Largest line before a chunk, with its extensions; over it: 400.", 16, GIB)
    )
    limit_trailers: int = knob(
        8_192, Size("Largest trailer section after a chunked body; over it: 400.", 0, GIB)
    )
    max_keepalive_requests: int = knob(
        0, Count("Requests on one connection before it is closed. 0: no limit.", 0, 2**31 - 1)
    )
    limit_per_address: int = knob(
        0,
        Count(
            "Connections that one peer address (of IPv6: one /64) may have; more get 503. 0: no limit.",
            *(0, 1_000_000),
        ),
    )
