"""Corners in which green libraries have gone wrong, each in a process of its own.

The order is that of the standard library's modules, then identity, ends, forks and the rest.
"""

from __future__ import annotations

from collections.abc import Callable

Isolated = Callable[..., str]


# Names and modules


def test_names_imported_before_the_patch_are_replaced_and_named(isolated: Isolated) -> None:
    isolated(
        """
        import sys, types
        early = types.ModuleType("early")
        vars(early)["__name__"] = "early"
        exec("; ".join([
            "from time import sleep",
            "from select import select, poll",
            "from threading import Lock, get_ident, local",
            "from socket import getaddrinfo",
            "from os import read",
            "from queue import SimpleQueue",
        ]), vars(early))
        early.Holder = type("Holder", (), {
            "__module__": "early", "nap": early.sleep, "made": staticmethod(early.sleep),
        })
        sys.modules["early"] = early
        import warnings
        from dualwsgi import green
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            green.patch()
        text = str(caught[0].message)
        assert caught[0].filename == __file__, caught[0].filename
        names = "sleep select poll Lock get_ident local getaddrinfo read SimpleQueue Holder.nap Holder.made"
        for name in names.split():
            assert f"early.{name}" in text, (name, text)
        from probe import cooperative
        cooperative(early.sleep, 0.05)
        cooperative(early.Holder.nap, 0.05)
        cooperative(early.Holder().made, 0.05)
        import time, threading
        assert early.sleep is time.sleep and early.Lock is threading.Lock
        """
    )


def test_an_early_patch_is_silent_and_quick_even_with_much_imported(isolated: Isolated) -> None:
    isolated(
        """
        import asyncio, concurrent.futures.thread, logging.handlers, multiprocessing.pool, unittest, email
        import decimal, ssl, http.server, urllib.request, subprocess, tempfile, functools, sqlite3, random
        import xmlrpc.client, json, zoneinfo, typing, inspect, ctypes
        import dualwsgi.green as green
        green.patch()  # warnings are errors here
        assert green.is_patched("socket") and green.is_patched("threading") and green.is_patched("time")
        green.patch()
        """
    )


def test_what_loads_itself_when_it_is_asked_is_not_asked(isolated: Isolated) -> None:
    isolated(
        """
        class Settings:  # as lazy objects of frameworks, which read their configuration when first used
            @property
            def __class__(self):
                raise RuntimeError("loaded")
        settings, listed = Settings(), [Settings()]
        class Uses:
            settings = Settings()
        from dualwsgi import green; green.patch()
        """
    )


def test_groups_can_be_left_out(isolated: Isolated) -> None:
    isolated(
        """
        import time, socket, threading
        native = time.sleep, threading.Lock
        from dualwsgi import green
        green.patch(time=False, thread=False)
        assert (time.sleep, threading.Lock) == native
        assert not green.is_patched("time") and not green.is_patched("threading")
        assert green.is_patched("socket")
        green.patch()
        assert green.is_patched("time") and time.sleep is not native[0]
        """
    )


def test_patching_outside_the_main_thread_is_refused(isolated: Isolated) -> None:
    isolated(
        """
        import threading
        from dualwsgi import green
        caught = []
        def late():
            try:
                green.patch()
            except RuntimeError as error:
                caught.append(error)
        thread = threading.Thread(target=late); thread.start(); thread.join()
        assert "main thread" in str(caught[0])
        """
    )


