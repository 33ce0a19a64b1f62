"""A process that serves applications by dualwsgi.eventlet, and what a test asks of it.

The annexe chooses its backend once a process, so each backend has one of its own, which is kept for
the whole session; its servers live for one test.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from wire import PATIENCE, Client, Response, eventually, request

PROCESS = Path(__file__).parent / "annexe_process.py"


class Annexe:
    """A process of `backend` with the applications of the files `apps`."""

    def __init__(self, backend: str, *apps: Path) -> None:
        self.backend = backend
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(PROCESS), *map(str, apps)],
            env={**os.environ, "DUALWSGI_BACKEND": backend},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline()
        if not port:
            raise AssertionError(self._process.communicate()[1])
        self._control = socket.create_connection(("127.0.0.1", int(port)), PATIENCE)
        self._lines = self._control.makefile("rw")

    def order(self, do: str, **rest: Any) -> Any:
        self._lines.write(json.dumps({"do": do, **rest}) + "\n")
        self._lines.flush()
        answer = json.loads(self._lines.readline() or '{"error": "the process has ended"}')
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def serve(self, app: str, **options: Any) -> AnnexeServer:
        """wsgi.server(listen(...), app, **options); `tls`, `unix`, `ipv6` and `pool` say on what and in what.

        `in_main`: in the main thread or greenlet, so that the process obeys again when the server has ended.
        """
        return AnnexeServer(self, *self.order("serve", app=app, options=options))

    def call(self, name: str, *args: Any) -> Any:
        """A function of the file of applications, called in a greenlet or thread of the process."""
        return self.order("call", name=name, args=args)

    def notes(self) -> list[Any]:
        """What the applications have noted since the last time."""
        return self.order("notes")

    def clear(self) -> None:
        self.order("clear")

    def close(self) -> str:
        """Ends it; what it has said on standard error."""
        self._lines.close()
        self._control.close()
        try:
            return self._process.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            self._process.kill()
            return "the process did not end: " + self._process.communicate()[1]


class AnnexeServer:
    """One server of the process."""

    def __init__(self, annexe: Annexe, number: int, address: str) -> None:
        self._annexe = annexe
        self._number = number
        self.address = address

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def client(self, **options: Any) -> Client:
        return Client(self.address, **options)

    def ask(self, octets: bytes | None = None, method: str = "GET") -> Response:
        """One request on a connection of its own; when this returns, it is in the log, too."""
        with self.client() as client:
            client.send(request() if octets is None else octets)
            answer = client.response(method)
            client.leave()
            return answer

    @property
    def log(self) -> str:
        return str(self._annexe.order("log", number=self._number))

    def logs(self, text: str) -> str:
        """The whole log, once it holds `text`."""
        return eventually(lambda: log if text in (log := self.log) else "")

    def stop(self, timeout: float | None = None) -> bool:
        return bool(self._annexe.order("stop", number=self._number, timeout=timeout))

    def kill(self, by: str) -> None:
        """kill() of its thread or greenlet, by one of apps.ENDS."""
        self._annexe.order("kill", number=self._number, by=by)

    @property
    def has_returned(self) -> bool:
        return bool(self._annexe.order("returned", number=self._number))
