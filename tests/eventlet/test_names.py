"""The names around the server, and install(), on both backends: each in a process of its own."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

# What both backends do alike.
ALIKE = {
    "a thread's result, and what it raised": """
        assert eventlet.spawn(max, 1, 2).wait() == 2
        eventlet.debug.hub_exceptions(False)
        try:
            eventlet.spawn(int, "x").wait()
        except ValueError:
            print("pass")
    """,
    "a function is given as func, and may have parameters of any name": """
        def f(fn, func2=0, self=None):
            return fn, func2
        assert eventlet.spawn(func=dict).wait() == {}
        assert eventlet.spawn(f, fn=1).wait() == (1, 0)
        assert eventlet.GreenPool().spawn(f, fn=2).wait() == (2, 0)
        print("pass")
    """,
    "who begins to wait while a link is called is woken when it has been": """
        from dualwsgi.eventlet.event import Event
        gate, linked = Event(), Event()
        def link(thread):
            linked.send(None)
            eventlet.sleep(0.02)
        thread = eventlet.spawn(gate.wait)
        thread.link(link)
        gate.send(7)
        linked.wait()
        with eventlet.Timeout(5):
            assert thread.wait() == 7
        print("pass")
    """,
    "one that is killed before it begins never runs": """
        from dualwsgi.eventlet.greenthread import greenlet
        ran = []
        thread = eventlet.spawn_after(5, ran.append, 1)
        thread.kill()
        try:
            thread.wait()
        except greenlet.GreenletExit:
            assert thread.dead and not ran
            print("pass")
    """,
    "one that waits is killed where it waits": """
        def waits():
            try:
                eventlet.Event().wait()
            finally:
                done.append(1)
        done = []
        thread = eventlet.spawn(waits)
        eventlet.sleep(0.05)
        thread.kill()
        eventlet.sleep(0.05)
        assert thread.dead and done == [1]
        print("pass")
    """,
    "a Timeout ends a wait": """
        for wait in (lambda: eventlet.sleep(10), eventlet.Event().wait, eventlet.Queue().get,
                     eventlet.Semaphore(0).acquire, eventlet.listen(("127.0.0.1", 0)).accept):
            try:
                with eventlet.Timeout(0.01) as mine:
                    wait()
            except eventlet.Timeout as error:
                assert error is mine
            else:
                raise AssertionError(wait)
        with eventlet.Timeout(0.01, False):
            eventlet.sleep(10)
        assert eventlet.with_timeout(0.01, eventlet.sleep, 10, timeout_value=5) == 5
        print("pass")
    """,
    "a pool bounds what runs, and maps in order": """
        most, now = [0], [0]
        def work(n):
            now[0] += 1
            most[0] = max(most[0], now[0])
            eventlet.sleep(0.002)
            now[0] -= 1
            return n * n
        pool = eventlet.GreenPool(3)
        assert list(pool.imap(work, range(20))) == [n * n for n in range(20)]
        pool.waitall()
        assert 1 < most[0] <= 3 and pool.free() == 3 and pool.running() == 0
        pile = eventlet.GreenPile(pool)
        for n in range(5):
            pile.spawn(work, n)
        assert list(pile) == [0, 1, 4, 9, 16]
        print("pass")
    """,
    "a queue of size 0 is a rendezvous": """
        queue, seen = eventlet.Queue(0), []
        def put():
            queue.put("a")
            seen.append("put")
        thread = eventlet.spawn(put)
        eventlet.sleep(0.02)
        assert not seen and queue.get() == "a"
        thread.wait()
        assert seen == ["put"]
        print("pass")
    """,
    "no item is lost with a getter that times out": """
        queue = eventlet.Queue()
        def get():
            with eventlet.Timeout(0.01, False):
                return queue.get()
        assert eventlet.spawn(get).wait() is None
        queue.put(1)
        assert queue.get() == 1 and queue.getting() == 0
        queue.task_done()
        queue.join()
        print("pass")
    """,
    "tpool calls, and its proxies": """
        from dualwsgi.eventlet import tpool
        proxy = tpool.Proxy([1, 2], autowrap_names=("copy",))
        assert tpool.execute(len, "abc") == 3 and proxy.index(2) == 1 and len(proxy) == 2
        assert isinstance(proxy.copy(), tpool.Proxy) and list(proxy) == [1, 2]
        import threading
        from dualwsgi.eventlet import patcher
        pause, guard = patcher.original("time").sleep, patcher.original("threading").Lock()
        most, now = [0], [0]
        def work():
            with guard:
                now[0] += 1
                most[0] = max(most[0], now[0])
            pause(0.01)
            with guard:
                now[0] -= 1
        pool = eventlet.GreenPool()
        for _ in range(6):
            pool.spawn(tpool.execute, work)
        pool.waitall()
        assert 1 < most[0] <= 3 or eventlet.BACKEND == "threads", "EVENTLET_THREADPOOL_SIZE"
        print("pass")
    """,
    "what debugging is asked for is done, or said not to be": """
        import contextlib, io, warnings
        from dualwsgi.eventlet import debug, tpool
        for ask in (debug.hub_listener_stacks, debug.hub_timer_stacks):
            ask(False)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                ask(True)
            assert [each.filename for each in caught] == ["<string>"], caught
        said = io.StringIO()
        debug.tpool_exceptions(True)
        with contextlib.redirect_stderr(said), contextlib.suppress(ValueError):
            tpool.execute(int, "x")
        debug.tpool_exceptions(False)
        assert "ValueError" in said.getvalue()
        print("pass")
    """,
    "what has no effect on threads says so, at its caller": """
        import warnings
        from dualwsgi.eventlet import debug, hubs, tpool
        asked = {
            "monkey_patch": "eventlet.monkey_patch(socket=False, time=False)",
            "use_hub": "hubs.use_hub('poll')",
            "use_hub of a module": "hubs.use_hub(hubs.poll)",
            "set_num_threads": "tpool.set_num_threads(3)",
            "prevent": "debug.hub_prevent_multiple_readers()",
            "detect": "debug.hub_blocking_detection(True)",
            "stacks": "debug.hub_listener_stacks(True)",
            "timers": "debug.hub_timer_stacks(True)",
        }
        done = ["hubs.use_hub()", "tpool.set_num_threads(0)", "debug.hub_prevent_multiple_readers(False)",
                "debug.hub_blocking_detection(False)", "debug.hub_listener_stacks(False)", "tpool.killall()"]
        import dualwsgi.eventlet.hubs.poll
        names = {"eventlet": eventlet, "hubs": hubs, "tpool": tpool, "debug": debug}
        told = {}
        for what, code in [*asked.items(), *((code, code) for code in done)]:
            if eventlet.BACKEND == "green" and what in ("monkey_patch", "detect"):
                continue
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                exec(compile(code, "a place", "exec"), names)
            told[what] = [(each.category, each.filename) for each in caught]
        debug.hub_prevent_multiple_readers(eventlet.BACKEND == "green")
        tpool.set_num_threads(20 if eventlet.BACKEND == "green" else 0)
        said = [what for what, which in told.items() if which]
        assert all(which == [(RuntimeWarning, "a place")] for which in told.values() if which), told
        assert said == (list(asked) if eventlet.BACKEND == "threads" else ["stacks", "timers"]), said
        print("pass")
    """,
    "who waits for a descriptor is told that it is closed": """
        import errno
        from dualwsgi.eventlet import hubs
        from dualwsgi.eventlet.green import os
        listener, pipe = eventlet.listen(("127.0.0.1", 0)), os.pipe()
        def number(wait, *args):
            try:
                wait(*args, **({"read": True} if wait is hubs.trampoline else {}))
            except OSError as error:
                return error.errno
        eventlet.debug.hub_exceptions(False)
        waits = [eventlet.spawn(number, listener.accept), eventlet.spawn(number, hubs.trampoline, pipe[0])]
        eventlet.sleep(0.02)
        listener.close()
        hubs.notify_close(pipe[0])
        with eventlet.Timeout(5):
            assert [thread.wait() for thread in waits] == [errno.EBADF] * 2
        eventlet.debug.hub_exceptions(True)
        for fd in pipe:
            os.close(fd)
        print("pass")
    """,
    "every line is told of what spew() is asked for, in a thread that begins after it": """
        import contextlib, io
        from dualwsgi.eventlet import debug
        def one_line():
            return 41 + 1
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            debug.spew()
            eventlet.spawn(one_line).wait()
            debug.unspew()
        assert "[unknown]:" in said.getvalue()  # the line of this text, which has no file
        assert sys.gettrace() is None
        print("pass")
    """,
    "serve() ends by StopServe": """
        listener = eventlet.listen(("127.0.0.1", 0))
        def handle(conn, address):
            data = conn.recv(100)
            conn.sendall(data)
            if data == b"stop":
                raise eventlet.StopServe
        thread = eventlet.spawn(eventlet.serve, listener, handle)
        for word in (b"go", b"stop"):
            with eventlet.connect(listener.getsockname()) as conn:
                conn.sendall(word)
                assert conn.recv(100) == word
        thread.wait()
        print("pass")
    """,
    "a console inside of the process": """
        from dualwsgi.eventlet import backdoor
        listener = eventlet.listen(("127.0.0.1", 0))
        eventlet.spawn(backdoor.backdoor_server, listener, {"answer": 42})
        with eventlet.connect(listener.getsockname()) as conn:
            conn.sendall(b"answer + 1\\nprint('pri' + 'nted')\\nexit()\\n")
            said = b""
            while data := conn.recv(1000):
                said += data
        assert b"43" in said and b"printed" in said, said
        print("pass")
    """,
    "what is not kept says so": """
        try:
            from dualwsgi.eventlet import db_pool
        except ImportError as error:
            assert "pools.Pool" in str(error)
            print("pass")
    """,
    "install() makes other people's imports find this": """
        eventlet.install()
        import eventlet as theirs
        import eventlet.wsgi
        from eventlet.green import socket, threading, httplib
        from eventlet.green.urllib import request
        from eventlet import wsgi
        assert theirs is sys.modules["dualwsgi.eventlet"] and wsgi is eventlet.wsgi
        try:
            import eventlet.nonsense
        except ModuleNotFoundError as error:
            assert "dualwsgi.eventlet stands in" in str(error)
            print("pass")
    """,
    "install() refuses a half of each": """
        import types
        sys.modules["eventlet"] = types.ModuleType("eventlet")
        try:
            eventlet.install()
        except RuntimeError as error:
            assert "first of all" in str(error)
            print("pass")
    """,
    "urllib over green sockets": """
        from dualwsgi.eventlet.green import BaseHTTPServer, urllib2
        from dualwsgi.eventlet.green.urllib import request
        class Handler(BaseHTTPServer.BaseHTTPRequestHandler):
            def do_GET(self):
                eventlet.sleep(0.001)
                self.send_response(204)
                self.end_headers()
            def log_message(self, *args): ...
        server = BaseHTTPServer.HTTPServer(("127.0.0.1", 0), Handler)
        server.timeout = 10
        for module in (request, urllib2):
            eventlet.spawn(server.handle_request)
            with module.urlopen("http://127.0.0.1:%d/" % server.server_address[1], timeout=10) as answer:
                assert answer.status == 204
        server.server_close()
        client = eventlet.import_patched("urllib.request")
        assert client.http.client.socket is eventlet.green.socket or eventlet.BACKEND == "threads"
        print("pass")
    """,
    "names of what is not in use are there to be asked": """
        from dualwsgi.eventlet import hubs
        from dualwsgi.eventlet.green import socket, thread
        from dualwsgi.eventlet.hubs import asyncio, kqueue, poll, selects
        from dualwsgi.eventlet.support import greendns
        for module in (asyncio, kqueue, poll, selects):
            assert not isinstance(hubs.get_hub(), module.Hub) and not module.is_available()
            try:
                module.Hub()
            except NotImplementedError:
                pass
            else:
                raise AssertionError(module)
        assert greendns.getaddrinfo is socket.getaddrinfo
        assert greendns.is_ipv6_addr("::1%2") and greendns.is_ipv4_addr(b"127.0.0.1")
        assert not greendns.is_ip_addr("localhost") and not greendns.is_ip_addr(None)
        lock = thread.Lock()
        assert lock.acquire() and not lock.acquire(False)
        hubs.notify_opened(0)
        print("pass")
    """,
    "green modules work": """
        from dualwsgi.eventlet.green import Queue, subprocess, threading, time, urllib2
        queue = Queue.Queue()
        thread = threading.Thread(target=queue.put, args=(1,))
        thread.start()
        thread.join()
        time.sleep(0.001)
        assert queue.get() == 1 and subprocess.call([sys.executable, "-c", ""]) == 0
        print("pass")
    """,
}


def run(backend: str, code: str, told: str = "", **env: str) -> str:
    text = (
        f"import sys\nfrom dualwsgi import eventlet\nimport dualwsgi.eventlet.debug\n{textwrap.dedent(code)}"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", text],
        env={**os.environ, "DUALWSGI_BACKEND": backend, **env},
        input=told,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout + done.stderr


# One process has one eventlet, which these put in its place.
APART = [name for name in ALIKE if name.startswith("install()")]

TOGETHER = """
import contextlib, io, json, traceback
results = {}
for name, code in json.loads(sys.stdin.read()).items():
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(code, {"eventlet": eventlet, "sys": sys})
    except BaseException:
        traceback.print_exc(file=said)
    results[name] = said.getvalue()
