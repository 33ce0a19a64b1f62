"""Metrics by prometheus_client: the same as without it, and more can stand beside them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from serving import Kit, Served, answering
from wire import Client, Response, eventually, request

prometheus_client = pytest.importorskip("prometheus_client")

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics  # noqa: E402 (or there is nothing to test)
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402 (or there is nothing to test)

from dualwsgi.serve.observe.collector import Collector  # noqa: E402 (or there is nothing to test)


@pytest.fixture
def served(kit: Kit) -> Served:
    return kit.serve(answering(), metrics_bind="127.0.0.1:0")


def get(served: Served, *fields: str) -> Response:
    url = served.server.metrics_url
    assert url is not None
    with Client(url) as client:
        return client.send(request("GET", "/metrics", *fields)).response()


def test_the_library_and_the_server_alone_write_the_same(served: Served) -> None:
    served.ask(request(target='/a"1\\'))
    eventually(lambda: served.server.counters.requests)
    text = get(served).body.decode()
    assert served.server._watchers.metrics is not None
    served.server._watchers.metrics._collector = None
    alone = get(served).body.decode()

    def parsed(text: str) -> dict[Any, float]:
        return {
            (sample.name, *sample.labels.items()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not re.search("worker_|connections_open", sample.name)  # these change
        }

    ours, found = parsed(alone), parsed(text)
    assert ours
    assert {name: found.get(name) for name in ours} == ours
    assert len(ours) > 30


def test_openmetrics_is_spoken_to_who_asks_and_holds_the_application_s_own_metrics(served: Served) -> None:
    baked = prometheus_client.Counter("baked_loaves", "Of the application.")
    try:
        baked.inc(3)
        served.ask()
        eventually(lambda: served.server.counters.requests == 1)
        accept = "Accept: application/openmetrics-text; version=1.0.0,text/plain;q=0.5"
        answer = get(served, accept)
        assert answer["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        text = answer.body.decode()
        parsed = {family.name: family for family in parse_openmetrics(text)}
        assert parsed["baked_loaves"].samples[0].value == 3
        assert sum(sample.value for sample in parsed["dualwsgi_requests"].samples) == 1
        assert parsed["dualwsgi_request_seconds"].type == "histogram"
    finally:
        prometheus_client.REGISTRY.unregister(baked)


def test_a_server_that_is_in_the_application_s_registry_is_told_of_once(served: Served) -> None:
    ours = Collector(served.server)
    prometheus_client.REGISTRY.register(ours)
    try:
        assert get(served).body.decode().count("# TYPE dualwsgi_requests_total ") == 1
    finally:
        prometheus_client.REGISTRY.unregister(ours)


def test_an_application_can_have_them_in_its_own_registry(served: Served) -> None:
    registry = prometheus_client.CollectorRegistry()
    registry.register(Collector(served.server))
    served.ask()
    wanted = {"class": "2xx"}
    eventually(lambda: registry.get_sample_value("dualwsgi_requests_total", wanted) == 1)
