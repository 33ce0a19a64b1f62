"""StatsD: what is sent is what was counted, whoever listens."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Kit, answering
from wire import PATIENCE, eventually, request

from dualwsgi.counters import Counters
from dualwsgi.errors import ConfigError
from dualwsgi.serve.observe import statsd
from dualwsgi.serve.observe.statsd import DATAGRAM, spell_change


@pytest.fixture(params=["udp", "unix"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    family = socket.AF_UNIX if request.param == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "statsd") if request.param == "unix" else ("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


def address(daemon: socket.socket) -> str:
    where = daemon.getsockname()
    return f"unix:{where}" if isinstance(where, str) else f"127.0.0.1:{where[1]}"


def received(daemon: socket.socket) -> Counter[str]:
    """What a daemon makes of all that has come: counters added up, timers counted by their rate."""
    found: Counter[str] = Counter()
    daemon.setblocking(False)
    while True:
        try:
            datagram = daemon.recv(65536)
        except BlockingIOError:
            return found
        assert len(datagram) <= DATAGRAM
        for line in datagram.decode().split("\n"):
            name, _, said = line.partition(":")
            value, kind, *rate = said.split("|")
            if kind == "c":
                found[name] += int(value)
            elif kind == "ms":
                found[name] += round(1 / float(rate[0][1:])) if rate else 1


def test_sent_is_told(kit: Kit, daemon: socket.socket) -> None:
    served = kit.serve(answering(), statsd_host=address(daemon), statsd_prefix="shop")
    for number in range(30):
        served.ask(request(target=f"/{number}"))
    served.ask(b"NONSENSE\r\n\r\n")
    served.stop()
    found = received(daemon)
    assert found["shop.requests"] == found["shop.request.duration"] == 31
    assert (found["shop.request.status.2xx"], found["shop.request.status.4xx"]) == (30, 1)
    assert (found["shop.connections"], found["shop.errors"]) == (31, 1)


def test_a_daemon_that_was_started_anew_is_told_what_comes_then(kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "statsd"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(path))
        served = kit.serve(answering(), statsd_host=f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(path))
        served.ask()
        served.stop()
        assert received(daemon)["dualwsgi.requests"] == 1


def test_nobody_who_listens_hurts_nobody(kit: Kit) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{sock.getsockname()[1]}"
    served = kit.serve(answering(), statsd_host=where)
    assert served.ask().status == 200
    eventually(lambda: served.server.counters.requests == 1)
    served.stop()


def test_a_report_that_fails_is_told_once_and_the_next_goes_out(
    kit: Kit, daemon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statsd, "PERIOD", 0.01)
    failures = []

    def spell(*_: object) -> list[str]:
        failures.append(1)
        if len(failures) <= 3:
            raise ValueError("on purpose")
        return ["it.goes.on:1|c"]

    monkeypatch.setattr(statsd, "spell_change", spell)
    served = kit.serve(answering(), statsd_host=address(daemon))
    assert b"it.goes.on:1|c" in daemon.recv(65536)
    served.stop()
    (line,) = served.said()
    assert "StatsD" in line


def test_only_what_has_changed_is_told() -> None:
    before, now = Counters(), Counters()
    for counters, times in ((before, 3), (now, 8)):
        counters.done += (None, {}, (200, 5, 100), 10.0, 10.0005) * times
        counters.fold()
    assert spell_change(now, now, "d") == []
    assert spell_change(now, before, "d")[:2] == ["d.requests:5|c", "d.request.status.2xx:5|c"]
    (duration,) = [line for line in spell_change(now, before, "d") if "duration" in line]
    length, kind, rate = duration.partition(":")[2].split("|")
    assert float(length) == pytest.approx(0.5, rel=0.035)
    assert (kind, rate) == ("ms", "@0.2")


@pytest.mark.parametrize(
    ("where", "says"), [("nowhere.invalid:x", "there is no"), ("unix:/nowhere/at/all", "cannot reach")]
)
def test_an_address_that_cannot_be_is_refused(kit: Kit, where: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"statsd_host: {says}"):
        kit.serve(answering(), statsd_host=where)
