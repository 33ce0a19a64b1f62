"""Accepting where the machine has no room; needs no backend, since both have this very code."""

from __future__ import annotations

import errno
import os
import resource
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dualwsgi.backends.acceptor import ACCEPT_REST, Acceptor
from dualwsgi.seam import Door, Turn


class FullDoor:
    share = None

    def __init__(self, number: int) -> None:
        self.sock = SimpleNamespace(fileno=lambda: 7, _accept=self._accept)
        self._number = number

    def _accept(self) -> tuple[int, Any]:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_a_listener_without_room_rests_and_tells_once_a_second_what_to_raise(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    acceptor = Acceptor(cast(Door, FullDoor(number)), cast(Any, None))
    for now in (100.0, 100.5, 101.0):
        assert list(acceptor.accept(Turn(now), 0)) == []
        assert acceptor.resting_until == now + ACCEPT_REST
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith(f"cannot accept connections: {os.strerror(number)}")
    limit = f"(the limit is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}: raise it by `ulimit -n`"
    assert (limit in caplog.text) == (number == errno.EMFILE)


def test_what_is_told_then_needs_no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # importing it fails
    acceptor = Acceptor(cast(Door, FullDoor(errno.EMFILE)), cast(Any, None))
    assert list(acceptor.accept(Turn(100.0), 0)) == []
