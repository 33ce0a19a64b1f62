"""The other end of the control socket: for the command line, for scripts, for other workers.

Its sockets are the C ones, which block their thread even where a green backend has patched the library.

with attach("/run/user/1000/dualwsgi/4711.sock") as server:
    print(server.ask("snapshot")["totals"]["requests"])
"""

from __future__ import annotations

import _socket
import glob
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import DualwsgiError
from .whereabouts import PROTOCOL, home

__all__ = ["Attached", "ControlError", "ServerGone", "Unanswered", "ask_all", "attach", "find"]

PATIENCE = 10.0
"""Seconds that a server may take to answer."""


class ControlError(DualwsgiError):
    """What was asked could not be answered; the text says why in one line."""


class ServerGone(ControlError):
    """There is nobody at the socket, or no longer."""


class Unanswered(ServerGone):
    """There is somebody, who does not answer."""


class Attached:
    """A connection to one server's control socket.  For one thread at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self._sock = _socket.socket(_socket.AF_UNIX)
        self._sock.settimeout(PATIENCE)
        self._held = b""
        try:
            self._sock.connect(self.path)
            greeting = self._read()
        except TimeoutError:
            self._sock.close()
            raise self._unanswered() from None
        except OSError as error:
            self._sock.close()
            raise ServerGone(f"nobody answers at {self.path}: {error.strerror or error}") from None
        except ControlError:
            self._sock.close()
            raise
        self.pid: int = greeting.get("pid", 0)
        self.version: str = greeting.get("dualwsgi", "")
        if greeting.get("protocol") != PROTOCOL:
            self._sock.close()
            raise ControlError(
                f"the server at {self.path} (dualwsgi {self.version}) speaks protocol "
                f"{greeting.get('protocol')!r} and this program {PROTOCOL}; use the server's own `dualwsgi`"
            )

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to one command.  Raises ControlError."""
        self._send({"do": do, **arguments})
        return self._answer()

    def stream(self, every: float) -> Iterator[dict[str, Any]]:
        """Snapshots, `every` so many seconds, until the server is gone or this is closed."""
        self._send({"do": "stream", "every": every})
        self._sock.settimeout(every + PATIENCE)
        while True:
            snapshot: dict[str, Any] = self._answer()
            yield snapshot

    def _send(self, command: dict[str, Any]) -> None:
        try:
            self._sock.sendall(json.dumps(command).encode() + b"\n")
        except OSError as error:
            raise ServerGone(f"the server at {self.path} is gone: {error.strerror or error}") from None

    def _unanswered(self) -> Unanswered:
        return Unanswered(
            f"the server at {self.path} has not answered for {PATIENCE:g} s: it is stopped, or compiled code "
            "that it has called keeps it from running"
        )

    def _answer(self) -> Any:
        try:
            answer = self._read()
        except TimeoutError:
            raise self._unanswered() from None
        except OSError as error:
            raise ServerGone(f"the server at {self.path} is gone: {error.strerror or error}") from None
        if "error" in answer:
            raise ControlError(str(answer["error"]))
        return answer.get("ok")

    def _read(self) -> dict[str, Any]:
        pieces = [self._held]
        while b"\n" not in pieces[-1]:
            data = self._sock.recv(1 << 18)
            if not data:
                raise ServerGone(f"the server at {self.path} has closed the connection")
            pieces.append(data)
        line, _, self._held = b"".join(pieces).partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ControlError(f"what listens at {self.path} is no dualwsgi")
        return answer


def attach(path: str | os.PathLike[str]) -> Attached:
    """Connects.  Raises ControlError."""
    return Attached(path)


def ask_all(paths: Iterable[str | os.PathLike[str]], do: str, **arguments: Any) -> list[tuple[int, Any]]:
    """The pid and the answer of each server; those that have gone meanwhile are passed over.

    Raises ControlError if one refuses or all have gone.
    """
    answers = []
    gone: ServerGone | None = None
    for path in paths:
        try:
            with Attached(path) as server:
                answers.append((server.pid, server.ask(do, **arguments)))
        except ServerGone as error:
            gone = error
    if gone is not None and not answers:
        raise gone
    return answers


def find(where: str | os.PathLike[str] | None = None) -> Sequence[Path]:
    """The sockets of running servers: `where` itself, or those in it if it is a directory.

    Without `where`, those of this user.  Sockets that servers left behind when they were killed are
    removed from this user's own directory.
    """
    place = Path(where) if where is not None else home()
    try:
        if not place.exists() and (workers := sorted(place.parent.glob(f"{glob.escape(place.name)}.*"))):
            return workers
        if not stat.S_ISDIR(place.stat().st_mode):
            return [place]
        sockets = sorted(path for path in place.iterdir() if path.is_socket())
    except OSError as error:
        if where is None:
            return []
        raise ControlError(f"cannot look at {str(place)!r}: {error.strerror}") from None
    living = []
    for path in sockets:
        probe = _socket.socket(_socket.AF_UNIX)
        probe.settimeout(PATIENCE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            if where is None:
                path.unlink(missing_ok=True)
        except OSError:
            pass
        else:
            living.append(path)
        finally:
            probe.close()
    return living
