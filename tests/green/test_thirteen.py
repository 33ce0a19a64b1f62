"""Thirteen things that eventlet or gevent, or both, get wrong: each right here, in its own process."""

from __future__ import annotations

from collections.abc import Callable

Isolated = Callable[..., str]


def test_01_pipes_children_and_signals_are_waited_for_in_the_hub(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import os, signal, sys, threading, time
        from probe import cooperative

        def later(fn, *args):
            threading.Timer(0.05, fn, args).start()

        r, w = os.pipe()
        later(os.write, w, b"one")
        assert cooperative(os.read, r, 10) == b"one"

        with os.fdopen(r, "rb") as file:
            later(os.write, w, b"two\\n")
            assert cooperative(file.readline) == b"two\\n"
            later(os.close, w)
            assert cooperative(file.read) == b""

        r, w = os.pipe()
        with os.fdopen(r) as file, os.fdopen(w, "w") as out:
            later(lambda: print("three", file=out, flush=True))
            assert cooperative(file.readline) == "three\\n"

        # More than a pipe holds: the writer waits for the reader.
        r, w = os.pipe()
        big = b"x" * 300_000
        writer = green.spawn(os.write, w, big)
        got = b""
        while len(got) < len(big):
            got += os.read(r, 65536)
        assert got == big and writer.get() == len(big)

        def child(seconds, code):
            return os.posix_spawn("/bin/sh", ["sh", "-c", f"sleep {seconds}; exit {code}"], os.environ)

        pid = child(0.05, 3)
        found = cooperative(os.waitid, os.P_PID, pid, os.WEXITED)
        assert (found.si_pid, found.si_status) == (pid, 3)
        pid = child(0.05, 4)
        assert cooperative(os.waitid, os.P_ALL, 0, os.WEXITED).si_pid == pid
        pid = child(0.05, 5)
        assert os.waitstatus_to_exitcode(cooperative(os.waitpid, pid, 0)[1]) == 5
        pid = child(0.05, 6)
        assert cooperative(os.wait)[0] == pid
        pid = child(0.05, 7)
        assert cooperative(os.wait3, 0)[0] == pid
        pid = child(0.05, 8)
        assert cooperative(os.wait4, pid, 0)[0] == pid
        pid = child(0.05, 9)
        assert cooperative(os.waitpid, 0, 0)[0] == pid
        assert os.waitstatus_to_exitcode(cooperative(os.system, "read line < gate; exit 9", gate="gate")) == 9

        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        # The first one imports ctypes, within its time.
        assert cooperative(signal.sigtimedwait, {signal.SIGUSR1}, 0.4) is None
        later(os.kill, os.getpid(), signal.SIGUSR1)
        assert cooperative(signal.sigtimedwait, {signal.SIGUSR1}, 10).si_signo == signal.SIGUSR1
        later(os.kill, os.getpid(), signal.SIGUSR1)
        assert cooperative(signal.sigwait, {signal.SIGUSR1}) is signal.SIGUSR1
        later(os.kill, os.getpid(), signal.SIGUSR1)
        assert cooperative(signal.sigwaitinfo, {signal.SIGUSR1}).si_pid == os.getpid()
        """
    )


def test_02_poll_and_epoll_are_there_and_wait_in_the_hub(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import select, selectors, socket, threading
        from probe import cooperative, timed

        a, b = socket.socketpair()
        c, d = socket.socketpair()

        def soon():
            threading.Timer(0.05, lambda: (b.send(b"x"), d.send(b"y"))).start()

        def drain():
            a.recv(9), c.recv(9)

        poll = select.poll()
        poll.register(a, select.POLLIN); poll.register(c.fileno(), select.POLLIN)
        assert poll.poll(0) == []
        with timed(10, 0.02):  # they are milliseconds
            assert cooperative(poll.poll, 20) == []
        soon()
        assert cooperative(poll.poll) == [(a.fileno(), select.POLLIN), (c.fileno(), select.POLLIN)]
        green.sleep(0.01); drain()

        epoll = select.epoll()
        epoll.register(a, select.EPOLLIN); epoll.register(c, select.EPOLLIN)
        assert cooperative(epoll.poll, 0.05) == []
        soon()
        assert cooperative(epoll.poll)[0][1] == select.EPOLLIN
        green.sleep(0.01); drain()
        epoll.close()

        soon()
        assert cooperative(select.select, [a, c], [], [a])[0]
        green.sleep(0.01)
        # All that are ready, not the first.
        assert select.select([a, c], [b], []) == ([a, c], [b], [])
        drain()

        assert selectors.DefaultSelector is selectors.EpollSelector
        for kind in (selectors.EpollSelector, selectors.PollSelector, selectors.SelectSelector):
            with kind() as selector:
                selector.register(a, selectors.EVENT_READ, "data")
                selector.register(c, selectors.EVENT_READ)
                assert cooperative(selector.select, 0.05) == []
                soon()
                assert cooperative(selector.select)[0][0].fileobj in (a, c)
                green.sleep(0.01); drain()
        """
    )


