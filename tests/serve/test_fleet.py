"""Worker processes for real: how they come, serve, are replaced and go, and what clients see of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import Result, call
from fleet import EVERY, PATIENCE, Askers, Fleet, freeze, is_alive, write_app
from ports import free_port
from wire import Client, eventually, request

Start = Callable[..., Fleet]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a fleet in an empty directory; what still runs at the end is killed."""
    fleets: list[Fleet] = []
    write_app(tmp_path, "1")

    def run(*options: str, bind: str = "127.0.0.1:0", **more: str) -> Fleet:
        fleets.append(Fleet(tmp_path, "--bind", bind, *options, **more))
        return fleets[-1]

    yield run
    for fleet in fleets:
        fleet.kill()


def ask(address: str, path: str = "/") -> dict[str, str]:
    with Client(address, patience=PATIENCE) as client:
        answer = client.send(request("GET", path)).response()
        assert answer.status == 200
        return dict(answer.fields)


def test_no_request_is_lost_however_workers_come_and_go(start: Start, backend: str) -> None:
    # Workers that are programs of their own, and workers that are forked: each way once.
    preload = ("--preload",) if backend == "green" else ()
    fleet = start("--backend", backend, "--workers", "2", *preload, bind=f"127.0.0.1:{free_port()}")
    with Askers(fleet.serves()) as askers:
        before = fleet.ready()
        fleet.write_app("2")
        fleet.signal(signal.SIGHUP)  # new code
        fleet.replaced(before)

        victim = next(iter(fleet.ready()))
        os.kill(victim, signal.SIGTERM)  # one worker alone
        eventually(lambda: victim not in fleet.ready() and len(fleet.ready()) == 2, PATIENCE, every=EVERY)

        fleet.signal(signal.SIGTTIN)
        eventually(lambda: len(fleet.ready()) == 3, PATIENCE, every=EVERY)
        fleet.signal(signal.SIGTTOU)
        eventually(lambda: len(fleet.ready()) == 2, PATIENCE, every=EVERY)

        before = fleet.ready()
        fleet.signal(signal.SIGUSR2)  # a new supervisor, too
        fleet.pid = int(fleet.says(r"\(pid (\d+), Ctrl-C", times=2))
        assert fleet.process.wait(PATIENCE) == 0
        fleet.replaced(before)

        seen = askers.answers
        eventually(lambda: askers.answers > seen + 100, PATIENCE, every=EVERY)
    assert askers.failures == []
    assert askers.versions == {"1", "2"}
    assert fleet.stop() == 0
    assert "ERROR" not in fleet.log


def test_who_is_stopped_in_the_middle_of_an_upgrade_leaves_no_successor(start: Start) -> None:
    fleet = start("--supervise", bind=f"127.0.0.1:{free_port()}")
    address = fleet.serves()
    fleet.signal(signal.SIGUSR2)
    successor = int(fleet.says(r"process (\d+) is the new supervisor"))
    assert fleet.stop() == 0
    eventually(lambda: not is_alive(successor), PATIENCE, every=EVERY)
    with pytest.raises(ConnectionRefusedError):
        Client(address)


def test_recycling_by_requests_loses_none(start: Start, backend: str) -> None:
    options = ("--workers", "2", "--preload", "--max-requests", "50", "--max-requests-jitter", "9")
    fleet = start("--backend", backend, *options)
    with Askers(fleet.serves()) as askers:
        fleet.says("will be replaced: it has served [5-6][0-9] requests", times=4)
        eventually(lambda: len(fleet.log.split(" has left")) > 3, PATIENCE, every=EVERY)
    assert askers.failures == []
    assert fleet.stop() == 0
    assert "ERROR" not in fleet.log


def test_a_mixed_fleet_serves_on_both_backends(start: Start) -> None:
    fleet = start("--workers", "green:1,threads:1", "--preload", "--pin")
    address = fleet.serves()
    assert "by 1 worker on green and 1 worker on threads" in fleet.log
    seen = set()

    def both() -> bool:
        answer = ask(address)
        assert answer["X-Many"] == "True"
        seen.add(int(answer["X-Pid"]))
        return seen == set(fleet.ready())

    eventually(both, PATIENCE)
    assert all(len(os.sched_getaffinity(pid)) == 1 for pid in seen)
    assert fleet.stop() == 0


