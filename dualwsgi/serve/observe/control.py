"""The control socket: whoever may open it sees what the server does, and tells it to do otherwise.

    {"do": "snapshot"}                     -> {"ok": {...}}
    {"do": "stream", "every": 0.25}        -> {"ok": {...}} four times a second
    {"do": "set", "threads": 64}           -> {"ok": {"threads": 64}}

Lines of JSON over a unix socket, documented in docs/control-protocol.md.  Who may connect is decided
by the file system: the socket has mode 0600, in a directory of the user's own.

It is served by native threads, one to accept and one for each client, on blocking native sockets.  So
a hub that is kept busy cannot hide itself, and a client that reads slowly or not at all waits alone.
"""

from __future__ import annotations

import _socket
import errno
import logging
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final

from ..._version import __version__
from ...config import AUTO, knobs
from ...errors import ConfigError
from ...native import native_sleep, start_native
from .snapshot import take
from .subject import Subject
from .whereabouts import PROTOCOL, home

__all__ = ["Control"]

MOST_CLIENTS: Final = 16
LINE_MAX: Final = 65536
"""Octets of a command."""

PATIENCE: Final = 5.0
"""Seconds that a client may leave unread what it asked for."""

MOST_STEPS: Final = 64
"""Workers by which a fleet grows or shrinks at one command."""

SHORTEST: Final = 0.05
LONGEST: Final = 3600.0
"""Seconds between two snapshots of a stream."""

logger = logging.getLogger("dualwsgi")


class _Refused(Exception):
    """A command that makes no sense; the text says why and what would."""