def test_original_modules_are_native(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import threading, time, queue, socket
        from probe import timed
        real, real_time = green.original("threading"), green.original("time")
        assert real_time.sleep is not time.sleep and type(real_time.sleep).__name__.startswith("builtin")
        ids = []
        thread = real.Thread(target=lambda: ids.append((real.get_ident(), threading.get_ident())))
        thread.start(); thread.join()
        assert ids[0][0] == ids[0][1] != threading.get_ident()
        lock = real.Lock()
        assert type(lock).__module__ == "_thread"
        q = green.original("queue").Queue()
        real.Thread(target=q.put, args=(1,)).start()
        assert q.get(timeout=5) == 1
        # A native socket blocks its thread, and is a socket.
        kind = green.original("socket").socket
        a = kind(socket.AF_INET, socket.SOCK_STREAM)
        assert isinstance(a, socket.socket) and a.getblocking()
        a.bind(("127.0.0.1", 0)); a.listen()
        def connect():
            c = socket.create_connection(a.getsockname()); c.sendall(b"x"); c.close()
        pool = green.ThreadPool(2)
        def serve():
            c, _ = a.accept()
            data = c.recv(10); c.close()
            return data
        client = green.spawn(connect)
        assert pool.apply(serve) == b"x"
        client.get(); a.close()
        """
    )


# Waiting calls


def test_a_waiting_call_lets_others_run(isolated: Isolated) -> None:
    """One process for all of them: each is a waiting call among those that waited before it."""
    isolated(
        """
        from dualwsgi import green
        import socket

        def slow(native):
            def resolve(host, *args):
                if host != "slow.invalid":
                    return native(host, *args)
                originals.sleep(0.1)
                raise socket.gaierror(-2, "no such host")
            return resolve

        from dualwsgi.green import originals
        originals.gethostbyname = slow(originals.gethostbyname)
        originals.getaddrinfo = slow(originals.getaddrinfo)
        green.patch()
        import asyncio, concurrent.futures, multiprocessing, multiprocessing.dummy, os, queue, sched, select
        import subprocess, threading, time, warnings
        from probe import cooperative
        warnings.simplefilter("ignore")  # forks with threads, files left open

        a, b = socket.socketpair()
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.bind(("127.0.0.1", 0))
        listener = socket.create_server(("127.0.0.1", 0))
        for one in (a, u, listener):
            one.settimeout(0.03)
        held = threading.Lock()
        held.acquire()

        def child(q):
            time.sleep(0.03)
            q.put(7)

        def condition():
            changed = threading.Condition()
            with changed:
                changed.wait_for(lambda: False, 0.03)

        def schedule():
            planned = sched.scheduler()
            planned.enter(0.03, 1, time.monotonic)
            planned.run()

        def forked_queue():
            context = multiprocessing.get_context("fork")
            q = context.Queue()
            process = context.Process(target=child, args=(q,))
            process.start()
            assert q.get() == 7
            process.join()
            assert process.exitcode == 0

        def process_pool():
            with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
                assert pool.submit(pow, 2, 5).result() == 32
                pool.submit(time.sleep, 0.03).result()

        EXPECTED = (TimeoutError, queue.Empty, subprocess.TimeoutExpired, socket.gaierror,
                    threading.BrokenBarrierError)

        def waits(call, **more):
            def waited():
                try:
                    call()
                except EXPECTED:
                    pass
            cooperative(waited, **more)

        waits(lambda: time.sleep(0.03))
        waits(lambda: threading.Event().wait(0.03))
        waits(lambda: held.acquire(timeout=0.03))
        waits(lambda: queue.Queue().get(timeout=0.03))
        waits(lambda: queue.SimpleQueue().get(timeout=0.03))
        waits(lambda: select.select([a], [], [], 0.03))
        waits(lambda: a.recv(1))
        waits(lambda: a.recv_into(bytearray(1)))
        waits(lambda: u.recvfrom(1))
        waits(lambda: u.recvfrom_into(bytearray(1)))
        waits(lambda: a.recvmsg(1))
        waits(lambda: listener.accept())
        waits(lambda: a.makefile('rb').read(1))
        held_up = "read line < gate"
        waits(lambda: subprocess.run(held_up, shell=True, check=True), gate="gate")
        waits(lambda: subprocess.run(['sleep', '9'], timeout=0.03))
        waits(lambda: subprocess.check_output(f'{held_up}; echo', shell=True), gate="gate")
        waits(lambda: subprocess.Popen(held_up, shell=True, stdout=-1).communicate(), gate="gate")
        waits(lambda: os.popen(f'{held_up}; echo').read(), gate="gate")
        waits(lambda: socket.getaddrinfo('slow.invalid', 80))
        waits(lambda: socket.gethostbyname('slow.invalid'))
        waits(lambda: socket.create_connection(('slow.invalid', 80)))
        waits(lambda: concurrent.futures.ThreadPoolExecutor(1).submit(time.sleep, 0.03).result())
        waits(lambda: asyncio.run(asyncio.sleep(0.03)))
        waits(lambda: list(multiprocessing.dummy.Pool(2).map(time.sleep, [0.03] * 2)))
        waits(lambda: threading.Barrier(2).wait(0.03))
        waits(condition)
        waits(schedule)
        waits(forked_queue)
        waits(process_pool)
        """
    )


def test_sleep_0_lets_others_run(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import time
        ran = []
        green.spawn(ran.append, 1)
        time.sleep(0)
        assert ran == [1]
        """
    )