print(json.dumps(results))
"""


@pytest.fixture(scope="session")
def together() -> Callable[[str], dict[str, str]]:
    """What each of them said, run one after the other in one process a backend."""

    @functools.cache
    def of(backend: str) -> dict[str, str]:
        codes = {name: textwrap.dedent(code) for name, code in ALIKE.items() if name not in APART}
        said = run(backend, TOGETHER, told=json.dumps(codes), EVENTLET_THREADPOOL_SIZE="3")
        found: dict[str, str] = json.loads(said.splitlines()[0])
        return found

    return of


@pytest.mark.parametrize("name", [name for name in ALIKE if name not in APART])
def test_on_both_backends(backend: str, name: str, together: Callable[[str], dict[str, str]]) -> None:
    assert together(backend)[name] == "pass\n"


@pytest.mark.parametrize("name", APART)
def test_installing_on_both_backends(backend: str, name: str) -> None:
    assert run(backend, ALIKE[name]) == "pass\n"


# What real threads cannot do is said, with the caller's place


def test_a_timeout_that_could_not_be_raised_says_so() -> None:
    code = """
        import time, warnings
        def block():
            with eventlet.Timeout(0.001):
                time.sleep(0.002)
        def cancel():
            timeout = eventlet.Timeout(0.001)
            time.sleep(0.002)
            timeout.cancel()
        def call():
            eventlet.with_timeout(0.001, time.sleep, 0.002)
        def forget():
            eventlet.Timeout(0.001)
            time.sleep(0.002)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for each in (block, cancel, call, forget):
                eventlet.spawn(each).wait()
        for each in caught:
            print(each.category.__name__, each.filename, each.lineno, str(each.message)[:21])
    """
    first = 5  # lines of what stands above the text
    lines = [first + 2, first + 7, first + 9, first + 11]
    assert run("threads", code).splitlines() == [
        f"RuntimeWarning <string> {line} Timeout(0.001) was up" for line in lines
    ]


def test_a_kill_that_does_not_meet_a_wait_says_so() -> None:
    said = run("threads", "import time\nt = eventlet.spawn(time.sleep, 1)\neventlet.sleep(0.02)\nt.kill()\n")
    assert "RuntimeWarning: kill() of a thread" in said and "<string>" in said


def test_monkey_patch_on_threads_warns_or_refuses() -> None:
    assert "RuntimeWarning: eventlet.monkey_patch() does nothing" in run("threads", "eventlet.monkey_patch()")
    said = run("threads", "eventlet.monkey_patch()", DUALWSGI_STRICT_PATCH="1")
    assert "RuntimeError: <string>:4:" in said


def test_monkey_patch_on_green_patches() -> None:
    code = """
        eventlet.monkey_patch(socket=True, time=True)
        import time
        from dualwsgi.eventlet import patcher
        assert patcher.is_monkey_patched("socket") and not patcher.is_monkey_patched("thread")
        order = []
        eventlet.spawn(order.append, 1)
        time.sleep(0.01)
        assert order == [1]
        try:
            eventlet.monkey_patch(sockets=True)
        except TypeError:
            print("pass")
    """
    assert run("green", code).strip().endswith("pass")


def test_threads_have_eventlets_names_once_they_are_patched() -> None:
    code = """
        import threading
        native = threading.Thread
        eventlet.monkey_patch(builtins=True, thread=True, time=True)
        import time
        from dualwsgi.eventlet import patcher
        seen = []
        def look():
            me = threading.current_thread()
            seen.append((me.name, me.daemon, me.is_alive(), me is threading.main_thread()))
            me.name = "mine"
            seen.append(threading.current_thread().name if me.ident else None)
        eventlet.spawn(look).wait()
        eventlet.spawn_n(look)
        eventlet.sleep(0)
        assert seen[:2] == [("GreenThread-1", True, True, False), "mine"]
        assert seen[2:] == [("MainThread", False, True, True), "mine"]
        other = patcher.original("threading").Thread(target=lambda: seen.append(threading.current_thread()))
        other.start()
        other.join()
        assert seen[-1] is other
        with open(__file__ if "__file__" in globals() else sys.executable, "rb") as file:
            file.read(1)
        eventlet.hubs.get_hub().schedule_call_global(0, time.sleep, 0)
        eventlet.sleep(0.001)
        print("pass")
    """
    assert run("green", code).strip() == "pass"


def test_a_real_thread_that_opens_a_descriptor_is_given_no_hub() -> None:
    code = """
        eventlet.monkey_patch(builtins=True, socket=True)
        import os, socket
        from dualwsgi import green
        from dualwsgi.eventlet import tpool
        def look():
            socket.socket().close()
            open(os.devnull).close()
            return green.current_hub()
        assert tpool.execute(look) is None
        print("pass")
    """
    assert run("green", code).strip() == "pass"


def test_threads_never_import_greenlet() -> None:
    code = """
        from dualwsgi.eventlet import wsgi, websocket, patcher, tpool, pools, hubs, greenio, backdoor
        from dualwsgi.eventlet.green import socket, ssl, threading, time, os, select, subprocess, Queue
        assert not [name for name in sys.modules if name == "greenlet" or name.startswith("dualwsgi.green")]
        print("pass")
    """
    assert run("threads", code).strip().endswith("pass")


def test_another_backend_is_refused_by_name() -> None:
    assert "DUALWSGI_BACKEND='fibers': dualwsgi.eventlet stands on green or threads" in run("fibers", "")


def test_a_program_runs_over_this_eventlet_unchanged(backend: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import eventlet\n")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom beside import eventlet\n"
        "print(eventlet.__name__, eventlet.BACKEND, __name__, sys.argv[1:])\n"
    )
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/program.py"
    script.write_text(program.read_text())
    # By -P, the first on the path is not the script's directory, but what the user has put there.
    for flags, *words in (["-B", str(program)], ["-B", "-m", "program"], ["-P", str(script)]):
        done = subprocess.run(
            [sys.executable, flags, "-W", "error", "-m", "dualwsgi.eventlet", *words, "a"],
            env={**os.environ, "DUALWSGI_BACKEND": backend, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.stdout, done.stderr) == (f"dualwsgi.eventlet {backend} __main__ ['a']\n", "")


def test_a_script_that_is_not_there_is_told_in_one_line() -> None:
    said = run("green", "from dualwsgi.eventlet.__main__ import main\nmain(['none.py'])")
    assert said == "dualwsgi.eventlet: none.py: there is no such file\n"
