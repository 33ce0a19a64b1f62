"""Snapshots of one server or many, each read in a thread of its own, and commands to them."""

from __future__ import annotations

import threading
from typing import Any

from dualwsgi.errors import DualwsgiError
from dualwsgi.serve.observe.client import Attached, ask_all, attach, find

__all__ = ["Feed"]

LOOK_AGAIN = 1.0
"""Seconds between two looks for servers that have come."""


class Feed:
    """The servers at `where` (a socket, a directory of them, None for all of this user's).

    `error` says why there is nothing to see.
    """

    def __init__(self, where: str | None, every: float) -> None:
        self._where = where
        self._every = every
        self._lock = threading.Lock()
        self._latest: dict[str, dict[str, Any]] = {}
        self._departed: dict[str, dict[str, Any]] = {}
        self._attached: dict[str, Attached] = {}
        self._followed: set[str] = set()  # those, and who has not answered yet
        self._stop = threading.Event()
        self.error = ""
        self.seen = False  # there was a server
        self.came = threading.Event()  # a snapshot, or the news that there is none
        threading.Thread(target=self._look_out, name="dualwsgi-top", daemon=True).start()

    def latest(self) -> list[dict[str, Any]]:
        """The newest snapshot of each server that is there."""
        with self._lock:
            return list(self._latest.values())

    def departed(self) -> dict[str, dict[str, Any]]:
        """By lineage, what workers that have left had counted; see Ledger.departed()."""
        with self._lock:
            return dict(self._departed)

    def close(self) -> None:
        self._stop.set()
        with self._lock:
            for server in self._attached.values():
                server.close()

    def tell(self, do: str, one: bool = False, **arguments: Any) -> list[Any]:
        """Every server's answer, or only that of one.  Raises DualwsgiError."""
        with self._lock:
            paths = list(self._attached)[: 1 if one else None]
        return [answer for _, answer in ask_all(paths, do, **arguments)]

    def _look_out(self) -> None:
        while not self._stop.is_set():
            try:
                for path in find(self._where):
                    self._follow(str(path))
                if not self._followed and not self.error:
                    self.error = "no server is running there"
            except DualwsgiError as error:
                self.error = str(error)
            if not self._followed:
                self.came.set()
            self._ask_for_departed()
            self._stop.wait(LOOK_AGAIN)

    def _ask_for_departed(self) -> None:
        """Of one worker of each fleet, which speaks for all."""
        with self._lock:
            paths = {one["workers"][0].get("lineage", ""): path for path, one in self._latest.items()}
        answers = {}
        for lineage, path in paths.items():
            if lineage:
                try:
                    answers[lineage] = ask_all([path], "departed")[0][1]
                except DualwsgiError:  # it has just left; another one will say
                    answers[lineage] = self._departed.get(lineage, {})
        with self._lock:
            self._departed = answers

    def _follow(self, path: str) -> None:
        with self._lock:
            if path in self._followed or self._stop.is_set():
                return
            self._followed.add(path)
        threading.Thread(target=self._read, args=(path,), name="dualwsgi-feed", daemon=True).start()

    def _read(self, path: str) -> None:
        server: Attached | None = None
        try:
            server = attach(path)  # which takes a while where a server stands still
            with self._lock:
                self._attached[path] = server
            for snapshot in server.stream(self._every):
                if self._stop.is_set():
                    break
                with self._lock:
                    self._latest[path] = snapshot
                self.seen = True
                self.came.set()
        except (DualwsgiError, OSError, ValueError) as error:
            self.error = str(error)
        finally:
            with self._lock:
                self._latest.pop(path, None)
                self._attached.pop(path, None)
                self._followed.discard(path)
                nobody = not self._followed
            if server is not None:
                server.close()
            if nobody:
                self.came.set()