def test_select_takes_descriptors_above_1024_and_regular_files(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import fcntl, os, resource, select, socket, selectors
        from probe import cooperative
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        a, b = socket.socketpair()
        high = fcntl.fcntl(a, fcntl.F_DUPFD, 1500)
        green.spawn_after(0.02, b.send, b"x")
        assert cooperative(select.select, [high], [], []) == ([high], [], [])
        with open(__file__, "rb") as file:
            assert select.select([file, a], [], [])[0] == [file, a]
            a.recv(1)
            assert select.select([file, a], [], [])[0] == [file]
            assert os.read(file.fileno(), 3)
        try:
            select.select([high, 3999], [], [], 1)
        except OSError as error:
            assert error.errno == 9
        """
    )


def test_subprocess_waits_without_polling(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import subprocess, time
        from probe import timed
        # Twenty at once take the time of one (in turn: 10), and the end of each is noticed at once.
        def one():
            process = subprocess.Popen(["sleep", "0.5"])
            assert process.wait(timeout=20) == 0
        with timed(8):
            green.join_all([green.spawn(one) for _ in range(20)])
        process = subprocess.Popen(["cat"], stdin=-1, stdout=-1)
        def feed():
            for _ in range(20):
                process.stdin.write(b"x" * 20_000)
            process.stdin.close()
        feeder = green.spawn(feed)
        assert process.stdout.read() == b"x" * 400_000
        feeder.get()
        assert process.wait() == 0
        process.stdout.close()
        process = subprocess.Popen(["sleep", "9"])
        green.spawn_after(0.05, process.kill)
        assert process.wait() == -9
        """
    )


def test_terminals_handlers_for_children_and_wake_up_descriptors(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import os, signal, socket, subprocess, sys, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # forks beside the resolver's threads
        from probe import cooperative

        # forkpty is a fork: the child's hub is new, and the terminal is a pipe to wait for.
        pid, terminal = os.forkpty()
        if not pid:
            time.sleep(0.03)
            os.write(1, b"from the child\\n")
            os._exit(3)
        assert cooperative(os.read, terminal, 100).startswith(b"from the child")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        os.close(terminal)

        # A handler for children takes nothing away from those who wait for one, and a program's own
        # wake-up descriptor gets its bytes.
        r, w = socket.socketpair()
        w.setblocking(False)
        assert signal.set_wakeup_fd(w.fileno()) == -1
        told = []
        signal.signal(signal.SIGCHLD, lambda number, frame: told.append(number))
        assert cooperative(subprocess.run, "read line < gate", shell=True, gate="gate").returncode == 0
        assert told == [signal.SIGCHLD]
        assert cooperative(r.recv, 10, at_least=0) == bytes([signal.SIGCHLD])
        assert signal.set_wakeup_fd(-1) == w.fileno()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        r.close(); w.close()

        # What comes of a shell, by all the ways there are.
        assert cooperative(subprocess.getoutput, "read line < gate; echo x", gate="gate") == "x"
        big = b"x" * 200_000
        assert subprocess.run(["cat"], input=big, capture_output=True).stdout == big
        script = ["sh", "-c", "read line; read go < gate; echo $line"]
        process = subprocess.Popen(script, stdin=-1, stdout=-1, text=True, bufsize=1)
        process.stdin.write("line\\n")
        assert cooperative(process.stdout.readline, gate="gate") == "line\\n"
        process.stdin.close(); process.stdout.close(); process.wait()
        """
    )


def test_who_waits_for_one_that_resets_is_woken_to_read_and_to_write(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import errno, select, socket, struct, time
        # The other end goes: whoever waits here is woken, to read and to write.
        def full_pair():
            listener = socket.create_server(("127.0.0.1", 0))
            a = socket.create_connection(listener.getsockname())
            b, _ = listener.accept()
            listener.close()
            a.setblocking(False)
            try:
                while True:
                    a.send(b"x" * 65536)
            except BlockingIOError:
                a.setblocking(True)
            return a, b
        a, b = full_pair()
        def ends(call, *args):
            try:
                call(*args)
            except OSError as error:
                return error.errno
            return 0
        calls = (a.recv, 1), (a.sendall, b"x"), (select.select, [a], [], [])
        waiting = [green.spawn(ends, *call) for call in calls]
        time.sleep(0.001)
        assert not any(each.finished for each in waiting)
        b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        b.close()
        codes = [each.get(5) for each in waiting]
        assert codes[2] == 0 and errno.ECONNRESET in codes, codes
        assert set(codes) <= {0, errno.ECONNRESET, errno.EPIPE}, codes
        a.close()
        """
    )


