"""The annexe has no driver of its own: it overrides of the house's what the house has opened."""

from __future__ import annotations

import pytest

from dualwsgi.eventlet.serving.connection import AnnexeConnection
from dualwsgi.eventlet.serving.response import AnnexeExchange
from dualwsgi.gateway.connection import Connection
from dualwsgi.gateway.exchange import Exchange


@pytest.mark.parametrize(("house", "annexe"), [(Connection, AnnexeConnection), (Exchange, AnnexeExchange)])
def test_only_open_methods_are_overridden(house: type, annexe: type) -> None:
    overridden = {name for name in vars(annexe) if callable(vars(house).get(name))} - {"__init__"}
    assert overridden == house.OPEN  # type: ignore[attr-defined]
