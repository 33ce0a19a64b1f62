"""The phase clock: each phase gets the time that was spent there, and who is not watched pays nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serving import Gate, Kit, Served, answering
from wire import eventually, request

from dualwsgi.counters import MEASURES, PHASES, Counters
from dualwsgi.serve.observe import clock
from dualwsgi.serve.observe.client import attach
from dualwsgi.serve.observe.clock import FURTHEST, SAMPLES, PhaseClock
from dualwsgi.serve.observe.snapshot import take

WAIT = 0.03


def pause(kit: Kit) -> None:
    """What an application waits with."""
    if kit.backend == "green":
        from dualwsgi.green import sleep

        sleep(WAIT)
    else:
        time.sleep(WAIT)


def last(served: Served) -> dict[str, Any]:
    """The phases of the last request, once it is counted."""
    found = eventually(lambda: take(served.server)["recent"])
    phases: dict[str, Any] = found[-1]["phases"]
    assert sum(phases[name] for name in PHASES[2:]) == pytest.approx(found[-1]["seconds"], abs=1e-6)
    return phases


def longest(phases: dict[str, Any]) -> str:
    return max(PHASES, key=lambda name: float(phases[name]))


def test_a_head_and_a_body_that_come_in_pieces(kit: Kit) -> None:
    served = kit.serve(answering())
    client = served.client().send(b"POST / HTTP/1.1\r\nHost: a\r\n")
    eventually(lambda: has_waited_in(served, "head"))
    client.send(b"Content-Length: 2\r\n\r\n")
    eventually(lambda: has_waited_in(served, "body"))
    client.send(b"ok").response()
    phases = last(served)
    assert phases["head"] > WAIT
    assert phases["body"] > WAIT


def test_a_call_that_has_been_quick_and_waits(kit: Kit) -> None:
    calls = 0

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        nonlocal calls
        calls += 1
        if calls > 20:
            pause(kit)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    served = kit.serve(app)
    client = served.client()
    for _ in range(21):
        client.send(request()).response()
    recent = eventually(lambda: len(found := take(served.server)["recent"]) > 20 and found)
    assert recent[-1]["seconds"] > WAIT, "who has lost the lead over it has not lost when it began"


def has_waited_in(served: Served, phase: str) -> bool:
    """Whether some request has been in this phase for WAIT."""
    flights = take(served.server)["in_flight"]
    return any(one["phase"] == phase and one["age"] > WAIT for one in flights)


def test_the_application_s_call_and_its_iterator(kit: Kit) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        pause(kit)
        if environ["PATH_INFO"] == "/whole":
            return [b"ok"]

        def pieces() -> Iterator[bytes]:
            pause(kit)
            yield b"o"
            pause(kit)
            yield b"k"

        return pieces() if environ["PATH_INFO"] == "/iterator" else Iterable(pieces)

    class Iterable:
        """As Django's responses are: no iterator, but it has one."""

        def __init__(self, make: Callable[[], Iterator[bytes]]) -> None:
            self.__iter = make

        def __iter__(self) -> Iterator[bytes]:
            return self.__iter()

    served = kit.serve(app)
    for path, before, after in (("/whole", 1, 0), ("/iterator", 2, 1), ("/iterable", 2, 1)):
        assert served.ask(request(target=path)).body == b"ok"
        phases = last(served)
        began = phases["first_byte"] - phases["queued"]
        assert began >= before * WAIT, path
        assert phases["application"] >= (before + after) * WAIT, path


