"""What runs in locust's process: orders come as JSON lines on standard input, results go as JSON lines back.

    python -m dualwsgi.compare.driver '{"asks": [...]}'          the same requests, without a pause
    python -m dualwsgi.compare.driver '{"locustfile": "..."}'    the users of a locust file

Locust patches the standard library when it is imported, and so may stand in no other process than this.
Nobody imports this module.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import sys
import time
from typing import Any

import locust  # patches first
import locust.env
import locust.util.load_locustfile
from gevent import sleep
from locust.contrib.fasthttp import FastHttpUser

from dualwsgi.compare.answers import Answers
from dualwsgi.compare.process import waited_for_cpu
from dualwsgi.compare.traffic import bucket

SPAWNING = 60.0
"""Seconds that all users together may take to start."""


class Counter:
    """Counts what locust's users report."""

    def __init__(self) -> None:
        self.answers: Answers | None = None
        self.reset()

    def reset(self) -> None:
        self.counts: dict[int, int] = {}
        self.errors: dict[str, int] = {}
        self.requests = 0
        self.worst = 0.0

    def on_request(
        self,
        request_type: str,
        name: str,
        response_time: float,
        exception: Any = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        self.requests += 1
        if exception is not None:
            status = response.status_code if response is not None else 0
            said = f"{type(exception).__name__}{f' ({status})' if status else ''}"
            if said in self.errors or len(self.errors) < 20:
                self.errors[said] = self.errors.get(said, 0) + 1
            else:
                self.errors["others"] = self.errors.get("others", 0) + 1
        elif response_time is not None:
            seconds = response_time / 1000
            index = bucket(seconds)
            self.counts[index] = self.counts.get(index, 0) + 1
            self.worst = max(self.worst, seconds)
        if self.answers is not None and response is not None and response.status_code:
            headers = [(key, value) for key, value in (response.headers or {}).items()]
            body = None
            with contextlib.suppress(Exception):  # a body that was streamed is gone
                body = response.content
            self.answers.add(f"{request_type} {name}", response.status_code, headers, body)

    def said(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "counts": sorted(self.counts.items()),
            "worst": self.worst,
        }


def visitor(asks: list[dict[str, Any]]) -> type[Any]:
    """A user that sends `asks` in turn, without a pause, on one connection that is kept."""
    starts = itertools.cycle(range(len(asks)))

    def visit(user: Any) -> None:
        if not hasattr(user, "turn"):
            user.turn = next(starts)  # not all users send the same at the same time
        one = asks[user.turn % len(asks)]
        user.turn += 1
        user.client.request(
            one["method"],
            one["path"],
            headers=one["headers"],
            data=one["body"].encode("latin-1") or None,
            allow_redirects=False,
        )

    return type("Visitor", (FastHttpUser,), {"tasks": [visit]})


def users_of(path: str) -> list[type[Any]]:
    found = locust.util.load_locustfile.load_locustfile(os.path.abspath(path))
    # Older versions put the file's docstring first.
    classes = next(part for part in found if isinstance(part, dict))
    if not classes:
        raise ValueError(f"{path} defines no user: a class that inherits from HttpUser or FastHttpUser")
    return list(classes.values())


def measure(environment: Any, counter: Counter, order: dict[str, Any], tell: Any) -> dict[str, Any]:
    host = f"http://127.0.0.1:{order['port']}"
    environment.host = host
    for user in environment.user_classes:
        user.host = host  # whatever the file says: it must not load something else
    runner = environment.runner
    counter.answers = Answers() if order["look"] else None
    runner.start(order["users"], spawn_rate=max(100, order["users"]))
    try:
        end = time.monotonic() + SPAWNING
        while runner.user_count < order["users"]:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"only {runner.user_count} of {order['users']} users started in {SPAWNING:g} s"
                )
            sleep(0.01)
        sleep(order["settle"])
        counter.reset()
        cpu, waited, begun = time.process_time(), waited_for_cpu(os.getpid()), time.perf_counter()
        tell({"begun": True})
        sleep(order["seconds"])
        said = counter.said()
        said["seconds"] = time.perf_counter() - begun
        said["cpu"] = time.process_time() - cpu
        said["waited"] = max(0.0, waited_for_cpu(os.getpid()) - waited)
        tell({"ended": True})
    finally:
        runner.stop()
        # Users are gone and their connections are not, while an error of theirs is remembered or the rings
        # of references that they are made of stand: the server would take them for idle clients.
        environment.stats.clear_all()
        gc.collect()
    if counter.answers is not None:
        said["answers"] = counter.answers.seen
    return said


def main() -> None:
    # What a locust file prints must not come among the results.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(said: dict[str, Any]) -> None:
        out.write(json.dumps(said) + "\n")
        out.flush()

    try:
        plan = json.loads(sys.argv[1])
        classes = users_of(plan["locustfile"]) if "locustfile" in plan else [visitor(plan["asks"])]
        environment = locust.env.Environment(user_classes=classes, events=locust.events)
        environment.create_local_runner()
        counter = Counter()
        environment.events.request.add_listener(counter.on_request)
        environment.events.init.fire(environment=environment, runner=environment.runner, web_ui=None)
    except Exception as error:
        tell({"failed": f"{type(error).__name__}: {error}"})
        return
    tell({"ready": locust.__version__})
    for line in sys.stdin:
        try:
            tell({"result": measure(environment, counter, json.loads(line), tell)})
        except Exception as error:
            tell({"failed": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
