"""What a hub does about once a second while there is work."""

from __future__ import annotations

import pytest
from wire import eventually

from dualwsgi import green
from dualwsgi.seam import Turn, Verdict

from ..world import Conn, Make


def test_a_response_whose_end_waits_holds_up_no_other_deadline(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The close() of what an application has returned may wait, and expire() may call it."""
    gate, waiting = green.Event(), []
    expire = Conn.expire

    def expire_slowly(self: Conn, turn: Turn) -> Verdict:
        if self is first:
            waiting.append(self)
            gate.wait()
        return expire(self, turn)

    monkeypatch.setattr(Conn, "expire", expire_slowly)
    here = world()
    hub = here.hub(shortest=0.02)
    clients = [here.client().ask(f"fast {number}") for number in range(2)]
    assert [client.answer() for client in clients] == [0, 1]
    first, second = here.conns
    first.late = True
    eventually(lambda: waiting)
    second.late = True
    eventually(lambda: second.closed)
    assert not first.closed
    gate.set()
    eventually(lambda: first.closed)
    here.settle_hub(hub)


@pytest.mark.parametrize("verdict", [Verdict.RUN, Verdict.STREAM], ids=str)
def test_a_request_that_came_at_the_last_moment_is_run(
    world: Make, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire(self: Conn, turn: Turn) -> Verdict:
        self.late = False
        self._command, self._number = "fast", 2
        return verdict

    monkeypatch.setattr(Conn, "expire", expire)
    here = world()
    here.hub(shortest=0.02)
    client = here.client().ask("fast 1")
    assert client.answer() == 1
    here.conns[0].late = True
    assert client.answer() == 2


@pytest.mark.parametrize("forgo_waits", [False, True])
def test_a_place_more_is_filled_at_once_where_it_may_wait(
    world: Make, monkeypatch: pytest.MonkeyPatch, forgo_waits: bool
) -> None:
    """forgo() and refuse() may call the close() of a response, which no hub may wait for."""
    gate = green.Event()
    forgo = Conn.forgo

    def forgo_slowly(self: Conn, turn: Turn) -> Verdict | None:
        green.sleep(0.001)
        return forgo(self, turn)

    if forgo_waits:
        monkeypatch.setattr(Conn, "forgo", forgo_slowly)
    here = world(wait=lambda: gate.wait() and None)
    hub = here.hub(concurrency=1)
    one, two = here.client().ask("wait 1"), here.client().ask("wait 2")
    eventually(lambda: hub._queue)
    hub.set_limit(2)
    eventually(lambda: len(hub._running) == 2)
    gate.set()
    assert (one.answer(), two.answer()) == (1, 2)
    here.settle_hub(hub)