def test_03_recvmsg_sendmsg_and_sendfile_wait(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import hashlib, os, socket, tempfile, threading
        from probe import cooperative

        a, b = socket.socketpair()
        threading.Timer(0.05, b.sendmsg, ([b"one", b"two"],)).start()
        assert cooperative(a.recvmsg, 100)[0] == b"onetwo"
        threading.Timer(0.05, b.sendmsg, ([b"three"],)).start()
        buffer = bytearray(10)
        assert cooperative(a.recvmsg_into, [buffer])[0] == 5

        def read_all(sock, into):
            while data := sock.recv(65536):
                into.update(data)
                green.sleep(0.0005)

        # As much as a blocking socket would send in one call: all of it.
        big = os.urandom(1 << 20)
        got = hashlib.sha256()
        reader = green.spawn(read_all, a, got)
        sent = cooperative(b.sendmsg, [big[:1000], big[1000:700_000], big[700_000:]], at_least=1)
        assert sent == len(big)
        assert cooperative(b.send, big, at_least=1) == len(big)
        with tempfile.TemporaryFile() as file:
            file.write(big); file.flush()
            assert cooperative(b.sendfile, file, 0, at_least=1) == len(big)
            assert cooperative(b.sendfile, file, 10, 500_000, at_least=1) == 500_000
            assert file.tell() == 500_010
        b.close()
        reader.join()
        assert got.digest() == hashlib.sha256(big * 3 + big[10:500_010]).digest()
        """
    )


def test_04_greenlets_that_import_the_same_slow_module_all_get_it_whole(
    isolated: Isolated, tmp_path: object
) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import threading, time
        open("slow.py", "w").write("import time; time.sleep(0.1); value = 42")

        def load():
            import slow
            return slow.value

        assert [one.get() for one in [green.spawn(load) for _ in range(3)]] == [42, 42, 42]

        open("left.py", "w").write("import time; time.sleep(0.02); import right; value = 1")
        open("right.py", "w").write("import time; time.sleep(0.02); import left; value = 2")
        # A circle from both ends: no deadlock, as with threads.
        first = green.spawn(__import__, "left"); second = green.spawn(__import__, "right")
        with green.Timeout(5):
            assert first.get().value == 1 and second.get().value == 2
        """
    )


