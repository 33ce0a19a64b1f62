"""What those who watch a server see of it.  So they need not know the server, which opens and closes them."""

from __future__ import annotations

from typing import Protocol

from ...config import ClockMode, Config
from ...counters import Counters
from ...seam import View

__all__ = ["Subject"]


class Subject(Protocol):
    """One server, as any thread may look at it and tell it to do otherwise; see dualwsgi.Server."""

    config: Config
    draining: bool
    supervisor: int
    lineage: str
    started: float

    @property
    def addresses(self) -> list[str]: ...

    @property
    def counters(self) -> Counters: ...

    @property
    def control_socket(self) -> str | None: ...

    @property
    def last_refusal(self) -> float: ...

    @property
    def phase_clock(self) -> ClockMode: ...

    def look(self) -> View | None: ...

    def set_limit(self, calls: int) -> None: ...

    def set_phase_clock(self, mode: ClockMode) -> None: ...

    def request_stop(self) -> None: ...
