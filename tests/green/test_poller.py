"""The pollers, the native one and the one for systems without epoll, behave alike."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable

import pytest
from table import table

from dualwsgi import green
from dualwsgi.green import Hub
from dualwsgi.green import hub as module
from dualwsgi.green.poller import EDGE, ONESHOT, READ, WRITE, EpollPoller, Poller, SelectorPoller, Waker

POLLERS: list[Callable[[], Poller]] = [
    EpollPoller,
    SelectorPoller,
    lambda: SelectorPoller(selectors.SelectSelector()),
]


@table("new", POLLERS)
def test_registered_events_are_reported(new: Callable[[], Poller]) -> None:
    poller = new()
    a, b = socket.socketpair()
    with a, b:
        poller.register(a.fileno(), READ)
        with pytest.raises(FileExistsError):
            poller.register(a.fileno(), READ)
        assert poller.poll(0) == [] == poller.poll(0.001)
        b.send(b"x")
        assert poller.poll(None) == [(a.fileno(), READ)] == poller.poll(1)
        poller.modify(a.fileno(), WRITE)
        assert poller.poll(None) == [(a.fileno(), WRITE)]
        poller.modify(a.fileno(), READ | ONESHOT)
        assert poller.poll(None) == [(a.fileno(), READ)]
        assert poller.poll(0.01) == []
        poller.modify(a.fileno(), READ | EDGE)
        assert poller.poll(None) == [(a.fileno(), READ)]
        assert poller.poll(0.002) == []
        poller.unregister(a.fileno())
        assert poller.poll(0.01) == []
        for call in (lambda: poller.modify(a.fileno(), READ), lambda: poller.unregister(a.fileno())):
            with pytest.raises(FileNotFoundError):
                call()
    poller.close()


def test_an_imitated_edge_loses_no_event() -> None:
    poller = SelectorPoller()
    a, b = socket.socketpair()
    with a, b:
        poller.register(a.fileno(), READ | EDGE)
        b.send(b"x")
        assert poller.poll(1)
        deadline = time.monotonic() + 5
        while not (found := poller.poll(1)):
            assert time.monotonic() < deadline
        assert found == [(a.fileno(), READ)]
    poller.close()


def test_a_hub_runs_on_the_fallback_too() -> None:
    from dualwsgi.green import socket as green_socket

    got: list[object] = []

    def work() -> None:
        module._here.hub = Hub(SelectorPoller)
        a, b = green_socket.socketpair()
        with a, b:
            data = b"x" * 500_000
            green.spawn(b.sendall, data)
            received = 0
            while received < len(data):
                received += len(a.recv(65536))
            got.append(received)
            with green.Timeout(0.01, False):
                a.recv(1)
            got.append("timeout")
        module._here.hub.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert got == [500_000, "timeout"]


def test_fine_waits_are_neither_early_nor_a_millisecond_late() -> None:
    poller = EpollPoller()
    for wanted in (0.0002, 0.0015):
        best = 1.0
        for _ in range(10):
            began = time.monotonic()
            poller.poll(wanted)
            best = min(best, time.monotonic() - began)
        assert wanted * 0.95 <= best < wanted + 0.0008
    # A longer one comes back a little early, for the rest to be waited for finely.
    began = time.monotonic()
    poller.poll(0.0105)
    assert time.monotonic() - began > 0.009
    poller.close()


def test_a_waker_rings_from_any_number_of_rings() -> None:
    waker = Waker()
    poller = EpollPoller()
    poller.register(waker.fileno(), READ)
    for _ in range(3):
        waker.ring()
    assert poller.poll(None) == [(waker.fileno(), READ)]
    waker.hush()
    waker.hush()
    assert poller.poll(0) == []
    waker.close()
    poller.close()


class Interrupted(EpollPoller):
    """Raises from every second wait, as a signal handler may."""

    waits = 0

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        self.waits += 1
        if self.waits % 2:
            raise ValueError("from a signal handler")
        return super().poll(timeout)


def test_what_comes_as_a_signal_handler_raises_is_told() -> None:
    told: list[object] = []

    def by_a_hub() -> None:
        hub = module._here.hub = Hub(Interrupted)
        hub.on_error = lambda where, error: told.append(error)
        a, b = socket.socketpair()
        with a, b:
            hub.register(a.fileno(), READ | EDGE, lambda fd, event: told.append(event & READ))
            b.send(b"x")
            green.sleep(0.02)
        hub.close()

    thread = threading.Thread(target=by_a_hub)
    thread.start()
    thread.join()
    assert READ in told
    assert any(isinstance(one, ValueError) for one in told)