def test_05_locks_made_before_the_patch_keep_exclusion(isolated: Isolated) -> None:
    isolated(
        """
        import queue, threading

        class Holder:
            __slots__ = ("lock",)

        class WithDict:
            def __init__(self):
                self.lock = threading.RLock()
                self.condition = threading.Condition(self.lock)

        lock, rlock, condition = threading.Lock(), threading.RLock(), threading.Condition()
        held = threading.Lock()
        held.acquire()
        simple, normal, event = queue.SimpleQueue(), queue.Queue(), threading.Event()
        simple.put("before")
        local = threading.local()
        local.value = 1
        in_list, in_dict = [threading.Lock()], {"only": threading.Lock()}
        slotted, instance = Holder(), WithDict()
        slotted.lock = threading.Lock()

        def closure():
            mine = threading.Lock()
            return lambda: mine
        in_cell = closure()

        from dualwsgi import green; green.patch()
        import time
        from probe import cooperative

        native = green.original("_thread").LockType
        each = [lock, rlock, held, in_list[0], in_dict["only"], slotted.lock, instance.lock, in_cell()]
        assert all(type(one).__module__ == "dualwsgi.green.sync" for one in each), each
        assert instance.condition._lock is instance.lock

        def excludes(one):
            inside = 0
            def enter():
                nonlocal inside
                with one:
                    inside += 1
                    assert inside == 1
                    time.sleep(0.005)
                    inside -= 1
            green.join_all([green.spawn(enter) for _ in range(4)])

        for one in (lock, rlock, condition, in_list[0], in_dict["only"], slotted.lock, instance.condition):
            cooperative(excludes, one, at_least=2)
        assert not held.acquire(timeout=0.01)
        held.release()
        excludes(held)

        assert simple.get() == "before"
        for q in (simple, normal):
            green.spawn_after(0.02, q.put, 1)
            assert cooperative(q.get) == 1
        green.spawn_after(0.02, event.set)
        assert cooperative(event.wait, 5)

        def notifier():
            with condition:
                condition.notify()
        with condition:
            green.spawn_after(0.02, notifier)
            assert cooperative(condition.wait, 5)

        assert local.value == 1
        assert green.spawn(lambda: hasattr(local, "value")).get() is False
        """
    )


def test_05_locks_of_classes_and_containers_are_replaced_in_every_place(isolated: Isolated) -> None:
    """The interpreter remembers what it has found in a class: a lock put past that would be freed memory."""
    isolated(
        """
        import collections, threading

        class Closed(type):
            def __setattr__(cls, name, value):
                raise AttributeError(name)

        class Counter(metaclass=Closed):
            lock = threading.Lock()
            acquire, release = lock.acquire, lock.release

        class Registry(dict):
            def __init__(self):
                self.lock = threading.RLock()

        class Lines(list):
            __slots__ = ("lock",)

        registry, lines = Registry(), Lines()
        lines.lock = threading.Lock()
        keys, members = {threading.Lock(): 1}, {threading.Lock()}
        ordered = collections.OrderedDict(lock=threading.Lock())

        def look():
            return Counter.lock, Counter().lock
        for _ in range(100):
            look()

        from dualwsgi import green; green.patch()
        others = [bytes(24) for _ in range(10_000)]  # what was freed is taken again
        for _ in range(100):
            assert look()[0] is look()[1] is Counter.acquire.__self__ is Counter.release.__self__
        for one in (*look(), registry.lock, lines.lock, *keys, *members, ordered["lock"]):
            assert type(one).__module__ == "dualwsgi.green.sync", one
        """
    )


def test_05_a_lock_that_cannot_be_replaced_is_named(isolated: Isolated) -> None:
    isolated(
        """
        import contextvars, functools, threading, warnings

        KEPT = (threading.Lock(),)  # nothing can be put into a tuple
        PARTIAL = functools.partial(threading.Lock().acquire)  # nor into this
        VARIABLE = contextvars.ContextVar("variable", default=threading.Lock())

        def main():
            mine = threading.RLock()
            with mine:  # held by a running function
                from dualwsgi import green
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    green.patch()
            text = str(caught[0].message)
            assert caught[0].category is green.LatePatchWarning
            assert "stay native" in text and "RLock in" in text, text
            for holder in ("builtins.tuple", "functools.partial", "_contextvars.ContextVar"):
                assert f"Lock in an instance of {holder}" in text, text

        main()
        from dualwsgi import green
        native = green.original("_thread").LockType
        assert type(PARTIAL.func.__self__) is type(VARIABLE.get()) is type(KEPT[0]) is native
        """
    )


