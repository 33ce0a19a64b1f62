"""The server's figures as a collector of prometheus_client (the extra `metrics`), and its text of a scrape.

An application that has metrics of its own in that library's registry finds them in the server's answer.
One that serves its registry itself can have the server's figures there:

    prometheus_client.REGISTRY.register(Collector(server))

This file alone imports the library.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from .families import families
from .fleet import take_fleet
from .subject import Subject

__all__ = ["Collector"]


class _Others:
    """What the application has registered, but for figures of ours that it has registered, too."""

    def collect(self) -> Iterator[Metric]:
        return (metric for metric in REGISTRY.collect() if not metric.name.startswith("dualwsgi_"))


class Collector:
    """Collects the figures of a server's whole fleet, whichever worker it is in."""

    def __init__(self, server: Subject) -> None:
        self._server = server

    def describe(self) -> list[Metric]:
        """Nothing: a registry would else take a snapshot to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; from any thread."""
        for name, kind, what, samples in families(take_fleet(self._server)):
            metric = Metric(name, what, kind)
            for end, labels, value in samples:
                metric.add_sample(name + end, dict(labels), value)
            yield metric

    def write(self, accept: str) -> tuple[str, str]:
        """Content-Type and text of a scrape by a client that has sent `accept`."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # of all workers, as that library gathers them
        elif not self._server.supervisor:
            registry.register(_Others())  # of one worker among many they would be a riddle
        encode, kind = choose_encoder(accept)
        return kind, encode(registry).decode()