class Control:
    """Serves one server's control socket, from construction until close().

    `where` is a path (of a worker: PATH.PID), one that ends with a slash for `PID.sock` in that
    directory, or AUTO for one of its own in home().  Raises ConfigError if it cannot be bound.
    """

    def __init__(self, server: Subject, where: str) -> None:
        self._server = server
        self._clients: set[_socket.socket] = set()
        self._closed = False
        self._threads = [0]  # one entry each
        if server.supervisor and where != AUTO and not where.endswith("/"):
            where += f".{os.getpid()}"  # each worker has its own
        self.path = _prepare(where)
        if server.supervisor:
            from .fleet import open_ledger

            open_ledger(server, self.path.parent)
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            _bind(self._listener, self.path)
        except OSError as error:
            self._listener.close()
            raise ConfigError(
                f"control_socket: cannot listen at {str(self.path)!r}: {error.strerror}; "
                "give a path in a directory that you may write to, or 'off'"
            ) from None
        start_native(self._accept)

    def close(self) -> None:
        """Ends it; clients are cut off.  May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._server.supervisor:
            from .fleet import leave_behind

            leave_behind(self._server, self.path.parent)
        self.path.unlink(missing_ok=True)
        _cut(self._listener)
        for client in list(self._clients):  # an answer that is being made, to `drain` say, still goes out
            _cut(client, _socket.SHUT_RD)
        for turn in range(200):
            if not self._threads:
                break
            if turn == 100:
                for client in list(self._clients):
                    _cut(client)
            native_sleep(0.005)

    # In threads of its own

    def _accept(self) -> None:
        listener: Any = self._listener
        while not self._closed:
            try:
                number, _ = listener._accept()
            except OSError:
                native_sleep(0.1)  # it is closed, or there are no descriptors
                continue
            client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, number)
            client.settimeout(PATIENCE)
            if len(self._clients) >= MOST_CLIENTS:
                _say_if_possible(client, {"error": f"{MOST_CLIENTS} clients are here already; close one"})
                client.close()
                continue
            self._clients.add(client)
            self._threads.append(0)
            start_native(self._serve, client)
        listener.close()
        self._threads.pop()

    def _serve(self, client: _socket.socket) -> None:
        try:
            _say(client, {"dualwsgi": __version__, "protocol": PROTOCOL, "pid": os.getpid()})
            lines = _Lines(client)
            while not self._closed:
                line = lines.next(None)
                if not line:
                    break
                self._answer(client, line, lines)
        except (OSError, _Refused) as error:
            if isinstance(error, _Refused):
                _say_if_possible(client, {"error": str(error)})
        except Exception as error:
            _say_if_possible(client, {"error": f"the server failed over this: {error!r}"})
        finally:
            self._clients.discard(client)
            client.close()
            self._threads.pop()

    def _answer(self, client: _socket.socket, line: bytes, lines: _Lines) -> None:
        import json  # late: a server that nobody watches starts without it

        command: Any = None
        try:
            try:
                command = json.loads(line)
            except ValueError:
                raise _Refused("this is no JSON; send one object a line") from None
            if not isinstance(command, dict):
                raise _Refused('send an object such as {"do": "snapshot"}')
            name = command.get("do")
            act = self._COMMANDS.get(name) if isinstance(name, str) else None
            if act is None:
                raise _Refused(f"do {name!r} is not known; do {', '.join(self._COMMANDS)}")
            tag = {"id": command["id"]} if "id" in command else {}
            if act is Control._stream:
                self._stream(command, client, lines, tag)
            else:
                _say(client, {"ok": act(self, command), **tag})
        except _Refused as error:
            tag = {"id": command["id"]} if isinstance(command, dict) and "id" in command else {}
            _say(client, {"error": str(error), **tag})

    # The commands

    def _snapshot(self, command: dict[str, Any]) -> Any:
        return take(self._server)

    def _stream(
        self, command: dict[str, Any], client: _socket.socket, lines: _Lines, tag: dict[str, Any]
    ) -> None:
        """Until the client says anything, or is gone."""
        every = command.get("every", 1.0)
        if not isinstance(every, int | float) or not SHORTEST <= every <= LONGEST:
            raise _Refused(f"every: {every!r} is no time; give {SHORTEST:g} to {LONGEST:g} seconds")
        due = monotonic()
        while not self._closed:
            _say(client, {"ok": take(self._server), **tag})
            # What could not be sent in time is left out, not sent in a heap.
            due = max(due + every, monotonic())
            if lines.wait(due - monotonic()):
                break

    def _fleet(self, command: dict[str, Any]) -> Any:
        from .fleet import take_fleet

        return take_fleet(self._server)

    def _departed(self, command: dict[str, Any]) -> Any:
        from .fleet import departed

        return departed(self._server, self.path.parent)

    def _stacks(self, command: dict[str, Any]) -> Any:
        from .stacks import take_stacks

        request = command.get("request")
        if request is not None and not isinstance(request, str):
            raise _Refused("request: give an id as in the list of requests in flight")
        return take_stacks(self._server, request)

    def _drain(self, command: dict[str, Any]) -> Any:
        if self._server.supervisor:
            self._signal(signal.SIGTERM)
        else:
            self._server.request_stop()
        return {"draining": True}

    def _reload(self, command: dict[str, Any]) -> Any:
        self._signal(signal.SIGHUP)
        return {"reloading": True}

    def _scale(self, command: dict[str, Any]) -> Any:
        by = command.get("by")
        if not isinstance(by, int) or isinstance(by, bool) or not 0 < abs(by) <= MOST_STEPS:
            raise _Refused(f"by: {by!r} is no number of workers; give -{MOST_STEPS} to {MOST_STEPS}, not 0")
        self._step(by)
        return {"by": by}

    def _step(self, by: int) -> None:
        for _ in range(abs(by)):
            self._signal(signal.SIGTTIN if by > 0 else signal.SIGTTOU)
            native_sleep(0.02)  # two of a kind at once would be one

    def _steps_to(self, workers: Any) -> int:
        """How many workers more make as many as are wanted; of the fleet as it is now."""
        if not self._server.supervisor:
            raise _Refused("workers: there is no supervisor over this process; start with --supervise")
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise _Refused(f"workers: {workers!r} is no number of workers; give 1 or more")
        fleet = self._fleet({})["workers"]  # of the lineage: an elder supervisor may still be leaving
        by: int = workers - sum(worker["supervisor"] == self._server.supervisor for worker in fleet)
        if abs(by) > MOST_STEPS:
            raise _Refused(f"workers: {workers} are too many at one time; go by {MOST_STEPS} at most")
        return by

    def _signal(self, number: signal.Signals) -> None:
        supervisor = self._server.supervisor
        if not supervisor:
            raise _Refused("there is no supervisor over this process; start with --supervise or --workers 2")
        os.kill(supervisor, number)

    def _set(self, command: dict[str, Any]) -> Any:
        wanted = {name: value for name, value in command.items() if name not in ("do", "id")}
        unknown = set(wanted) - {"log_level", "phase_clock", "threads", "concurrency", "workers"}
        if unknown or not wanted:
            raise _Refused(
                f"set {', '.join(sorted(unknown)) or 'nothing'}: "
                "give log_level, phase_clock, threads or workers"
            )
        by = self._steps_to(wanted["workers"]) if "workers" in wanted else 0
        settings = {name: value for name, value in wanted.items() if name != "workers"}
        for name, value in settings.items():
            try:
                knobs()[name].check(value, name)
            except ConfigError as error:
                raise _Refused(str(error)) from None
        for name, value in settings.items():
            if name == "log_level":
                # By hand what setLevel() does, which takes a lock that a hub's greenlet may hold.
                logger.level = getattr(logging, value.upper())
                for other in (logger, *list(logging.Logger.manager.loggerDict.values())):
                    getattr(other, "_cache", {}).clear()
            elif name == "phase_clock":
                self._server.set_phase_clock(value)
            else:
                self._server.set_limit(value)
        self._step(by)
        return wanted

    _COMMANDS: Final[dict[str, Callable[..., Any]]] = {
        "snapshot": _snapshot,
        "fleet": _fleet,
        "stream": _stream,
        "departed": _departed,
        "stacks": _stacks,
        "set": _set,
        "drain": _drain,
        "reload": _reload,
        "scale": _scale,
    }


# Octets


class _Lines:
    """The lines that come in at a socket."""

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock
        self._held = b""

    def next(self, timeout: float | None) -> bytes:
        """The next line without its end, b"" at the end of all; raises TimeoutError."""
        while b"\n" not in self._held:
            if len(self._held) > LINE_MAX:
                raise _Refused(f"a command has at most {LINE_MAX} bytes")
            self._sock.settimeout(timeout)
            try:
                data = self._sock.recv(65536)
            finally:
                self._sock.settimeout(PATIENCE)
            if not data:
                return b""
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line or b" "

    def wait(self, seconds: float) -> bool:
        """Waits so long; whether anything came, or the end."""
        if self._held:
            return True
        try:
            # A timeout of 0 would mean not to wait at all, and is another error.
            self._held = self.next(max(0.001, seconds)) + b"\n"
        except TimeoutError:
            return False
        return True


def _say(sock: _socket.socket, what: dict[str, Any]) -> None:
    import json

    sock.sendall(json.dumps(what, separators=(",", ":")).encode("ascii") + b"\n")


def _say_if_possible(sock: _socket.socket, what: dict[str, Any]) -> None:
    try:
        _say(sock, what)
    except OSError:
        pass


def _cut(sock: _socket.socket, how: int = _socket.SHUT_RDWR) -> None:
    """Ends whatever waits on it in another thread, which then closes it."""
    try:
        sock.shutdown(how)
    except OSError:
        pass


# The place


def _prepare(where: str) -> Path:
    """The path, with a directory that is there.  Raises ConfigError."""
    if where.endswith("/"):
        return Path(where).absolute() / f"{os.getpid()}.sock"
    if where != AUTO:
        path = Path(where).absolute()
        if not path.parent.is_dir():
            raise ConfigError(
                f"control_socket: there is no directory {str(path.parent)!r}; make it, with mode 0700"
            )
        return path
    directory = home()
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ConfigError(
            f"control_socket: cannot make {str(directory)!r}: {error.strerror}; give a path, or 'off'"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"control_socket: {str(directory)!r} is not a directory that only you can enter; "
            "remove it, give a path, or 'off'"
        )
    pid = os.getpid()
    taken = {path.name for path in directory.glob(f"{pid}*.sock")}
    names = (f"{pid}{f'-{number}' if number else ''}.sock" for number in range(len(taken) + 1))
    return directory / next(name for name in names if name not in taken)


def _bind(sock: _socket.socket, path: Path) -> None:
    """Listens there, for this user alone.  Raises OSError."""
    if path.is_socket():
        probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            if probe.connect_ex(str(path)) == 0:
                raise OSError(errno.EADDRINUSE, "another server listens there")
        finally:
            probe.close()
        path.unlink()
    sock.bind(str(path))
    # Nobody can connect before listen(), so there is no moment in which others could.
    path.chmod(0o600)
    sock.listen(MOST_CLIENTS)
