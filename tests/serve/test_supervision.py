"""The parts of the supervisor that need no process: words, settings, signals, reasons."""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from serving import Served, answering
from table import table
from wire import eventually, request

import dualwsgi
from dualwsgi.config import Config, knobs, parse_bind
from dualwsgi.errors import ConfigError
from dualwsgi.serve import nursery, supervisor, worker
from dualwsgi.serve.channel import Channel, pair
from dualwsgi.serve.errorlog import tell
from dualwsgi.serve.fleet import Fleet, Generation
from dualwsgi.serve.identity import Identity, PidFile, find_identity
from dualwsgi.serve.job import Job
from dualwsgi.serve.listener import adopt_listener, open_listener
from dualwsgi.serve.process import Process, spawn, why_it_died
from dualwsgi.serve.server import DRAIN_WINDOW, Server
from dualwsgi.serve.shares import Shares
from dualwsgi.serve.signals import SignalQueue
from dualwsgi.serve.supervisor import Supervisor
from dualwsgi.serve.survivors import lost_by_fork
from dualwsgi_cli.entry import SUPERVISED, wants_patch

# Settings


@table(
    ("workers", "fleet"),
    [
        (1, {"green": 1}),
        (3, {"green": 3}),
        ("auto", {"green": 4}),
        ("threads:2", {"threads": 2}),
        ("green:2,threads:1", {"green": 2, "threads": 1}),
        ("threads:auto, green:1", {"threads": 4, "green": 1}),
    ],
)
def test_a_fleet_is_a_number_or_so_many_of_each(workers: int | str, fleet: dict[str, int]) -> None:
    config = Config(workers=workers, backend="green")
    assert config.fleet(4) == fleet
    assert config.supervised == (workers != 1)
    written = knobs()["workers"].write(workers)
    assert knobs()["workers"].parse(written, "workers") == workers


@table(
    "workers",
    [
        *(0, -1, 1025, True, 1.5, "", "many", "2,3"),
        *("green", "green:0", "green:", "asyncio:2", "green:1,green:1", "threads:1025"),
    ],
)
def test_what_is_no_fleet_is_refused(workers: Any) -> None:
    with pytest.raises(ConfigError, match=r"workers: .*give a number from 1 to 1024, auto, or a mix"):
        Config(workers=workers)


def test_the_entry_point_knows_what_calls_for_a_supervisor() -> None:
    """It has to know before it may import Config: a supervisor is not patched, its workers are."""
    other: dict[str, Any] = {"user": "nobody", "group": "nogroup", "workers": 2}
    found = []
    for name, knob in knobs().items():
        default = getattr(Config(), name)
        value = other.get(name, not default if isinstance(default, bool) else None)
        if value is None and default == 0 and isinstance(default, int | float):
            value = 1
        if value is not None and knob.check(value, name) and Config(**{name: value}).supervised:
            found.append(name)
    assert sorted(found) == sorted(SUPERVISED)


@pytest.mark.parametrize(
    ("arguments", "patched"),
    [
        ("run a --backend green", True),
        ("run a --backend green --workers 1", True),
        ("run a --backend green -w1 --max-requests 0", True),
        ("run a --backend green --no-preload --no-supervise", True),
        ("run a --backend green --workers 2", False),
        ("run a --backend green -w 2", False),
        ("run a --backend green -w2", False),
        ("run a --backend=green --workers=auto", False),
        ("run a --backend green --preload", False),
        ("run a --backend green --max-requests=500", False),
        ("run a --backend green --user www", False),
    ],
)
def test_only_who_imports_the_application_is_patched(
    arguments: str, patched: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wants_patch(arguments.split(), {}) == patched
    assert not wants_patch(arguments.split(), {"DUALWSGI_WORKERS": "3", "DUALWSGI_PIN": "on"})


def test_a_callable_cannot_be_given_to_worker_processes() -> None:
    with pytest.raises(ConfigError, match="give it as a text such as 'hello:app'"):
        dualwsgi.serve(answering(), workers=2)


def test_an_unknown_user_or_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="user: there is no user 'dualwsgi-nobody'"):
        find_identity(Config(user="dualwsgi-nobody"))
    with pytest.raises(ConfigError, match="group: there is no group 'dualwsgi-nobody'"):
        find_identity(Config(group="dualwsgi-nobody"))