def test_the_backlog_outlives_a_worker_that_is_killed(start: Start) -> None:
    fleet = start("--supervise", "--backend", "threads")
    address = fleet.serves()
    (victim,) = fleet.ready()
    freeze(victim)  # so that it accepts no more
    with Client(address, patience=PATIENCE) as client:
        client.send(request("GET", "/waiting"))
        os.kill(victim, signal.SIGKILL)
        answer = client.response()
    assert (answer.status, answer.body) == (200, b"/waiting")
    assert int(answer["X-Pid"]) != victim
    fleet.says(f"worker 0 .pid {victim}, threads. was killed by SIGKILL .* another is started at once")
    assert fleet.stop() == 0


def test_a_worker_that_idles_lives_on_and_one_that_stands_still_is_replaced(
    start: Start, backend: str
) -> None:
    fleet = start("--supervise", "--backend", backend, "--timeout", "1")
    address = fleet.serves()
    (worker,) = fleet.ready()
    with Client(address) as client:
        assert client.silent(1.6)  # seconds, more than the timeout
    assert int(ask(address)["X-Pid"]) == worker
    freeze(worker)
    fleet.says("was killed: its loop has stood still for")
    assert int(ask(address)["X-Pid"]) != worker
    assert fleet.stop(signal.SIGQUIT) == 0


def test_a_reload_that_cannot_work_changes_nothing(start: Start) -> None:
    fleet = start("--supervise")
    address = fleet.serves()
    before = fleet.ready()
    (fleet.place / "fleet_app.py").write_text("import fleet_absent\n")
    fleet.signal(signal.SIGHUP)
    fleet.says("the reload has failed, and nothing has changed: .*No module named 'fleet_absent'")
    assert fleet.ready() == before
    fleet.write_app("3")
    fleet.signal(signal.SIGHUP)
    fleet.replaced(before)
    assert ask(address)["X-Version"] == "3"
    assert fleet.stop() == 0


def test_ctl_reload_waits_for_new_workers_and_tells_if_none_came(
    start: Start, tmp_path: Path, backend: str
) -> None:
    place = tmp_path / "control"
    place.mkdir(mode=0o700)
    fleet = start("--backend", backend, "--workers", "2", "--control-socket", f"{place}/")
    fleet.serves()

    def reload(patience: str) -> Result:
        return call(["ctl", "reload", "--wait", patience, "--socket", str(place)])

    good = (fleet.place / "fleet_app.py").read_text()
    (fleet.place / "fleet_app.py").write_text("import nothing_of_this_name")
    failed = reload("0.2")
    assert failed.exit_code == 1
    assert "after 0.2 s, 2 old workers serve on: the new code has failed" in failed.stderr
    fleet.says("the reload has failed, and nothing has changed")

    (fleet.place / "fleet_app.py").write_text(good)
    done = reload(f"{PATIENCE}")
    assert (done.exit_code, done.stdout.split(": ")[1]) == (0, "reloaded\n"), done.stderr


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_an_application_that_cannot_be_had_ends_it_with_one_line(
    start: Start, preload: tuple[str, ...]
) -> None:
    fleet = start("--workers", "2", *preload, target="fleet_nowhere:app")
    assert fleet.process.wait(PATIENCE) == 2
    assert fleet.log.startswith("dualwsgi: fleet_nowhere: there is no module 'fleet_nowhere'")
    assert fleet.log.count("\n") == 1


def test_preload_names_what_a_fork_loses(start: Start, tmp_path: Path, backend: str) -> None:
    (tmp_path / "fleet_busy.py").write_text(
        "import concurrent.futures, threading, time\n"
        "from fleet_app import app\n"
        "threading.Thread(target=time.sleep, args=(600,), name='ticker', daemon=True).start()\n"
        "pool = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix='mail')\n"
        "pool.submit(int).result()\n"
    )
    fleet = start("--preload", "--backend", backend, target="fleet_busy:app")
    address = fleet.serves()
    warning = fleet.says("preload: alive before the fork, and missing in every worker: .*")
    assert "'ticker'" in warning
    assert "executor concurrent.futures.thread.ThreadPoolExecutor 'mail'" in warning
    assert ask(address)["X-Version"] == "1"
    fleet.stop(signal.SIGQUIT)


