"""Config: the rooms as one class, what their fields say of each other, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from ..errors import ConfigError
from .address import BindAddress, parse_bind
from .kinds import Knob
from .rooms import TLS, Deadlines, Development, Hooks, Listening, Load, Proxies, Room, Sizes, Telling, Workers
from .rooms.listening import BackendName

__all__ = ["Config", "headings", "knobs"]


# A dataclass takes the fields of its last base first.
@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Development, Hooks, Telling, Workers, Proxies, TLS, Deadlines, Sizes, Load, Listening):
    """The settings of one server.  All times are in seconds, all sizes in bytes.

    Made by keyword; a value that cannot work raises ConfigError, which names the field, the value
    and the cure.  A `list` or a single `str` for `bind` and an `int` for a time are taken too.
    """

    def __post_init__(self) -> None:
        for name, knob in knobs().items():
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

        if self.error_logfile and self.log_config:
            raise ConfigError("error_logfile: log_config says where the log goes; leave one of them out")

        if self.livez_path and self.livez_path == self.readyz_path:
            raise ConfigError(f"readyz_path: {self.readyz_path!r} is livez_path, too; give another")

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
            or self.reload
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
_HEADINGS: dict[str, str] = {
    item.name: room.heading
    for room in reversed(Config.__bases__)
    if issubclass(room, Room)
    for item in fields(room)
}


def knobs() -> Mapping[str, Knob]:
    """Every field of Config, in order, with its knob."""
    return _KNOBS


def headings() -> Mapping[str, str]:
    """Every field of Config, in order, with the heading that it stands under."""
    return _HEADINGS
