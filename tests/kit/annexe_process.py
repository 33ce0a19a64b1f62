"""Run by annexe.py: serves applications by dualwsgi.eventlet, as it is told over a socket, line by line."""

from __future__ import annotations

import importlib.util
import io
import json
import socket
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from dualwsgi import eventlet
from dualwsgi.eventlet import wsgi


def load(path: str, *others: str) -> Any:
    """The module in the file `path`, with the names of those in the others."""
    name = f"annexe_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    for other in others:
        vars(module).update({name: value for name, value in vars(load(other)).items() if name[0] != "_"})
    return module


class Running:
    """One server that was asked for."""

    def __init__(self, apps: Any, app: str, options: dict[str, Any]) -> None:
        self.log = io.StringIO()
        tls, path, pool = options.pop("tls", None), options.pop("unix", None), options.pop("pool", None)
        in_main = options.pop("in_main", False)
        if options.pop("ipv6", False):
            sock = eventlet.listen(("::1", 0), socket.AF_INET6)
            self.address = f"http://[::1]:{sock.getsockname()[1]}"
        elif path is not None:
            sock = eventlet.listen(path, socket.AF_UNIX)
            self.address = f"unix:{path}"
        else:
            sock = eventlet.listen(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        if tls is not None:
            sock = eventlet.wrap_ssl(sock, certfile=tls, keyfile=tls, server_side=True)
        if "protocol" in options:
            options["protocol"] = getattr(apps, options["protocol"])
        if "log" in options:
            options["log"] = getattr(apps, options["log"])
        if pool is not None:
            own = isinstance(pool, str)
            options["custom_pool"] = getattr(apps, pool)() if own else eventlet.GreenPool(pool)
        options.setdefault("log", self.log)
        self._told = eventlet.Event()
        self._serve: Any = partial(wsgi.server, sock, getattr(apps, app), server_event=self._told, **options)
        self.server: Any = None
        self.thread: Any = None
        if not in_main:
            self.thread = eventlet.spawn(self._serve)
            self.server = self._told.wait(10)
            self._serve = None

    def serve_here(self) -> None:
        """Serves in the calling thread or greenlet, if it was to be served so; once."""
        serve, self._serve = self._serve, None
        if serve is not None:
            serve()
            self.server = self._told.wait(0)

    @property
    def has_returned(self) -> bool:
        return self.thread.dead if self.thread is not None else self._serve is None


def obey(order: dict[str, Any], apps: Any, running: list[Running]) -> Any:
    what = order["do"]
    if what == "serve":
        running.append(Running(apps, order["app"], order["options"]))
        return len(running) - 1, running[-1].address
    if what == "log":
        return running[order["number"]].log.getvalue()
    if what == "stop":
        return running[order["number"]].server.stop(order["timeout"])
    if what == "stop_soon":
        eventlet.spawn(running[order["number"]].server.stop)
        return None
    if what == "returned":
        return running[order["number"]].has_returned
    if what == "kill":
        eventlet.kill(running[order["number"]].thread, apps.ENDS[order["by"]])
        return None
    if what == "call":
        return getattr(apps, order["name"])(*order["args"])
    if what == "notes":
        notes, apps.NOTES[:] = apps.NOTES[:], []
        return notes
    assert what == "clear"
    for each in running:
        each.server.stop(0)
    apps.NOTES.clear()
    return None


def main() -> None:
    apps = load(*sys.argv[1:])
    control = eventlet.listen(("127.0.0.1", 0))
    print(control.getsockname()[1], flush=True)
    conn, _ = control.accept()
    lines = conn.makefile("rwb")
    running: list[Running] = []
    for line in lines:
        try:
            answer: dict[str, Any] = {"result": obey(json.loads(line), apps, running)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        lines.write(json.dumps(answer).encode() + b"\n")
        lines.flush()
        if running:
            running[-1].serve_here()


main()