def test_quit_ends_it_at_once_and_a_drain_delay_serves_on(start: Start) -> None:
    fleet = start("--supervise", "--drain-delay", "20", "--pidfile", "here.pid")
    address = fleet.serves()
    assert (fleet.place / "here.pid").read_text() == f"{fleet.pid}\n"
    fleet.signal(signal.SIGTERM)
    fleet.says("SIGTERM: stopping")
    eventually(lambda: ask(address).get("Connection") == "close", PATIENCE, every=EVERY)
    assert fleet.stop(signal.SIGQUIT) == 0
    assert not (fleet.place / "here.pid").exists()


def test_workers_leave_when_their_supervisor_is_gone(start: Start) -> None:
    fleet = start("--workers", "2", "--preload")
    address = fleet.serves()
    workers = fleet.ready()
    fleet.signal(signal.SIGKILL)
    fleet.process.wait(PATIENCE)

    def refused() -> bool:
        try:
            Client(address).close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused, PATIENCE)
    eventually(lambda: not any(map(is_alive, workers)), PATIENCE, every=EVERY)


def reachable_by_others(path: str) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in Path(path).resolve().parents)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(not reachable_by_others(sys.executable), reason="others cannot run this Python")
def test_root_keeps_the_port_and_the_workers_run_as_somebody_else(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    fleet = start("--user", "daemon", "--umask", "027", "--access-logfile", str(tmp_path / "access"))
    address = fleet.serves()
    pid = int(ask(address)["X-Pid"])
    assert Path(f"/proc/{pid}").stat().st_uid == 1
    assert Path(f"/proc/{fleet.pid}").stat().st_uid == 0
    assert (tmp_path / "access").stat().st_uid == 1
    assert fleet.stop() == 0


def test_a_worker_too_old_or_too_large_is_replaced_without_loss(start: Start) -> None:
    # Every Python holds more than 1 MiB.
    fleet = start("--preload", "--max-worker-lifetime", "0.3", "--max-worker-rss", "1M", "--workers", "2")
    with Askers(fleet.serves()) as askers:
        fleet.says("will be replaced: it (?:has lived [0-9]+ s|holds [0-9]+ MiB)", 3)
        eventually(lambda: fleet.log.count(" has left") > 2, PATIENCE, every=EVERY)
    assert askers.failures == []
    assert fleet.stop() == 0


def test_watching_files_may_begin_with_a_hup(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    settings = tmp_path / "dualwsgi.toml"
    settings.write_text("supervise = true\n")
    fleet = start()
    address, before = fleet.serves(), fleet.ready()
    settings.write_text("supervise = true\nreload = true\n")
    fleet.signal(signal.SIGHUP)
    fleet.replaced(before)
    fleet.write_app("2")
    eventually(lambda: ask(address)["X-Version"] == "2", PATIENCE)
    settings.write_text("supervise = true\nreload = true\nreload_extra_files = ['nowhere']\n")
    fleet.says("the reload is not done, and nothing has changed: reload_extra_files: there is no")
    assert fleet.stop() == 0


def test_a_change_of_the_code_is_served_and_a_mistake_in_it_is_not(start: Start, backend: str) -> None:
    pytest.importorskip("watchfiles")
    fleet = start("--backend", backend, "--reload")
    address = fleet.serves()
    assert ask(address)["X-Version"] == "1"
    fleet.write_app("2")
    eventually(lambda: ask(address)["X-Version"] == "2", PATIENCE)
    fleet.says(r"fleet_app\.py has changed")
    (fleet.place / "fleet_app.py").write_text("def app(:")
    fleet.says("the reload has failed, and nothing has changed")
    assert ask(address)["X-Version"] == "2"
    assert fleet.stop() == 0
