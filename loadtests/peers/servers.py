"""The servers, as data: a name, a command line, whose Python runs it.

In a command line, {python} is the Python of its environment and {bin} the folder that holds it, {port}, {app}
and {threads} are the scenario's, {log} is a file of this server's own. Every server listens on 127.0.0.1,
runs one process that calls the application, keeps connections alive, writes no access log (but the one that
says so), and has its limits of connections and idle time raised out of the way where it has any.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dualwsgi.compare.process import ServerFailed

REPOSITORY = Path(__file__).parents[2]
PEERS = ("bjoern", "granian", "gunicorn", "gevent", "eventlet", "waitress", "cheroot", "uwsgi")
_ALSO = ("packaging", "pyopenssl", "django >= 5.0", "psycopg[binary] >= 3.2")
"""What gunicorn's gevent worker and eventlet's TLS import without asking for it; what applications need."""
_REFERENCE = "{python} -m loadtests.peers.reference"


@dataclass(frozen=True)
class Server:
    """`package` is what pip calls it, for its version; empty for what is of this repository."""

    name: str
    command: str
    package: str = ""
    ours: bool = False
    """Runs under the Python that is measured, from this checkout, rather than in the peers' environment."""
    tls: str | None = None
    """What is added to the command line for TLS; None where the server has none."""


def _dualwsgi(name: str, backend: str, extra: str, app: str = "{app}") -> Server:
    calls = "--threads {threads}" if backend == "threads" else "--concurrency 20000"
    return Server(
        name,
        f"{{python}} -m dualwsgi run {app} --backend {backend} --bind 127.0.0.1:{{port}}"
        f" {calls} --log-level warning {extra}",
        ours=True,
        tls="--certfile {cert} --keyfile {key}",
    )


SERVERS = {
    server.name: server
    for server in (
        _dualwsgi("dualwsgi", "threads", "--no-access-log"),
        _dualwsgi("dualwsgi-green", "green", "--no-access-log"),
        _dualwsgi("dualwsgi-log", "threads", "--access-logfile {log}"),
        _dualwsgi("dualwsgi-example", "threads", "--no-access-log", "dualwsgi.example"),
        Server("bjoern", _REFERENCE + " bjoern {app} --port {port}", "bjoern"),
        Server(
            "granian",
            "{bin}/granian --interface wsgi --host 127.0.0.1 --port {port} --workers 1 --blocking-threads 1"
            " --backlog 4096 --backpressure 20000 --no-access-log --log-level warning {app}",
            "granian",
            tls="--ssl-certificate {cert} --ssl-keyfile {key}",
        ),
        Server(
            "granian-threads",
            "{bin}/granian --interface wsgi --host 127.0.0.1 --port {port} --workers 1"
            " --blocking-threads {threads} --backlog 4096 --backpressure 20000 --no-access-log"
            " --log-level warning {app}",
            "granian",
            tls="--ssl-certificate {cert} --ssl-keyfile {key}",
        ),
        Server(
            "gunicorn-gthread",
            "{bin}/gunicorn -w 1 -k gthread --threads {threads} --worker-connections 20000 --keep-alive 600"
            " --backlog 4096 --no-control-socket --log-level warning -b 127.0.0.1:{port} {app}",
            "gunicorn",
            tls="--certfile {cert} --keyfile {key}",
        ),
        Server(
            "gunicorn-gevent",
            "{bin}/gunicorn -w 1 -k gevent --worker-connections 20000 --keep-alive 600"
            " --backlog 4096 --no-control-socket --log-level warning -b 127.0.0.1:{port} {app}",
            "gunicorn",
            tls="--certfile {cert} --keyfile {key}",
        ),
        Server(
            "waitress",
            "{bin}/waitress-serve --listen=127.0.0.1:{port} --threads={threads} --backlog=4096"
            " --connection-limit=20000 --channel-timeout=600 --asyncore-use-poll {app}",
            "waitress",
        ),
        Server(
            "cheroot",
            _REFERENCE + " cheroot {app} --port {port} --threads {threads}",
            "cheroot",
            tls="--certfile {cert} --keyfile {key}",
        ),
        Server(
            "uwsgi",
            "{bin}/uwsgi {uwsgi_socket} --http-keepalive=600 --http-timeout 600 --listen 4096"
            " --virtualenv {bin}/.. --master --die-on-term --processes 1 --threads {threads} --max-fd 20000"
            " --disable-logging --module {app}",
            "uwsgi",
            tls="",  # it is in the socket
        ),
        Server(
            "eventlet",
            _REFERENCE + " eventlet {app} --port {port}",
            "eventlet",
            tls="--certfile {cert} --keyfile {key}",
        ),
        # Its own choice: head and body in two sends without TCP_NODELAY, so that the body waits some 40 ms
        # for the client's delayed ACK.
        Server(
            "gevent",
            _REFERENCE + " gevent {app} --port {port}",
            "gevent",
            tls="--certfile {cert} --keyfile {key}",
        ),
        Server("plain-blocking", _REFERENCE + " plain-blocking {app} --port {port} --threads 64", ours=True),
        Server("plain-poller", _REFERENCE + " plain-poller {app} --port {port} --threads 64", ours=True),
    )
}


