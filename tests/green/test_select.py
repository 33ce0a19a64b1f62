"""select, poll and epoll, unpatched."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from dualwsgi import green
from dualwsgi.green import Hub, select
from dualwsgi.green import socket as gsocket

Pairs = list[tuple[gsocket.GreenSocket, gsocket.GreenSocket]]


@pytest.fixture
def pairs(hub: Hub) -> Iterator[Pairs]:
    made = [gsocket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for sock in pair:
            sock.close()


def test_select_returns_all_that_are_ready_as_they_were_given(pairs: Pairs) -> None:
    readers = [a for a, _ in pairs]
    assert select.select(readers, [], [], 0) == ([], [], [])
    assert select.select(readers, [], readers, 0.002) == ([], [], [])
    thread = green.spawn(select.select, readers, [], [])
    green.sleep(0)
    pairs[0][1].send(b"x")
    pairs[2][1].send(b"x")
    assert thread.get(5)[0] == [readers[0], readers[2]]
    assert select.select([readers[1].fileno()], [readers[1].fileno()], []) == ([], [readers[1].fileno()], [])
    pairs[1][1].close()
    assert readers[1] in select.select(readers, [], [])[0]


def test_select_checks_its_arguments(pairs: Pairs) -> None:
    with pytest.raises(ValueError):
        select.select([], [], [], -1)
    with pytest.raises(TypeError):
        select.select(["x"], [], [])
    with pytest.raises(ValueError):
        select.select([-1], [], [])
    assert select.select([], [], [], 0.001) == ([], [], [])
    r, w = os.pipe()
    os.close(r)
    os.close(w)
    with pytest.raises(OSError, match="Bad file descriptor"):
        select.select([r], [], [], 1)


def test_closing_what_is_selected_wakes(pairs: Pairs) -> None:
    thread = green.spawn(select.select, [pairs[0][0]], [], [])
    thread.link(lambda thread: None)
    green.sleep(0)
    pairs[0][0].close()
    with pytest.raises(OSError):
        thread.get(5)


def test_poll(pairs: Pairs) -> None:
    poll = select.poll()
    (a, b), (c, d), _ = pairs
    poll.register(a, green.READ)
    poll.register(c)
    poll.modify(c, green.READ)
    assert poll.poll(0) == [] == poll.poll(2)
    thread = green.spawn(poll.poll, -1)
    green.sleep(0)
    b.send(b"x")
    assert thread.get(5) == [(a.fileno(), green.READ)]
    poll.unregister(a)
    with pytest.raises(KeyError):
        poll.unregister(a)
    thread = green.spawn(poll.poll)
    green.sleep(0)
    d.close()
    assert thread.get(5)[0][1] & green.HUP


def test_epoll(pairs: Pairs) -> None:
    (a, b), _, _ = pairs
    with select.epoll() as epoll:
        epoll.register(a, green.READ)
        assert epoll.poll(0) == [] == epoll.poll(0.002)
        thread = green.spawn(epoll.poll)
        green.sleep(0)
        b.send(b"x")
        assert thread.get(5) == [(a.fileno(), green.READ)]
        a.recv(1)
        waiting = green.spawn(epoll.poll)
        waiting.link(lambda thread: None)
        green.sleep(0)
        copy = select.epoll.fromfd(os.dup(epoll.fileno()))
        assert copy.poll(0) == []
        copy.close()
    assert epoll.closed
    with pytest.raises(OSError):
        waiting.get(5)
    with pytest.raises(ValueError):
        epoll.__enter__()


def test_threads_without_a_hub_block(pairs: Pairs) -> None:
    (a, b), _, _ = pairs
    b.send(b"x")
    got: list[object] = []

    def work() -> None:
        got.append(select.select([a], [], [], 1)[0] == [a])
        poll, epoll = select.poll(), select.epoll()
        poll.register(a, green.READ)
        epoll.register(a, green.READ)
        got.append(poll.poll(1000) == epoll.poll(1))
        a.recv(1)
        got.append(poll.poll(1))
        epoll.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert got == [True, True, []]