def test_a_wait_for_a_call_and_for_the_client(kit: Kit, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        gate.wait()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok" if environ["PATH_INFO"] == "/small" else bytes(8_000_000)]

    served = kit.serve(app, threads=1, concurrency=1)
    large = served.client(window=65536).send(request())
    gate.expect()
    small = served.client().send(request(target="/small"))
    eventually(lambda: has_waited_in(served, "queued"))
    gate.open()
    assert small.response().body == b"ok"
    phases = last(served)
    assert longest(phases) == "queued"
    assert phases["queued"] > WAIT
    eventually(lambda: has_waited_in(served, "flush"))
    assert len(large.response().body) == 8_000_000
    eventually(lambda: len(take(served.server)["recent"]) == 2)
    assert last(served)["sending"] > 0


def let_wait_for_the_client(served: Served) -> None:
    """Until a call has been waiting, for WAIT and more, for a client that does not read."""

    def age() -> float:
        return sum(one["age"] for one in take(served.server)["in_flight"] if one["phase"] == "sending")

    began = eventually(age)
    eventually(lambda: age() > began + 1.1 * WAIT)


def by_generator(start_response: Callable[..., Any], piece: bytes, count: int) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(count):
        yield piece


def by_write(start_response: Callable[..., Any], piece: bytes, count: int) -> list[bytes]:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(count):
        write(piece)
    return []


def by_write_in_a_generator(start_response: Callable[..., Any], piece: bytes, count: int) -> Iterator[bytes]:
    yield from by_write(start_response, piece, count)


@pytest.mark.parametrize("mode", ["sampled", "all"])
def test_who_waits_for_a_slow_reader_is_sending_however_the_application_sends(
    kit: Kit, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode == "all":
        monkeypatch.setattr(clock, "SAMPLES", 0)
    ways = {"generator": by_generator, "write": by_write, "both": by_write_in_a_generator}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return ways[environ["PATH_INFO"][1:]](start_response, bytes(100_000), 80)

    log = tmp_path / "log"
    served = kit.serve(app, phase_clock=mode, access_log=str(log), access_log_format="%(sending)s")
    for count, way in enumerate(ways, 1):
        client = served.client(window=65536).send(request(target=f"/{way}"))
        let_wait_for_the_client(served)
        assert len(client.response().body) == 8_000_000
        eventually(lambda: served.server.counters.requests == count)  # noqa: B023  # it is asked at once
        assert last(served)["sending"] > WAIT, way
        client.leave()
    served.stop()
    assert all(float(line) > WAIT for line in log.read_text().splitlines())


def test_a_reader_that_leaves_was_waited_for_by_the_server_and_not_by_the_application(kit: Kit) -> None:
    served = kit.serve(lambda environ, start_response: by_write(start_response, bytes(100_000), 80))
    client = served.client(window=65536).send(request())
    let_wait_for_the_client(served)
    client.reset()
    assert last(served)["sending"] > WAIT


def test_processor_time_is_told_where_it_is_the_call_s_own(kit: Kit) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/wait":
            pause(kit)
        else:
            until = time.thread_time() + WAIT
            while time.thread_time() < until:
                pass
        return answering()(environ, start_response)

    served = kit.serve(app)
    served.ask(request(target="/compute"))
    assert WAIT <= last(served)["cpu"] <= last(served)["application"] + 0.001
    served.ask(request(target="/wait"))
    if kit.backend == "green":  # a greenlet shares its thread with whoever ran while it waited
        assert last(served)["cpu"] is None
    else:
        assert last(served)["cpu"] < WAIT


def test_calls_that_fail_or_are_cut_by_their_deadline_are_watched_too(kit: Kit, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("on purpose")
        gate.wait()
        return answering()(environ, start_response)

    served = kit.serve(app, request_timeout=0.1)
    assert served.ask(request(target="/fails")).status == 500
    assert last(served)["application"] >= 0
    assert served.ask(request(target="/late")).status == 504
    gate.open()
    eventually(lambda: served.server.counters.requests == 2)
    assert longest(last(served)) == "application"
    served.said()


def test_it_is_switched_while_it_runs(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "SAMPLES", 0)
    log = tmp_path / "log"
    served = kit.serve(
        answering(), phase_clock="all", control_socket=str(tmp_path / "control"), access_log=str(log)
    )
    with attach(tmp_path / "control") as attached:

        def watched_of_seven() -> tuple[int, float]:
            before = attached.ask("snapshot")
            client = served.client()
            for number in range(7):
                client.send(request(target=f"/item/{number % 2}")).response()
            sent = before["totals"]["requests"] + 7
            now = eventually(
                lambda: found if (found := attached.ask("snapshot"))["totals"]["requests"] == sent else None
            )
            counts = [now["phases"][name]["count"] - before["phases"][name]["count"] for name in PHASES]
            assert len(set(counts)) == 1
            return counts[0], now["routes"]["GET /item/*"]["phases"]["clocked"]

        assert watched_of_seven() == (7, 7)
        for mode, told in (("off", 0), ("all", 7), ("sampled", 1)):
            assert attached.ask("set", phase_clock=mode) == {"phase_clock": mode}
            assert attached.ask("snapshot")["phase_clock"] == mode
            assert watched_of_seven()[0] == told
    served.stop()
    assert len(log.read_text().splitlines()) == served.server.counters.requests == 28


# By itself


class World:
    """A site of one connection, and a clock that stands still unless it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mode: clock.ClockMode) -> None:
        self.now = 100.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self.turn = SimpleNamespace(counters=Counters())
        self.conn: Any = Interim(self)
        self.site: Any = SimpleNamespace(app=self.app, log=None, on_tick=None)
        self.clock = PhaseClock(self.site, mode, lambda: False)
        self.line = SimpleNamespace(name="GET /", route_name=lambda: "GET /")

    def app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return [b"ok"]

    def ask(self, count: int) -> int:
        """So many requests; how many of them were watched."""
        before = len(self.turn.counters.clocked)
        for _ in range(count):
            said = {"dualwsgi.send_interim": self.conn.interim}
            assert self.site.app(said, None) == [b"ok"]
            if self.site.log is not None:
                self.site.log(SimpleNamespace(line=self.line), said, "200 OK", 2, 0.0)
        return (len(self.turn.counters.clocked) - before) // (len(MEASURES) + 2)


class Interim:
    def __init__(self, world: World) -> None:
        self.since = self.came = world.now
        self.arrival = (0.0, 0.0)
        self.turn = world.turn
        self.phase = None
        self.waited = 0.0

    def interim(self) -> None: ...


def test_samples_are_few_a_second_and_in_between_nobody_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "sampled")
    assert world.ask(3) == 3, "all, where there are few"
    assert world.ask(1000) == SAMPLES - 3
    assert world.site.app == world.app
    assert world.site.log is None
    for _ in range(8):  # at a thousand a second they lie further and further apart, and not too far
        world.site.on_tick(world.now)
        assert 0 < world.ask(1000) <= SAMPLES
        world.now += 1.0
    world.site.on_tick(world.now)
    assert world.ask(1) <= 1
    assert world.clock._gap <= FURTHEST
    for _ in range(8):
        world.now += 1.0
        world.site.on_tick(world.now)
    assert world.ask(SAMPLES) == SAMPLES, "and close together again when there are few"


def test_a_connection_that_was_cut_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "sampled")
    world.site.app({"dualwsgi.send_interim": world.conn.interim}, None)
    assert world.site.log == world.clock._ended
    world.conn.phase = clock.Phase.CLOSED
    world.site.on_tick(world.now)
    assert world.site.log is None
    assert not world.clock._open