def test_06_native_threads_and_greenlets_hand_locks_over(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import queue, threading, time
        real = green.original("threading")

        lock, rlock, counter = threading.Lock(), threading.RLock(), 0

        def count():
            global counter
            for turn in range(300):
                with lock, rlock:
                    seen = counter
                    if turn % 100 == 0:
                        time.sleep(0.001)
                    counter = seen + 1

        threads = [real.Thread(target=count) for _ in range(2)]
        greens = [threading.Thread(target=count) for _ in range(2)]
        for one in threads + greens:
            one.start()
        for one in greens:
            one.join()
        for one in threads:
            green.default_thread_pool().apply(one.join)
        assert counter == 1200, counter

        # A native thread holds it: the greenlet waits without holding up others, and gets it.
        from probe import cooperative
        taken = threading.Event()
        def hold():
            with lock:
                taken.set()
                green.original("time").sleep(0.05)
        real.Thread(target=hold).start()
        assert taken.wait(5)
        assert cooperative(lock.acquire, timeout=5)
        lock.release()

        there, back = queue.Queue(2), queue.SimpleQueue()
        def echo():
            while (item := there.get()) is not None:
                back.put(item)
        worker = real.Thread(target=echo)
        worker.start()
        for n in range(200):
            there.put(n)
        there.put(None)
        assert [back.get(timeout=5) for _ in range(200)] == list(range(200))

        for kind in (threading.Event, threading.Condition, threading.Semaphore, threading.Barrier):
            pass
        semaphore, event, barrier = threading.Semaphore(0), threading.Event(), threading.Barrier(2)
        real.Thread(target=lambda: (event.wait(), semaphore.release(), barrier.wait())).start()
        event.set()
        assert semaphore.acquire(timeout=5)
        barrier.wait(5)
        """
    )


def test_07_join_with_a_timeout_returns(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import threading, time
        from probe import cooperative, timed

        thread = threading.Thread(target=time.sleep, args=(30,), daemon=True)
        thread.start()
        with timed(15, 0.05):
            assert cooperative(thread.join, 0.05) is None
        assert thread.is_alive()
        quick = threading.Thread(target=time.sleep, args=(0.02,))
        quick.start()
        quick.join(5)
        assert not quick.is_alive()
        quick.join()
        with timed(15, 0.02):  # a greenlet may wait for the main thread
            waiter = threading.Thread(target=threading.main_thread().join, args=(0.02,))
            waiter.start()
            waiter.join()
        """
    )


def test_08_threads_that_are_no_daemons_finish_before_the_process_ends(isolated: Isolated) -> None:
    out = isolated(
        """
        from dualwsgi import green; green.patch()
        import atexit, concurrent.futures, threading, time

        def work(name):
            time.sleep(0.05)
            print(name, flush=True)

        def wait_for_main():
            threading.main_thread().join()
            print("main joined", flush=True)

        atexit.register(print, "atexit")
        threading.Thread(target=work, args=("thread",)).start()
        threading.Thread(target=wait_for_main).start()
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        concurrent.futures.ThreadPoolExecutor(1).submit(work, "future")
        print("main", flush=True)
        """
    )
    *before, last = out.strip().split("\n")
    assert set(before) == {"main", "thread", "future", "main joined"}
    assert before.index("main") < before.index("main joined")
    assert last == "atexit"


