"""Real clients in greenlets against real servers: fifty that wait take the time of one.

Each test starts a server of its own on a free port of the loopback interface, in a directory of its own,
as a user without rights where the server refuses root; it is skipped where server or client is missing.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port

Isolated = Callable[..., str]

# What each script begins with: fifty at once, in the time of one (0.3 s; one after the other: 15 s).
FIFTY = """
from dualwsgi import green; green.patch()
import sys, time
from probe import cooperative, monotonic

def fifty(fn, one=0.3, most=7.5):  # one after the other would be 15
    start = monotonic()
    waiting = [green.spawn(fn, n) for n in range(50)]
    results = [each.get() for each in waiting]
    seconds = monotonic() - start
    assert one <= seconds < most, f"fifty waits of {one} s took {seconds:.2f} s"
    print(f"{seconds:.2f}")
    return results
"""


def program(name: str) -> str:
    """The path of a server's program; skips the test if there is none."""
    found = shutil.which(name)
    for path in [*sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")), f"/usr/sbin/{name}"]:
        if os.access(path, os.X_OK):
            found = path  # Debian keeps them off the PATH
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def needs(*modules: str) -> None:
    """Skip the test if a client library is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


@contextmanager
def directory() -> Iterator[tuple[Path, list[str]]]:
    """A short-lived directory, and the words that run a command as its owner, who is not root."""
    path = Path(tempfile.mkdtemp(prefix="dw"))
    as_owner: list[str] = []
    if os.getuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(path, user.pw_uid, user.pw_gid)
        as_owner = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is not installed, and the server refuses to run as root")
    try:
        yield path, as_owner
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running(command: list[str], port: int, path: Path, *, greets: bool = False) -> Iterator[None]:
    """Run a server until the block ends; the block begins when it accepts connections.

    One that greets listens long before it accepts.
    """
    log = path / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=path, env=environment(path)
        )
    try:
        deadline = time.monotonic() + 40
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as probe:
                    if greets and not probe.recv(1):
                        raise ConnectionError("not ready yet")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(path), "LC_ALL": "C", "TZ": "UTC"}


def test_requests(isolated: Isolated) -> None:
    needs("requests")
    isolated(
        FIFTY
        + """
import http.server, logging, logging.handlers, queue, threading
import requests

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer.request_queue_size = 100
http.server.ThreadingHTTPServer.daemon_threads = True
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
url = f"http://localhost:{server.server_port}/"

# A log handler that hands its records to a thread, as programs do.
records = queue.SimpleQueue()
seen = []
class Keep(logging.Handler):
    def emit(self, record):
        time.sleep(0.0005)
        seen.append(record)
listener = logging.handlers.QueueListener(records, Keep())
listener.start()
logger = logging.getLogger("requests-test")
logger.setLevel(logging.INFO)
logger.addHandler(logging.handlers.QueueHandler(records))

session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=50, pool_block=True))

def fetch(n):
    answer = session.get(url, timeout=10)
    logger.info("%d", n)
    return answer.text

assert fifty(fetch) == ["hello"] * 50
assert fifty(fetch) == ["hello"] * 50  # from the pool of connections now
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(50) as pool:
    assert fifty(lambda n: pool.submit(fetch, n).result()) == ["hello"] * 50
listener.stop()
assert len(seen) == 150
session.close()
server.shutdown(); server.server_close()
""",
        deadline=40,
    )


def test_redis(isolated: Isolated) -> None:
    needs("redis")
    port = free_port()
    with directory() as (path, as_owner):
        command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        with running([*as_owner, *command, "--dir", str(path)], port, path):
            isolated(
                FIFTY
                + """
import redis
client = redis.Redis(port=int(sys.argv[1]))
client.ping()
fifty(lambda n: client.blpop([f"none{n}"], timeout=0.3))

got = []
def listen():
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("news")
        ready.set()
        for message in channel.listen():
            got.append(message["data"])
            if len(got) == 3:
                return
ready = green.Event()
listener = green.spawn(listen)
ready.wait()
for n in range(3):
    client.publish("news", n)
listener.get(5)
assert got == [b"0", b"1", b"2"]
with client.pipeline() as pipe:
    assert pipe.set("a", 1).incr("a").execute() == [True, 2]