def test_tls_of_asyncio_and_in_memory(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import asyncio, socket, ssl
        from certificate import CERTIFICATE
        from probe import cooperative
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(CERTIFICATE)
        client_context = ssl.create_default_context(cafile=CERTIFICATE)
        async def echo(reader, writer):
            await asyncio.sleep(0.02)
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
        port, stop = green.AsyncResult(), []
        async def serve():
            server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context)
            stop.append((asyncio.get_running_loop(), asyncio.Event()))
            port.set(server.sockets[0].getsockname()[1])
            await stop[0][1].wait()
            server.close()
        async def ask():
            reader, writer = await asyncio.open_connection(*address, ssl=client_context, server_hostname=name)
            writer.write(b"asyncio\\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line
        server = green.spawn(asyncio.run, serve())
        address, name = ("127.0.0.1", port.get()), "localhost"
        # Two loops of one thread talk TLS to each other, and a blocking client to one.
        assert cooperative(asyncio.run, ask()) == b"asyncio\\n"
        raw = socket.create_connection(address)
        with client_context.wrap_socket(raw, server_hostname="localhost") as sock:
            sock.sendall(b"plain\\n")
            assert cooperative(sock.recv, 100) == b"plain\\n"
        # TLS in memory, over bytes that travel on a green socket (as TLS within TLS does).
        with socket.create_connection(address) as sock:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            inner = client_context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            def until_done(call, *args):
                while True:
                    try:
                        result = call(*args)
                    except ssl.SSLWantReadError:
                        result = None
                    sock.sendall(outgoing.read())
                    if result is not None or call == inner.do_handshake and inner.version():
                        return result
                    incoming.write(sock.recv(65536))
            until_done(inner.do_handshake)
            until_done(inner.write, b"memory\\n")
            assert cooperative(until_done, inner.read, 100) == b"memory\\n"
        stop[0][0].call_soon_threadsafe(stop[0][1].set)
        server.get(5)
        """
    )


def test_psycopg2_waits_by_its_callback(isolated: Isolated) -> None:
    """By a stand-in: what the driver promises of `set_wait_callback` and `poll` is all that is used."""
    isolated(
        """
        from pathlib import Path
        Path("psycopg2").mkdir(exist_ok=True)
        Path("psycopg2/__init__.py").touch()
        Path("psycopg2/extensions.py").write_text(
            "POLL_OK, POLL_READ, POLL_WRITE = range(3)\\n"
            "def set_wait_callback(callback):\\n    global wait\\n    wait = callback\\n"
        )
        from dualwsgi import green; green.patch()
        import socket
        import psycopg2.extensions as psycopg2
        from probe import cooperative

        class Connection:
            # As libpq's: it writes what it can, then reads the answer, and is asked again after each wait.
            def __init__(self):
                self.sock, self.server = socket.socketpair()
                self.sock.setblocking(False)
                self.states = [psycopg2.POLL_WRITE, psycopg2.POLL_READ, psycopg2.POLL_READ]
                self.fileno = self.sock.fileno
            def poll(self):
                return self.states.pop(0) if self.states else psycopg2.POLL_OK
            def close(self):
                self.sock.close(); self.server.close()

        connection = Connection()
        green.spawn_after(0.02, connection.server.send, b"x")
        cooperative(psycopg2.wait, connection)
        assert not connection.states
        connection.close()
        # In a thread without a hub it blocks that thread.
        connection = Connection()
        green.spawn_after(0.02, connection.server.send, b"x")
        green.ThreadPool(1).apply(psycopg2.wait, connection)
        assert not connection.states
        connection.close()
        """
    )


# Identity


def test_each_greenlet_is_a_thread_of_its_own(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import gc, greenlet, threading, time

        idents = set()
        def look():
            ident = threading.get_ident()
            assert ident not in idents
            idents.add(ident)
            assert threading.current_thread().ident == ident
            assert threading.current_thread() is threading.current_thread()
            time.sleep(0)
            assert threading.get_ident() == ident
            assert threading.get_native_id() == main_native
        main_native = threading.get_native_id()
        look()
        for _ in range(50):  # one after the other: an id() would come again
            green.spawn(look).get()
        for _ in range(5):
            thread = threading.Thread(target=look); thread.start(); thread.join()
        assert len(idents) == 56
        assert threading.active_count() == 1, threading.enumerate()

        raw = greenlet.greenlet(look)
        raw.switch()
        del raw
        time.sleep(0)  # the hub has been left where it switched to it
        gc.collect()
        assert threading.active_count() == 1, threading.enumerate()
        names = []
        thread = threading.Thread(target=lambda: names.append(threading.current_thread().name), name="mine")
        thread.start(); thread.join()
        assert names == ["mine"]
        """
    )