@dataclass(frozen=True)
class Environments:
    """The two Pythons: ours, and the one of the peers' virtual environment."""

    ours: Path
    peers: Path

    def python(self, server: Server) -> Path:
        return self.ours if server.ours else self.peers / "bin" / "python"

    def command(
        self,
        server: Server,
        *,
        app: str,
        port: int,
        threads: int,
        log: Path,
        certificate: tuple[Path, Path] | None = None,
    ) -> list[str]:
        """The command line; `certificate` is the chain and its key, for TLS."""
        python = self.python(server)
        names: dict[str, object] = {
            "python": python,
            "bin": python.parent,
            "app": app,
            "port": port,
            "threads": threads,
            "log": log,
            "uwsgi_socket": f"--http=127.0.0.1:{port}",
        }
        command = server.command
        if certificate is not None:
            names["cert"], names["key"] = certificate
            names["uwsgi_socket"] = f"--https=127.0.0.1:{port},{certificate[0]},{certificate[1]}"
            command += f" {server.tls or ''}"
        return [word.format_map(names) for word in command.split()]


def free_port() -> int:
    """A port that nobody listens on now. Servers bind it with SO_REUSEADDR, all of them."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, of the kind that most sites have now."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(chain)]
    try:
        subprocess.run(argv, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerFailed(f"openssl made no certificate: {error}") from None
    return chain, key


def set_up(peers: Path, python: Path) -> None:
    """Make the peers' environment on the Python that runs ours, and install them. Takes minutes: two are
    compiled.

    bjoern needs libev's headers (Debian: libev-dev) and uwsgi a C compiler.
    """
    if not (peers / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", peers], check=True)
    for package in PEERS + _ALSO:
        # One at a time: a peer that does not build here is left out of the tables, not the others with it.
        subprocess.run([peers / "bin" / "python", "-m", "pip", "install", "--quiet", package], check=False)


_VERSIONS = """
import importlib.metadata, platform, sys
print(platform.python_implementation(), platform.python_version())
for name in sys.argv[1:]:
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        pass
"""


def versions(python: Path, packages: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The versions of a Python and of the packages that it has. Raises OSError when there is none."""
    said = subprocess.run(
        [python, "-c", _VERSIONS, *packages], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    first, *rest = said.splitlines()
    return first, {name: version for name, _, version in (line.partition(" ") for line in rest)}


def machine() -> dict[str, str]:
    """What the figures were taken on: kind of CPU, cores, memory, kernel; no names."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    kernel = ".".join(platform.release().split(".")[:2])
    return {
        "machine": f"{os.cpu_count()} cores of {models[0] if models else 'an unknown CPU'}, "
        f"{memory:.0f} GB of RAM, {platform.system()} {kernel}",
    }