def test_root_becomes_another_user_with_all_the_groups_of_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getegid", lambda: 0)
    found = find_identity(Config(user="daemon"))
    assert found.uid == 1
    assert found.groups is not None
    assert found.gid in found.groups
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigError, match="can only be taken on by root"):
        find_identity(Config(user="daemon"))
    assert find_identity(Config()) == Identity()


def test_a_pid_file_is_this_processs_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1\n")
    with pytest.raises(ConfigError, match="says that process 1 runs"):
        PidFile(str(path))
    path.write_text("no number\n")
    file = PidFile(str(path))
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    path.write_text("77\n")  # a successor's
    file.remove()
    assert path.exists()
    file.write()
    file.remove()
    assert not path.exists()


def test_a_pid_file_that_is_older_than_the_process_it_names_is_left_over(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        path.write_text(f"{other.pid}\n")
        with pytest.raises(ConfigError, match=f"process {other.pid} runs"):
            PidFile(str(path))
        os.utime(path, (1, 1))  # numbers are given anew, after a restart of a container above all
        file = PidFile(str(path))
        file.write()
        assert path.read_text() == f"{os.getpid()}\n"
        file.remove()
    finally:
        other.communicate(b"\n")


HOLDER = """\
import sys
from dualwsgi.serve.identity import PidFile
PidFile(sys.argv[1]).write()
print(flush=True)
input()
"""


def test_a_pid_file_that_is_held_is_in_use_whatever_the_clocks_say(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    command = [sys.executable, "-c", HOLDER, str(path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline()
    os.utime(path, (1, 1))  # as if the clock had been set since
    with pytest.raises(ConfigError, match=f"process {other.pid} runs"):
        PidFile(str(path))
    other.communicate(b"\n")
    PidFile(str(path))


def test_a_pid_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    path, target = tmp_path / "pid", tmp_path / "target"
    target.write_text("somebody else's")
    (tmp_path / f"pid.{os.getpid()}").symlink_to(target)
    file = PidFile(str(path))
    file.write()
    assert (path.read_text(), target.read_text()) == (f"{os.getpid()}\n", "somebody else's")
    assert not path.is_symlink()
    file.remove()
    assert list(tmp_path.iterdir()) == [target]


def test_a_pid_file_that_is_no_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="pidfile: /dev/zero is no file; give another"):
        PidFile("/dev/zero")


def test_a_line_for_nobody_hurts_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for stream in (open(writer, "w"), None):
        monkeypatch.setattr(sys, "stderr", stream)
        tell("is anybody there?")
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


# Words


def test_a_channel_carries_lines_and_descriptors_and_tells_its_end() -> None:
    mine, theirs = pair()
    other = Channel(theirs)
    assert list(mine.lines()) == []
    other.say("ready")
    other.say("failed", "two\nlines")
    with open(os.devnull, "rb") as file:
        other.say("fork", "7 0 -1", descriptor=file.fileno())
    (ready, failed, fork) = mine.lines()
    assert ready == ("ready", "", -1)
    assert failed == ("failed", "two\\nlines", -1)
    assert fork[:2] == ("fork", "7 0 -1")
    os.close(fork[2])
    other.say("last")
    other.close()
    assert [word for word, _, _ in mine.lines()] == ["last"]
    assert mine.closed
    assert not mine.say("too late")
    mine.close()


def test_a_job_of_any_size_arrives_whole() -> None:
    mine, theirs = pair()
    other = Channel(theirs)
    octets = os.urandom(3_000_000)
    sender = threading.Thread(target=mine.send_job, args=(octets,))
    sender.start()
    assert other.receive_job() == octets
    sender.join()
    mine.close()
    with pytest.raises(EOFError):
        other.receive_job()
    other.close()


@table(
    ("code", "ready", "words"),
    [
        (-9, 1.0, r"was killed by SIGKILL \(if nobody sent it, the system was out of memory"),
        (-11, 1.0, r"was killed by SIGSEGV \(a crash in compiled code"),
        (-15, 1.0, r"was killed by SIGTERM$"),
        (3, 0.0, "could not begin"),
        (7, 0.0, "exited with code 7, before it was ready"),
        (0, 1.0, "exited with code 0, though nobody told it to"),
        (None, 1.0, "is gone, and nobody has heard how"),
    ],
)
def test_how_a_worker_died_is_told_in_words(code: int | None, ready: float, words: str) -> None:
    mine, theirs = _socket.socketpair()
    process = Process("worker", 1, 0, "threads", 1, Channel(mine), ready=ready)
    assert re.match(words, why_it_died(process, code))
    told = replace(process, last_words="hello: importing it failed")
    assert why_it_died(told, 3) == "could not begin: hello: importing it failed"
    for end in (mine, theirs):
        end.close()


def test_a_worker_without_a_nursery_that_leaves_as_it_was_told_is_no_death(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "dualwsgi")
    fleet = Fleet("hello:app", ".")
    fleet.generation = Generation(1, Config(), (), Identity())
    for leaving in (True, False):
        mine, theirs = _socket.socketpair()
        worker = Process("worker", 1, 0, "threads", 1, Channel(mine), pid=7, ready=1.0, leaving=leaving)
        fleet.processes[1] = worker
        fleet.bury(worker, None)
        theirs.close()
    fleet.shares.close()
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
    assert caplog.messages[0] == "worker 0 (pid 7, threads) has left"


def test_signals_wait_in_a_queue_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    done: list[int] = []
    queue = SignalQueue([signal.SIGUSR1], [signal.SIGUSR2])
    try:
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)
        queue.post(lambda: done.append(1))
        assert list(queue.take()) == [signal.SIGUSR1]
        assert done == [1]
        assert list(queue.take()) == []
    finally:
        queue.close()
    assert signal.getsignal(signal.SIGUSR1) is before


def test_no_signal_is_slept_through() -> None:
    # Each comes just when the loop, having taken the one before, is about to fall asleep.
    queue, times = SignalQueue([signal.SIGUSR1]), 1000
    taken, main = threading.Semaphore(), threading.get_ident()

    def send() -> None:
        for _ in range(times):
            taken.acquire()
            signal.pthread_kill(main, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    try:
        poll = select.poll()
        poll.register(queue, select.POLLIN)
        sender.start()
        left = times
        while left:
            assert poll.poll(30_000), f"{left} signals before the end, one has rung no bell"
            for _ in queue.take():
                left -= 1
                taken.release()
    finally:
        sender.join()
        queue.close()


SLEEPER = """\
import signal, sys, threading
import dualwsgi

taken, main = threading.Semaphore(0), threading.get_ident()

class Server(dualwsgi.Server):
    def reopen_logs(self):
        taken.release()

def send():
    for _ in range(300):
        signal.pthread_kill(main, signal.SIGUSR1)
        assert taken.acquire(timeout=30), "a signal was slept through"
    signal.pthread_kill(main, signal.SIGTERM)

server = Server(lambda environ, start_response: [], backend=sys.argv[1], bind="127.0.0.1:0")
server.serve_forever(threading.Thread(target=send).start)
"""


def test_a_server_sleeps_through_no_signal(backend: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", SLEEPER, backend], check=True, timeout=55)


HOUSEMATES = """\
from dualwsgi import green
green.patch()
import os, signal, threading, urllib.request
import dualwsgi

entered, leave, told = threading.Event(), threading.Event(), []

def app(environ, start_response):
    entered.set()
    assert leave.wait(30), "nobody runs beside the server that is told to stop"
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

def visit():
    with urllib.request.urlopen(server.addresses[0]) as answer:
        told.append(answer.read())

def end():
    assert entered.wait(30)
    os.kill(os.getpid(), signal.SIGTERM)
    while not server.draining:
        green.sleep(0.001)
    leave.set()

server = dualwsgi.Server(app, backend="green", bind="127.0.0.1:0").start()
visitors = [threading.Thread(target=visit), threading.Thread(target=end)]
server.serve_forever(lambda: [visitor.start() for visitor in visitors])
for visitor in visitors:
    visitor.join()
assert told == [b"ok"], told
"""


def test_greenlets_of_a_thread_run_while_it_waits_for_a_server_with_a_hub_of_its_own() -> None:
    """Of green alone: a native thread that waits holds nobody up."""
    subprocess.run([sys.executable, "-W", "error", "-c", HOUSEMATES], check=True, timeout=55)


FORKER = """\
import os, select, signal
from dualwsgi.serve.server import DRAIN_WINDOW, Server
from dualwsgi.serve.shares import Shares
from dualwsgi.serve.signals import SignalQueue

queue = SignalQueue([signal.SIGTERM])
there, here = os.pipe()
pid = os.fork()
if not pid:
    os.write(here, b".")  # before that, Python forgets signals in a new child
    while True:
        select.select([queue], [], [])
os.read(there, 1)
os.kill(pid, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
assert not list(queue.take())
queue.close()
"""


@pytest.mark.parametrize("before", ["", "queue._previous[signal.SIGTERM] = None  # it was C code's"])
def test_a_child_that_the_application_forks_dies_of_signals_as_others_do(before: str) -> None:
    program = FORKER.replace("there, here", f"{before}\nthere, here", 1)
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=55)


PATCHED = """\
from dualwsgi import green
from dualwsgi.green import originals

green.patch()

from dualwsgi.serve.server import DRAIN_WINDOW, Server
from dualwsgi.serve.shares import Shares
from dualwsgi.serve.signals import SignalQueue

queue, done = SignalQueue(), []
assert type(queue._open) is originals.Lock

def post():
    queue.post(lambda: done.append(1))
    done.append(green.current_hub())

originals.start_native_thread(post, ())
while None not in done:
    originals.sleep(0.001)
list(queue.take())
assert sorted(done, key=bool) == [None, 1]
queue.close()
"""


def test_a_bell_is_native_even_if_it_is_made_after_the_patch() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", PATCHED], check=True, timeout=55)


def test_a_nursery_forks_though_nobody_reads_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unread:
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(os, "fork", lambda: 7)
    monkeypatch.setattr(sys, "stdout", Unread())
    assert nursery._fork() == 7


def test_threads_and_executors_are_named() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="beside", daemon=True)
    thread.start()
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="letters") as pool:
            pool.submit(int).result()
            lost = lost_by_fork()
    finally:
        go.set()
        thread.join()
    assert "thread 'beside' (threading.Event.wait)" in " ".join(lost)
    assert any("ThreadPoolExecutor 'letters' with 1 workers" in name for name in lost)


# A server's part


def test_readiness_fails_before_the_server_stops_accepting(serve: Any) -> None:
    served: Served = serve(answering())
    client = served.client()
    assert client.send(request()).response().get("Connection") is None
    assert not served.server.draining
    served.server.announce_drain()
    assert served.server.draining
    assert client.send(request()).response()["Connection"] == "close"
    assert served.ask().get("Connection") == "close"


def test_a_log_that_was_moved_away_is_written_anew(serve: Any, tmp_path: Path) -> None:
    log, moved = tmp_path / "log", tmp_path / "log.1"
    served: Served = serve(answering(), access_log=str(log))
    served.ask(request("GET", "/before"))
    eventually(lambda: "/before" in log.read_text())
    log.rename(moved)
    served.server.reopen_logs()
    eventually(log.exists)  # though there is nothing to write
    served.ask(request("GET", "/after"))
    eventually(lambda: log.exists() and "/after" in log.read_text())
    assert "/after" not in moved.read_text()


def test_a_process_is_started_as_whoever_it_shall_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def refuse(command: list[str], **options: Any) -> None:
        asked.update(options, command=command)
        raise OSError("no processes left")

    monkeypatch.setattr("subprocess.Popen", refuse)
    job = Job("worker", "hello:app", ".", Config(backend="green"), (), 5, 2, -1, 1)
    with pytest.raises(OSError, match="no processes left"):
        spawn(job, 1, 1, Identity(33, 34, (34, 35)))
    assert (asked["user"], asked["group"], asked["extra_groups"]) == (33, 34, (34, 35))
    assert "patched" in asked["command"]
    assert asked["process_group"] == 0  # a terminal's Ctrl-C is not for it
    with pytest.raises(OSError, match="no processes left"):
        spawn(replace(job, config=Config(backend="green", patch=False)), 1, 1, Identity())
    assert "native" in asked["command"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_a_program_that_can_never_be_started_ends_the_start_and_names_the_user(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(command: list[str], **options: Any) -> None:
        raise OSError(number, os.strerror(number), command[0])

    monkeypatch.setattr("subprocess.Popen", refuse)
    fleet = Fleet("hello:app", ".")
    try:
        fleet.begin(Generation(1, Config(user="shop", workers=2), (), Identity()))
        fleet.tend()
        assert fleet.stopping
        assert fleet.failure.startswith(
            "a worker cannot be started as user 'shop', who has to be able to read"
        )
        assert sys.executable in fleet.failure
    finally:
        fleet.shares.close()


def test_a_lack_that_may_pass_is_waited_for_and_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(command: list[str], **options: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("subprocess.Popen", refuse)
    fleet = Fleet("hello:app", ".")
    try:
        fleet.begin(Generation(1, Config(workers=2), (), Identity()))
        fleet.tend()
        assert not fleet.stopping
        assert "(the limit of processes: see ulimit -u" in caplog.text
    finally:
        fleet.shares.close()


def test_a_setting_that_cannot_be_handed_to_another_process_is_refused() -> None:
    config = Config(workers=2)
    object.__setattr__(config, "server_header", lambda: "local")  # as a hook made on the spot would be
    with pytest.raises(ConfigError, match=r"server_header: .* cannot be handed to worker processes"):
        Supervisor._begin(Supervisor("hello:app", workers=2), config, Identity(), ())


def test_files_are_watched_as_the_settings_of_the_moment_say(monkeypatch: pytest.MonkeyPatch) -> None:
    open_watches: list[tuple[str, ...]] = []

    class Watch:
        def __init__(self, directory: str, extra: tuple[str, ...], changed: object) -> None:
            self.extra = extra
            open_watches.append(extra)

        def close(self) -> None:
            open_watches.remove(self.extra)

    monkeypatch.setattr(supervisor, "FileWatch", Watch)
    over = Supervisor("hello:app")
    for reload, extra in (
        (False, ()),
        (True, ()),
        (True, ("a",)),
        (True, ("a",)),
        (True, ()),
        (False, ("a",)),
    ):
        over._watch_files(Config(reload=reload, reload_extra_files=extra))
        assert open_watches == ([extra] if reload else [])


def test_a_reload_opens_a_unix_socket_anew_whose_file_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    over = Supervisor("hello:app", workers=2, bind=(f"unix:{path}",))
    over._begin(over.config, Identity(), ())
    (first,) = over._listeners
    over._begin(over.config, Identity(), ())
    assert over._listeners == [first]
    path.unlink()
    over._begin(over.config, Identity(), ())
    (second,) = over._listeners
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert over._retired == [first[1]]  # until the new generation is complete
    first[1].close()
    assert path.exists()
    path.unlink()
    inherited = adopt_listener(parse_bind(second[0]), os.dup(second[1].sock.fileno()), owned=True)
    assert inherited.lost
    inherited.close()
    second[1].close()
    over._fleet.shares.close()


def test_a_worker_leaves_as_slowly_as_it_was_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[float] = []

    class Told(Server):
        def stop(self, *args: Any, window: float = -1.0, **more: Any) -> bool:
            windows.append(window)
            return super().stop(*args, window=window, **more)

    monkeypatch.setattr(worker, "Server", Told)
    shares = Shares()
    for said, window in (("drain", 3.5), ("", DRAIN_WINDOW)):
        address = f"unix:{tmp_path / str(window)}"
        listener = open_listener(parse_bind(address), Config())
        mine, theirs = pair()
        channel = Channel(theirs)
        job = Job(
            "worker",
            "",
            "",
            Config(),
            ((address, os.dup(listener.sock.fileno())),),
            shares.fileno(),
            0,
            -1,
            0,
        )
        made = worker.Worker(channel, job, answering())
        if said:
            mine.say(said, window)
        else:
            signal.raise_signal(signal.SIGTERM)
        assert made.live() == 0
        assert windows.pop() == window
        mine.close()
        channel.close()
        listener.close()
    shares.close()