def test_threads_end_recurse_and_are_interrupted_as_natively(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import _thread, _threading_local, gc, queue, sys, threading, time, weakref
        from probe import cooperative

        # A thread that asks for itself, ends itself, has a name and a flag.
        thread = threading.Thread(target=lambda: threading.current_thread().join(), name="mine", daemon=True)
        caught = []
        threading.excepthook = lambda args: caught.append(args.exc_value)
        thread.start(); thread.join()
        assert "cannot join current thread" in str(caught.pop()).lower()
        assert not thread.is_alive() and thread.daemon and thread.name == "mine" and thread.ident
        try:
            thread.start()
        except RuntimeError:
            pass
        seen = []
        _thread.start_new_thread(lambda: (seen.append(1), _thread.exit(), seen.append(2)), ())
        time.sleep(0.001)
        assert seen == [1] and not caught
        assert _thread.stack_size() == 0
        timer = threading.Timer(30, seen.append, (3,))
        timer.start(); timer.cancel(); timer.join()

        # As Ctrl-C, from another thread: the main one gets it where it waits.
        threading.Timer(0.02, _thread.interrupt_main).start()
        try:
            cooperative(time.sleep, 30)
            assert False
        except KeyboardInterrupt:
            pass

        # The pure-Python local asks current_thread().
        class Thing: pass
        class Local(_threading_local.local):
            def __init__(self):
                self.thing = Thing()
        mine = Local()
        refs = []
        def use():
            assert mine.thing is not here
            refs.append(weakref.ref(mine.thing))
            time.sleep(0)
            assert mine.thing is refs[0]() or mine.thing is refs[1]()
        here = mine.thing
        threads = [green.spawn(use), threading.Thread(target=use)]
        threads[1].start()
        for each in threads:
            each.join()
        del each, threads
        time.sleep(0)
        assert mine.thing is here  # which the local shows now
        gc.collect()
        assert [ref() for ref in refs] == [None, None], refs
        assert threading.active_count() == 1, threading.enumerate()

        # Every greenlet has a depth of its own to recurse in.
        def deep(n):
            return time.sleep(0) if n == 0 else deep(n - 1)
        for each in [green.spawn(deep, sys.getrecursionlimit() - 100) for _ in range(3)]:
            each.get()
        try:
            green.spawn(deep, sys.getrecursionlimit() + 100).get()
            assert False
        except RecursionError:
            pass

        if hasattr(queue, "ShutDown"):  # 3.13
            q = queue.Queue(1)
            def get():
                try:
                    q.get()
                except queue.ShutDown:
                    return "shut"
            getters = [green.spawn(get) for _ in range(3)]
            time.sleep(0)
            q.shutdown()
            assert [getter.get(5) for getter in getters] == ["shut"] * 3
        """
    )


def test_a_real_thread_from_before_the_patch_can_be_joined(isolated: Isolated) -> None:
    isolated(
        """
        import threading
        enough = threading.Event()
        sleeping = threading.Thread(target=enough.wait, args=(30,))
        sleeping.start()
        from dualwsgi import green
        import warnings
        with warnings.catch_warnings(record=True):  # what the thread waits for stays native
            warnings.simplefilter("always")
            green.patch()
        from probe import cooperative, timed
        with timed(5, 0.02):
            cooperative(sleeping.join, 0.02)
        assert sleeping.is_alive()
        green.spawn_after(0.02, enough.set)
        cooperative(sleeping.join)
        assert not sleeping.is_alive()
        sleeping.join(1)
        try:
            threading.Thread().join()
        except RuntimeError as error:
            assert "not" in str(error) and "start" in str(error)
        """
    )


def test_a_real_thread_that_a_debugger_hides_can_be_joined_too(isolated: Isolated) -> None:
    isolated(
        """
        import os, threading
        there, here = os.pipe()
        hidden = threading.Thread(target=os.read, args=(there, 1))
        hidden.start()
        threading.enumerate = lambda: [threading.main_thread()]  # as pydevd has it
        from dualwsgi import green; green.patch()
        os.write(here, b"x")
        hidden.join(10)
        assert not hidden.is_alive()
        # No daemon: the interpreter waits for it once more.
        """
    )


def test_locals_are_each_greenlets_own_and_die_with_it(isolated: Isolated) -> None:
    isolated(
        """
        import threading
        class Early(threading.local):
            pass
        plain = threading.local()
        from dualwsgi import green; green.patch()
        import gc, weakref

        class Late(threading.local):
            made = 0
            def __init__(self, start):
                type(self).made += 1
                self.value = start
        late = Late(5)
        late.value = 6
        plain.x = 1
        class Thing: pass
        def use():
            assert late.value == 5 and not hasattr(plain, "x")
            plain.thing = late.thing = thing = Thing()
            plain.me = green.getcurrent()
            green.sleep(0)
            return weakref.ref(thing)
        refs = [one.get() for one in [green.spawn(use) for _ in range(3)]]
        gc.collect()
        assert [ref() for ref in refs] == [None] * 3
        assert late.value == 6 and plain.x == 1 and Late.made == 4
        short = threading.local()
        short.thing = Thing()
        ref = weakref.ref(short.thing)
        del short
        gc.collect()
        assert ref() is None
        """
    )


def test_exception_state_is_each_greenlets_own(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import sys, time, contextvars
        variable = contextvars.ContextVar("variable", default=0)
        def one(n):
            variable.set(n)
            try:
                raise ValueError(n)
            except ValueError:
                time.sleep(0.01)
                assert sys.exc_info()[1].args == (n,)
            time.sleep(0.01)
            assert sys.exc_info() == (None, None, None)
            assert variable.get() == n
        variable.set(99)
        for each in [green.spawn(one, n) for n in range(5)]:
            each.get()
        assert variable.get() == 99
        """
    )


