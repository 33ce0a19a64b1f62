"""Run by annexe.py: serves applications by dualwsgi.eventlet, as it is told over a socket, line by line."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import traceback
from typing import Any

from dualwsgi import eventlet
from dualwsgi.eventlet import wsgi


def load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("annexe_apps", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["annexe_apps"] = module
    spec.loader.exec_module(module)
    return module


class Running:
    """One server that was asked for."""

    def __init__(self, apps: Any, app: str, options: dict[str, Any]) -> None:
        import socket

        self.log = io.StringIO()
        tls, path, pool = options.pop("tls", None), options.pop("unix", None), options.pop("pool", None)
        if path is not None:
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
            options["custom_pool"] = eventlet.GreenPool(pool)
        options.setdefault("log", self.log)
        told = eventlet.Event()
        self.thread = eventlet.spawn(wsgi.server, sock, getattr(apps, app), server_event=told, **options)
        self.server = told.wait(10)


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
        return running[order["number"]].thread.dead
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
    apps = load(sys.argv[1])
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


main()