def test_09_main_thread_is_right_and_a_fork_child_has_one_thread_and_can_log(isolated: Isolated) -> None:
    isolated(
        """
        import logging  # before the patch, as a program would have it
        logging.basicConfig()
        from dualwsgi import green; green.patch()
        import concurrent.futures, os, random, sys, threading, time

        assert threading.current_thread() is threading.main_thread()
        assert threading.main_thread().ident == threading.get_ident()

        executor = concurrent.futures.ThreadPoolExecutor(2)
        executor.submit(time.sleep, 0.01)
        for _ in range(3):
            threading.Thread(target=time.sleep, args=(0.3,), daemon=True).start()
        holds = threading.Event()
        def hold():
            logging._lock.acquire() if hasattr(logging, "_lock") else None
            holds.set()
            time.sleep(0.05)
            logging._lock.release()
        threading.Thread(target=hold).start()
        holds.wait()

        def check(where):
            assert threading.active_count() == 1, threading.enumerate()
            assert threading.current_thread() is threading.main_thread(), where
            assert threading.main_thread().is_alive()
            logging.warning("from the child")
            green.spawn(time.sleep, 0.01).join()
            thread = threading.Thread(target=time.sleep, args=(0.01,))
            thread.start(); thread.join()
            assert list(concurrent.futures.ThreadPoolExecutor(2).map(abs, [-1])) == [1]
            assert green.get_hub().timers == 0

        def fork(where):
            pid = os.fork()
            if not pid:
                try:
                    check(where)
                    os._exit(0)
                finally:
                    sys.excepthook(*sys.exc_info())
                    os._exit(1)
            with green.Timeout(10):
                assert os.waitpid(pid, 0)[1] == 0, where

        fork("main")
        thread = threading.Thread(target=fork, args=("thread",))
        thread.start(); thread.join()
        green.spawn(fork, "greenlet").get()
        # The parent's hub is as it was.
        green.sleep(0.01)
        """,
        warnings="error",
    )