# Ends and forks


def test_an_exception_in_a_thread_is_reported_as_without_patching(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import threading, sys, _thread, time
        seen = []
        threading.excepthook = lambda args: seen.append(args.exc_value.args[0])
        def fail():
            raise ValueError("one")
        def leave():
            sys.exit(3)
        for target in (fail, leave):
            thread = threading.Thread(target=target); thread.start(); thread.join()
        assert seen == ["one", 3]
        _thread.start_new_thread(leave, ())
        time.sleep(0.01)
        """
    )


def test_the_interpreter_ends_quietly_with_greenlets_that_still_wait(isolated: Isolated) -> None:
    out = isolated(
        """
        from dualwsgi import green; green.patch()
        import logging, queue, socket, sys, threading, time, weakref
        logging.basicConfig()
        class Loud:
            def __del__(self):
                with lock:
                    logging.getLogger("end").debug("x")
                threading.get_ident(), threading.current_thread()
        lock = threading.RLock()
        keep = Loud()
        q = queue.Queue()
        a, b = socket.socketpair()
        def wait(fn, *args):
            thing = Loud()
            try:
                fn(*args)
            finally:
                print("never", flush=True)
        for fn, *args in ((time.sleep, 60), (q.get,), (a.recv, 1), (threading.Event().wait,)):
            threading.Thread(target=wait, args=(fn, *args), daemon=True).start()
            green.spawn(wait, fn, *args)
        time.sleep(0.01)
        a.detach(); b.detach()
        print("end")
        """
    )
    assert out == "end\n"
    assert isolated.stderr == ""  # type: ignore[attr-defined]


def test_sys_exit_in_the_main_greenlet_ends_and_in_a_thread_does_not(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import sys, threading, time
        threading.Thread(target=sys.exit, args=(3,)).start()
        time.sleep(0.01)
        sys.exit(5)
        """,
        code=5,
    )


def test_the_end_with_a_dummy_thread_in_a_greenlet_that_waits_is_silent(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import logging, threading, time
        logging.basicConfig()
        def log_and_wait():
            logging.warning("in %s", threading.current_thread().name)
            time.sleep(60)
        green.spawn(log_and_wait)
        time.sleep(0.01)
        """
    )
    assert isolated.stderr == "WARNING:root:in Dummy-1\n"  # type: ignore[attr-defined]


def test_a_fork_in_the_middle_of_everything_leaves_the_parent_alone(isolated: Isolated) -> None:
    out = isolated(
        """
        from dualwsgi import green; green.patch()
        import os, socket, sys, threading, time, signal

        a, b = socket.socketpair()
        reader = green.spawn(a.recv, 10)
        sleeper = green.spawn(time.sleep, 0.2)
        def clean():
            try:
                time.sleep(60)
            finally:
                os.write(2, b"finally ran\\n")
        daemon = threading.Thread(target=clean, daemon=True); daemon.start()
        listener = socket.create_server(("127.0.0.1", 0))
        acceptor = green.spawn(listener.accept)
        time.sleep(0.01)
        for _ in range(3):
            with green.Timeout(20):
                pid = os.fork()
            if not pid:
                # A new world: same sockets, other waits, no timers.
                assert green.get_hub().timers == 0
                c, d = socket.socketpair()
                green.spawn(lambda: (time.sleep(0.01), d.send(b"child")))
                assert c.recv(10) == b"child"
                assert b.getsockname() is not None
                peer = green.spawn(listener.accept)
                with green.Timeout(0.02, False):
                    peer.join()
                    assert False
                peer.kill()
                time.sleep(0.02)
                import gc; gc.collect()
                signal.alarm(20)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        b.send(b"parent")
        assert reader.get() == b"parent"
        client = socket.create_connection(listener.getsockname())
        acceptor.get()[0].close(); client.close(); listener.close(); a.close(); b.close()
        sleeper.get()
        os.set_inheritable(1, True)
        print("ok")
        os._exit(0) if sys.stdout.flush() else os._exit(0)
        """
    )
    assert out == "ok\n"
    assert "finally ran" not in isolated.stderr  # type: ignore[attr-defined]


def test_a_fork_while_a_greenlet_holds_the_executors_lock(isolated: Isolated) -> None:
    isolated(
        """
        import logging
        logging.basicConfig()
        from dualwsgi import green; green.patch()
        import concurrent.futures, os, sys, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        assert type(logging.getLogger().handlers[0].lock).__module__ == "dualwsgi.green.sync"

        # The executor's lock is taken before every fork; a greenlet in the middle of submit() holds it.
        pool = concurrent.futures.ThreadPoolExecutor(4)
        submitting = [green.spawn(pool.submit, time.sleep, 0.01) for _ in range(2)]
        time.sleep(0)
        assert concurrent.futures.thread._global_shutdown_lock.locked()
        pid = os.fork()
        if not pid:
            try:
                assert not concurrent.futures.thread._global_shutdown_lock.locked()
                assert concurrent.futures.ThreadPoolExecutor(1).submit(abs, -1).result(5) == 1
                logging.warning("from the child")
                os._exit(0)
            finally:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        with green.Timeout(10):
            assert os.waitpid(pid, 0)[1] == 0
        for each in submitting:
            each.get().result(5)
        pool.shutdown()
        """
    )


def test_a_greenlet_that_forks_and_returns_ends_the_child(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import os, threading
        pids = []
        def fork():
            pids.append(os.fork())
        green.spawn(fork).join()
        with green.Timeout(5):
            assert os.waitpid(pids[0], 0)[1] == 0
        thread = threading.Thread(target=fork); thread.start(); thread.join()
        with green.Timeout(5):
            assert os.waitpid(pids[1], 0)[1] == 0
        """
    )


