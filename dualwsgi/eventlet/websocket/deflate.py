"""permessage-deflate (RFC 7692): what client and server agree on, and the compressing."""

from __future__ import annotations

import zlib
from typing import Any, Final

__all__ = ["NAME", "Deflate", "TooLong", "agree", "told"]

NAME: Final = "permessage-deflate"
_TAIL: Final = b"\x00\x00\xff\xff"
"""Ends every block that is flushed, and is left out on the wire (section 7.2.1)."""

_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_BITS = ("server_max_window_bits", "client_max_window_bits")

Parameters = dict[str, Any]


class TooLong(Exception):
    """A message that is longer than it may be, once it is decompressed."""


def agree(offers: str) -> Parameters | None:
    """What of Sec-WebSocket-Extensions can be done: the first offer that makes sense, else None."""
    for offer in offers.split(","):
        name, *parts = (part.strip().lower() for part in offer.split(";"))
        if name == NAME and (agreed := _read(parts)) is not None:
            return agreed
    return None


def _read(parts: list[str]) -> Parameters | None:
    agreed: Parameters = {}
    for part in filter(None, parts):
        name, equals, value = (word.strip().strip('"') for word in part.partition("="))
        if name in agreed:
            return None
        if name in _FLAGS and not equals:
            agreed[name] = True
        elif name in _BITS and (not equals or (value.isdecimal() and 9 <= int(value) <= 15)):
            agreed[name] = int(value) if equals else 15  # zlib has no window of 8 bits for raw deflate
        else:
            return None
    return agreed


def told(agreed: Parameters) -> str:
    """The value of the answer's Sec-WebSocket-Extensions."""
    parts = [name if value is True else f"{name}={value}" for name, value in agreed.items() if value]
    return "; ".join([NAME, *parts])


class Deflate:
    """Both directions of one connection."""

    def __init__(self, agreed: Parameters, is_client: bool) -> None:
        ours, theirs = ("client", "server") if is_client else ("server", "client")
        self._forgets = bool(agreed.get(f"{ours}_no_context_takeover"))
        self._they_forget = bool(agreed.get(f"{theirs}_no_context_takeover"))
        self._bits = -int(agreed.get(f"{ours}_max_window_bits") or 15)
        self._their_bits = -int(agreed.get(f"{theirs}_max_window_bits") or 15)
        self._compressor: Any = None
        self._decompressor: Any = None

    def compress(self, data: bytes) -> bytes:
        """One message."""
        if self._compressor is None or self._forgets:
            self._compressor = zlib.compressobj(wbits=self._bits)
        octets: bytes = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return octets.removesuffix(_TAIL)

    def decompress(self, data: bytes, most: int) -> bytes:
        """One message, of at most so many octets.  Raises TooLong; ValueError for what is no deflate."""
        if self._decompressor is None or self._they_forget:
            self._decompressor = zlib.decompressobj(wbits=self._their_bits)
        try:
            octets: bytes = self._decompressor.decompress(data + _TAIL, most + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(octets) > most or self._decompressor.unconsumed_tail:
            raise TooLong
        return octets