lock = client.lock("lock", timeout=5)
order = []
def with_lock(n):
    with client.lock("lock", timeout=5, sleep=0.005):
        order.append(n)
        time.sleep(0.01)
green.join_all([green.spawn(with_lock, n) for n in range(3)])
assert len(order) == 3
client.close()
""",
                str(port),
            )


@pytest.mark.soak  # making a database takes seconds of a core, and a minute of a busy one
@pytest.mark.timeout(240)
def test_postgresql(isolated: Isolated) -> None:
    needs("psycopg", "sqlalchemy")
    port = free_port()
    initdb, postgres = program("initdb"), program("postgres")
    with directory() as (path, as_owner):
        data = str(path / "data")
        subprocess.run(
            [*as_owner, initdb, "-D", data, "-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8"],
            check=True,
            capture_output=True,
            cwd=path,
            env=environment(path),
        )
        server = [*as_owner, postgres, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(path), "-F"]
        with running(server, port, path):
            isolated(
                FIFTY
                + """
import psycopg, psycopg.pq
import sqlalchemy as sa
port = int(sys.argv[1])
conninfo = f"host=127.0.0.1 port={port} user=test dbname=postgres"
deadline = monotonic() + 20
while True:  # it accepts connections before it answers
    try:
        psycopg.connect(conninfo).close()
        break
    except psycopg.OperationalError:
        assert monotonic() < deadline
        time.sleep(0.05)
assert "C" in psycopg.pq.__impl__ or psycopg.pq.__impl__ == "binary", psycopg.pq.__impl__

connections = [green.spawn(psycopg.connect, conninfo, autocommit=True) for _ in range(50)]
connections = [each.get() for each in connections]
fifty(lambda n: connections[n].execute("select pg_sleep(0.3)").fetchall())
cooperative(connections[0].execute, "select pg_sleep(0.05)")

connections[0].execute("listen news")
green.spawn_after(0.05, connections[1].execute, "notify news, 'hello'")
def first():
    for note in connections[0].notifies(timeout=5):
        return note.payload
assert cooperative(first) == "hello"
connections[1].execute("create table t (n int, s text)")
with connections[1].cursor() as cursor, cursor.copy("copy t from stdin") as copy:
    for n in range(20000):
        copy.write_row((n, "x" * 50))
assert connections[2].execute("select count(*) from t").fetchone() == (20000,)
for connection in connections:
    connection.close()

engine = sa.create_engine(f"postgresql+psycopg://test@127.0.0.1:{port}/postgres",
                          pool_size=25, max_overflow=0, pool_timeout=10)
def query(n):
    with engine.connect() as connection:
        return connection.execute(sa.text("select pg_sleep(0.15), :n"), {"n": n}).one()[1]
def warm():
    with engine.connect() as connection:
        connection.execute(sa.text("select pg_sleep(0.05)"))
green.join_all([green.spawn(warm) for _ in range(25)])
# Fifty through a pool of twenty-five: two rounds.
assert fifty(query) == list(range(50))
engine.dispose()
""",
                str(port),
                deadline=100,
            )


@pytest.mark.soak  # as above
@pytest.mark.timeout(240)
def test_mariadb(isolated: Isolated) -> None:
    needs("pymysql")
    port = free_port()
    install, server = program("mariadb-install-db"), program("mariadbd")
    with directory() as (path, as_owner):
        data = str(path / "data")
        subprocess.run(
            [
                *(*as_owner, install, "--no-defaults", f"--datadir={data}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"),
            ],
            check=True,
            capture_output=True,
            cwd=path,
            env=environment(path),
        )
        command = [
            *(*as_owner, server, "--no-defaults", f"--datadir={data}", f"--port={port}"),
            *("--bind-address=127.0.0.1", f"--socket={path}/sock", f"--pid-file={path}/pid"),
            *("--skip-grant-tables", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M"),
        ]
        with running(command, port, path, greets=True):
            isolated(
                FIFTY
                + """
import pymysql
port = int(sys.argv[1])
def connect(n=0):
    return pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True, connect_timeout=40)