def test_locks_pools_and_managers_of_multiprocessing_wait_in_the_hub(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import multiprocessing, threading, time
        from probe import cooperative
        context = multiprocessing.get_context("fork")

        def square(x):
            time.sleep(0.02)
            return x * x
        def pool():
            with context.Pool(2) as workers:
                return workers.map(square, range(4))
        assert cooperative(pool) == [0, 1, 4, 9]

        def hold(lock, begun):
            with lock:
                begun.put(1)
                time.sleep(0.05)
        def wait_for(lock):
            begun = context.SimpleQueue()
            process = context.Process(target=hold, args=(lock, begun))
            process.start()
            begun.get()
            assert not lock.acquire(False) and not lock.acquire(timeout=0.005)
            with lock:
                pass
            process.join()
        for lock in (context.Lock(), context.RLock(), context.Semaphore(1)):
            cooperative(wait_for, lock)
        rlock = context.RLock()
        with rlock, rlock:
            assert not green.spawn(rlock.acquire, False).get()
            assert not green.spawn(rlock.acquire, True, 0.005).get()
        assert green.spawn(lambda: (rlock.acquire(), rlock.release())[0]).get()
        event = context.Event()
        process = context.Process(target=event.set)
        process.start()
        assert cooperative(event.wait, 10, at_least=0)
        process.join()
        manager = context.Manager()
        shared = manager.dict(a=1)
        assert shared["a"] == 1
        manager.shutdown()
        """,
        warnings="ignore",  # forks beside threads
    )


# The rest


def test_release_and_put_never_switch(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import queue, threading, weakref, gc, time

        switched = []
        lock, q, s = threading.Lock(), queue.Queue(), queue.SimpleQueue()
        semaphore, event, condition = threading.Semaphore(0), threading.Event(), threading.Condition()
        def waits(fn):
            fn()
            switched.append(fn)
        lock.acquire()
        def wait_condition():
            with condition:
                condition.wait()
        waiters = [green.spawn(waits, fn) for fn in
                   (lock.acquire, q.get, s.get, semaphore.acquire, event.wait, wait_condition)]
        time.sleep(0.01)
        turn = green.get_hub().turn
        lock.release(); q.put(1); s.put(1); semaphore.release(); event.set()
        with condition:
            condition.notify_all()
        assert switched == [] and green.get_hub().turn == turn
        green.join_all(waiters)
        assert len(switched) == 6

        # A finalizer that returns something to a pool, at any allocation, in any greenlet.
        pool = queue.LifoQueue()
        class Cycle:
            def __init__(self):
                self.me = self
                weakref.finalize(self, s.put, 1)
        gc.set_threshold(10)
        def work():
            for _ in range(200):
                pool.put(pool.get(timeout=5))
                [Cycle() for _ in range(3)]
                time.sleep(0)
        for _ in range(3):
            pool.put(object())
        with green.Timeout(20):
            for each in [green.spawn(work) for _ in range(10)]:
                each.get()
        gc.set_threshold(700)
        """
    )