def test_10_a_signal_handler_wakes_an_idle_hub(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import os, signal, threading, time
        from probe import timed

        def kill_from_outside(number):
            os.posix_spawn("/bin/sh", ["sh", "-c", f"sleep 0.1; kill -{number} {os.getpid()}"], os.environ)

        event = threading.Event()
        signal.signal(signal.SIGUSR1, lambda number, frame: event.set())
        kill_from_outside(signal.SIGUSR1.value)
        with timed(15):
            assert event.wait(30)

        # A handler may wait, even when all greenlets did.
        lock, done = threading.Lock(), threading.Event()
        def handler(number, frame):
            with lock:
                time.sleep(0.01)
                done.set()
        assert callable(signal.signal(signal.SIGUSR1, handler))
        assert signal.getsignal(signal.SIGUSR1) is handler
        def holder():
            with lock:
                time.sleep(0.2)
        green.spawn(holder)
        kill_from_outside(signal.SIGUSR1.value)
        assert done.wait(10)

        # Ctrl-C reaches the main greenlet, even if another one runs; that one is not killed.
        ran = []
        def busy():
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000): pass
            time.sleep(0.01)
            ran.append(1)
        worker = green.spawn(busy)
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            pass
        worker.get()
        assert ran
        kill_from_outside(signal.SIGINT.value)
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            ran.append(2)
        assert ran == [1, 2]
        kill_from_outside(signal.SIGUSR1.value)
        done.clear()
        signal.pause()
        assert done.wait(5)
        """
    )


def test_11_sockets_are_sockets(isolated: Isolated) -> None:
    isolated(
        """
        import socket, ssl
        from socket import socket as early_name, socketpair as early_pair

        class Early(socket.socket):
            pass

        before = socket.socket()
        before.settimeout(0.01)
        pair = socket.socketpair()
        from dualwsgi import green; green.patch()
        from probe import cooperative, timed

        assert early_name is socket.socket
        for made in (socket.socket(), before, Early(), *pair, *socket.socketpair(), before.dup()):
            assert isinstance(made, socket.socket)
            made.close()
        context = ssl.create_default_context()
        wrapped = context.wrap_socket(socket.socket(), server_hostname="localhost")
        assert isinstance(wrapped, (socket.socket, ssl.SSLSocket))
        wrapped.close()

        # And those from before the patch wait in the hub.
        class Sub(early_name):
            pass
        listener = early_name()
        listener.bind(("127.0.0.1", 0)); listener.listen()
        for kind in (Early, Sub, early_name):
            client = kind(socket.AF_INET, socket.SOCK_STREAM)
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            assert isinstance(server, socket.socket)
            green.spawn_after(0.03, server.send, b"x")
            assert cooperative(client.recv, 1) == b"x"
            client.settimeout(0.02)
            assert client.gettimeout() == client.timeout == 0.02 and client.getblocking()
            try:
                cooperative(client.recv, 1)
            except TimeoutError as error:
                assert str(error) == "timed out"
            client.setblocking(False)
            try:
                client.recv(1)
            except BlockingIOError:
                pass
            client.close(); server.close()
        """,
    )


def test_12_contexts_made_before_the_patch_work(isolated: Isolated) -> None:
    isolated(
        """
        import ssl, sys, socket
        from certificate import CERTIFICATE

        class Sub(ssl.SSLContext):
            pass

        contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Sub(ssl.PROTOCOL_TLS_CLIENT)]
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(CERTIFICATE)
        asked = []
        def sni(sock, name, context):
            asked.append((name, isinstance(sock, ssl.SSLSocket)))
        server_context.sni_callback = sni

        from dualwsgi import green; green.patch()
        from probe import cooperative

        contexts.append(ssl.create_default_context())
        contexts.append(Sub(ssl.PROTOCOL_TLS_CLIENT))
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            raw, _ = listener.accept()
            green.sleep(0.03)
            with server_context.wrap_socket(raw, server_side=True) as sock:
                while data := sock.recv(65536):
                    sock.sendall(data)
                sock.unwrap()

        for context in contexts:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.options |= ssl.OP_NO_COMPRESSION
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            server = green.spawn(serve)
            raw = socket.create_connection(listener.getsockname())
            # Its server is a greenlet of this thread, so that there is an answer at all says the same.
            with cooperative(context.wrap_socket, raw, server_hostname="a.example", at_least=0) as sock:
                assert type(sock) is ssl.SSLSocket
                data = b"x" * 1_000_000
                writer = green.spawn(sock.sendall, data)
                got = b""
                while len(got) < len(data):
                    got += sock.recv(100_000)
                assert got == data
                writer.get()
                sock.settimeout(0.02)
                try:
                    cooperative(sock.recv, 1)
                except TimeoutError as error:
                    assert "read operation timed out" in str(error)
                sock.settimeout(5)
                sock.unwrap().close()
            server.get()
        assert asked == [("a.example", True)] * 4
        """
    )


def test_13_asyncio_runs_in_several_greenlets_of_one_thread(isolated: Isolated) -> None:
    isolated(
        """
        from dualwsgi import green; green.patch()
        import asyncio, socket, threading, time
        from probe import cooperative, timed

        async def main(n):
            loop = asyncio.get_running_loop()
            task = asyncio.current_task()
            await asyncio.sleep(0.15)
            inner = asyncio.create_task(asyncio.sleep(0.15, n))
            time.sleep(0.01)  # badly behaved, and yet harmless for the others
            assert asyncio.get_running_loop() is loop and asyncio.current_task() is task
            assert await asyncio.to_thread(time.sleep, 0.01) is None
            return await inner

        with timed(3):  # one after the other: 3.2
            runs = [green.spawn(asyncio.run, main(n)) for n in range(10)]
            for _ in range(5):
                green.sleep(0.01)
                assert asyncio._get_running_loop() is None  # nobody sees another's
            assert [run.get() for run in runs] == list(range(10))
        assert cooperative(asyncio.run, main(1)) == 1

        async def serve(port):
            served = asyncio.Event()
            async def echo(reader, writer):
                writer.write(await reader.readline())
                await writer.drain()
                writer.close()
                served.set()
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            port.set(server.sockets[0].getsockname())
            await served.wait()
            server.close()

        port = green.AsyncResult()
        server = green.spawn(asyncio.run, serve(port))
        client = socket.create_connection(port.get())
        client.sendall(b"hello\\n")
        assert client.makefile().readline() == "hello\\n"
        client.close()
        server.get()
        """
    )