connections = list(green.Pool(5).map(connect, range(50)))  # it resets some of a burst, when it is busy
def query(n):
    with connections[n].cursor() as cursor:
        cursor.execute("select sleep(0.3), %s", (n,))
        return cursor.fetchone()[1]
assert fifty(query) == list(range(50))
cooperative(query, 0)
# A wait that is given up leaves the connection in the middle of an answer: it must not be used again.
with green.Timeout(0.05, False):
    query(1)
connections[1]._force_close()
for n, connection in enumerate(connections):
    if n != 1:
        connection.close()
""",
                str(port),
                deadline=100,
            )


def test_processes_names_and_queues(isolated: Isolated) -> None:
    isolated(
        FIFTY
        + """
import concurrent.futures, os, queue, socket, subprocess, threading
from dualwsgi.green import originals

fifty(lambda n: subprocess.run(["sleep", "0.3"], check=True), most=10)

native = originals.getaddrinfo
def slow(host, port, family, kind, proto, flags):
    if host != "slow.invalid" or flags & socket.AI_NUMERICHOST:
        return native(host, port, family, kind, proto, flags)
    originals.sleep(0.1)
    return native("127.0.0.1", port, family, kind, proto, flags)
originals.getaddrinfo = slow
server = socket.create_server(("127.0.0.1", 0), backlog=100)
def accept():
    while True:
        server.accept()[0].close()
acceptor = green.spawn(accept)
# Sixteen threads ask, so fifty names take four rounds.
def connect(n):
    with socket.create_connection(("slow.invalid", server.getsockname()[1])) as sock:
        assert sock.recv(1) == b""
fifty(connect)
acceptor.kill(); server.close()

jobs, done = queue.Queue(10), queue.Queue()
def worker():
    while (job := jobs.get()) is not None:
        time.sleep(0.3)
        done.put(job)
        jobs.task_done()
    jobs.task_done()
threads = [threading.Thread(target=worker) for _ in range(50)]
for thread in threads:
    thread.start()
def ask(n):
    jobs.put(n)
    return done.get()
assert sorted(fifty(ask)) == list(range(50))
for _ in threads:
    jobs.put(None)
jobs.join()
for thread in threads:
    thread.join()
with concurrent.futures.ThreadPoolExecutor(50) as pool:
    fifty(lambda n: pool.submit(time.sleep, 0.3).result())
    sleeps = [pool.submit(time.sleep, seconds) for seconds in (0.05, 1)]
    first = concurrent.futures.wait(sleeps, return_when="FIRST_COMPLETED")
    assert len(first.done) == 1
    assert list(pool.map(abs, [-1, -2], timeout=5)) == [1, 2]
""",
        deadline=40,
    )


def test_inside_an_application_on_the_backend(isolated: Isolated) -> None:
    """What waits above in greenlets of its own waits the same in those that the server lends to calls."""
    isolated(
        FIFTY
        + """
import concurrent.futures, http.client, queue, socket, subprocess, threading
import dualwsgi

pool = concurrent.futures.ThreadPoolExecutor(50)
def by_queue():
    waiting = queue.Queue()
    threading.Timer(0.3, waiting.put, (1,)).start()
    assert waiting.get() == 1
def by_socket():
    near, far = socket.socketpair()
    with near, far:
        threading.Timer(0.3, far.send, (b"x",)).start()
        assert near.recv(1) == b"x"
WAYS = {
    "/sleep": lambda: time.sleep(0.3),
    "/queue": by_queue,
    "/socket": by_socket,
    "/future": lambda: pool.submit(time.sleep, 0.3).result(),
    "/child": lambda: subprocess.run(["sleep", "0.3"], check=True),
}
def app(environ, start_response):
    WAYS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]

server = dualwsgi.Server(app, bind="127.0.0.1:0", backend="green").start()
port = int(server.addresses[0].rpartition(":")[2].strip("/"))
def ask(path):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    answer = connection.getresponse().read()
    connection.close()
    return answer
for path in WAYS:
    assert fifty(lambda n: ask(path)) == [b"done"] * 50
pool.shutdown()  # its threads live in the hub of the server
server.stop()
""",
        deadline=60,
    )