def test_a_killed_getter_loses_no_item_of_a_standard_queue(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import queue, threading, time
        for kind in (queue.Queue, queue.LifoQueue, queue.SimpleQueue):
            q = kind()
            killed, patient = green.spawn(q.get), green.spawn(q.get)
            time.sleep(0)
            killed.kill(block=False)  # it dies in the hub's next turn...
            q.put("item")  # ...but is the first to be woken
            with green.Timeout(2):
                assert patient.get() == "item"
            assert q.empty()
        condition = threading.Condition()
        def wait():
            with condition:
                return condition.wait(5)
        first, second = green.spawn(wait), green.spawn(wait)
        time.sleep(0)
        first.kill(block=False)
        with condition:
            condition.notify()
        with green.Timeout(2):
            assert second.get() is True
        """
    )


def test_a_waiting_greenlet_that_nobody_knows_is_not_killed_by_the_collector(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import gc, threading, time
        ended = []
        def wait():
            try:
                threading.Event().wait()
            finally:
                ended.append(1)
        green.spawn(wait)
        threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.01)
        gc.collect()
        time.sleep(0.01)
        assert not ended
        import os; os._exit(0)
        """
    )


def test_logging_from_many_greenlets_and_threads(isolated: Isolated) -> None:
    isolated(
        """
        import logging
        from dualwsgi import green; green.patch()
        import threading, time
        lines = []
        class Slow(logging.Handler):
            inside = 0
            def emit(self, record):
                self.inside += 1
                assert self.inside == 1, "two at once in one handler"
                time.sleep(0.001)
                lines.append(record.getMessage())
                self.inside -= 1
        logger = logging.getLogger("test")
        logger.addHandler(Slow())
        logger.propagate = False
        def talk(n):
            for i in range(5):
                logger.warning("%d %d", n, i)
        real = green.original("threading")
        threads = [real.Thread(target=talk, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        green.join_all([green.spawn(talk, n) for n in range(2, 8)])
        for thread in threads:
            green.default_thread_pool().apply(thread.join)
        assert len(lines) == 40
        """
    )


def test_tls_context_setters_do_not_recurse_and_servers_can_be_asked(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import socket, ssl
        from certificate import CERTIFICATE
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(CERTIFICATE)
        listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        def serve():
            peer, _ = listener.accept()
            try:
                assert isinstance(peer, ssl.SSLSocket)
                peer.recv(1)
            finally:
                peer.close()
        server = green.spawn(serve)
        assert "BEGIN CERTIFICATE" in ssl.get_server_certificate(listener.getsockname(), timeout=5)
        server.get()
        listener.close()
        """
    )


def test_concurrent_lookups_do_not_wait_for_one_another(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green
        from dualwsgi.green import originals
        import socket, time
        def slowly(native):
            def slow(name):
                originals.sleep(1.5 if name.startswith("slow") else 0.3)
                return native("127.0.0.1")
            return slow
        originals.gethostbyname = slowly(originals.gethostbyname)
        green.patch()
        from probe import timed
        with timed(4, 0.3):  # one after the other: 4.8
            asked = [green.spawn(socket.gethostbyname, f"host{n}.invalid") for n in range(16)]
            assert [one.get() for one in asked] == ["127.0.0.1"] * 16
        # Numbers need no thread, and a lookup can be given up.
        with timed(1.4):
            assert socket.getaddrinfo("127.0.0.1", 80)[0][4] == ("127.0.0.1", 80)
            with green.Timeout(0.01, False):
                socket.gethostbyname("slow.invalid")
        assert socket.getaddrinfo("localhost", 80)
        assert socket.getfqdn()
        try:
            socket.getaddrinfo("nothing.invalid", 80)
        except socket.gaierror as error:
            assert error.errno
        """
    )


def test_native_threads_use_green_sockets_and_clients(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import socket, threading, time, urllib.request, http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(0.3)
                self.send_response(200); self.end_headers(); self.wfile.write(b"hello")
            def log_message(self, *args): pass
        http.server.ThreadingHTTPServer.request_queue_size = 50
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        pool = green.ThreadPool(4)
        def fetch():
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        from probe import timed
        with timed(3.5):  # one after the other: 3.6
            both = [green.spawn(pool.apply, fetch) for _ in range(4)] + [green.spawn(fetch) for _ in range(8)]
            assert [one.get() for one in both] == [b"hello"] * 12
        # A native thread that starts threads starts native ones.
        started = pool.apply(lambda: (t := threading.Thread(target=fetch), t.start(), t.join()))
        server.shutdown(); server.server_close()
        """
    )


def test_a_profiler_sees_every_greenlet_of_its_thread(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import sys, threading, time
        seen = set()
        def profile(frame, event, arg):
            if event == "call":
                seen.add(frame.f_code.co_name)
        def inside():
            time.sleep(0.001)
            after()
        def after(): pass
        threading.setprofile(profile)
        thread = threading.Thread(target=inside); thread.start(); thread.join()
        threading.setprofile(None)
        sys.setprofile(None)  # the thread has set it for all
        assert {"inside", "after"} <= seen
        sys.setprofile(profile)
        seen.clear()
        green.spawn(inside).join()
        sys.setprofile(None)
        assert {"inside", "after"} <= seen
        """
    )
