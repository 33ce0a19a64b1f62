"""Metrics and health: a scrape agrees with what was sent, whatever the server is busy with."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from serving import Kit, Served, answering
from table import table
from wire import Client, Response, eventually, request

import dualwsgi
from dualwsgi.serve.observe import metrics
from dualwsgi.serve.observe.families import BOUNDS


@pytest.fixture
def served(kit: Kit) -> Served:
    return kit.serve(answering(), metrics_bind="127.0.0.1:0")


def get(served: Served, target: str, method: str = "GET", *fields: str) -> Response:
    url = served.server.metrics_url
    assert url is not None
    with Client(url) as client:
        return client.send(request(method, target, *fields)).response(method)


LINE = re.compile(r'([a-z_:]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (-?[0-9.e+-]+|\+Inf)')


def scrape(served: Served) -> dict[str, float]:
    """Every sample by name and labels; the text has to be what the format allows."""
    answer = get(served, "/metrics")
    assert answer.status == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    found: dict[str, float] = {}
    kinds = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match is not None, line
            name = match[1]
            assert name in kinds or kinds[re.sub("_(bucket|sum|count)$", "", name)] == "histogram"
            sample = line.rpartition(" ")[0]
            assert sample not in found
            found[sample] = float(match[3])
    return found


def test_sent_is_exported(served: Served) -> None:
    for target in ("/a/1", "/a/2", "/b"):
        served.ask(request(target=target))
    served.ask(b"NONSENSE\r\n\r\n")
    found = eventually(lambda: scrape(served) if served.server.counters.requests == 4 else None)
    assert found['dualwsgi_requests_total{class="2xx"}'] == 3
    assert found['dualwsgi_requests_total{class="4xx"}'] == 1
    assert found["dualwsgi_connections_total"] == 4
    assert found["dualwsgi_errors_total"] == 1
    assert found["dualwsgi_request_seconds_count"] == 4
    assert found['dualwsgi_request_seconds_bucket{le="+Inf"}'] == 4
    assert found["dualwsgi_request_seconds_sum"] > 0
    buckets = [found[f'dualwsgi_request_seconds_bucket{{le="{bound:g}"}}'] for bound in BOUNDS]
    assert buckets == sorted(buckets)
    assert found['dualwsgi_route_requests_total{route="GET /a/*"}'] == 2


def test_what_clients_choose_cannot_break_the_text(served: Served) -> None:
    served.ask(request(target='/"\\{x="y"}'))
    # A response is out a moment before it is counted.
    found = eventually(lambda: scrape(served) if served.server.counters.requests else None)
    assert found['dualwsgi_route_requests_total{route="GET /\\"\\\\{x=\\"y\\"}"}'] == 1


def test_a_server_that_computes_without_end_is_scraped_all_the_same(kit: Kit) -> None:
    over = threading.Event()

    def spinning(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        while not over.is_set():
            pass
        return answering()(environ, start_response)

    served = kit.serve(spinning, metrics_bind="127.0.0.1:0", max_blocking_time=0)
    client = served.client().send(request())
    try:
        eventually(lambda: scrape(served).get('dualwsgi_connections_open{phase="running"}') == 1)
        assert get(served, "/livez").status == 200
    finally:
        over.set()
    assert client.response().status == 200


def test_readiness_ends_with_the_drain(served: Served) -> None:
    assert get(served, "/livez").status == get(served, "/readyz").status == 200
    served.server.draining = True
    assert get(served, "/readyz").status == 503
    assert get(served, "/livez").status == 200


@table(
    ("octets", "status"),
    [
        (request("GET", "/"), 404),
        (request("POST", "/metrics", body=b"x"), 405),
        (request("HEAD", "/livez"), 200),
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
    ],
)
def test_anything_else_gets_an_answer_that_says_so(served: Served, octets: bytes, status: int) -> None:
    url = served.server.metrics_url
    assert url is not None
    with Client(url) as client:
        answer = client.send(octets).response(octets.partition(b" ")[0].decode() or "GET")
        assert answer.status == status
        assert answer.get("Allow") == ("GET, HEAD" if status == 405 else None)  # RFC 9110 section 15.5.6
        assert answer["Date"].endswith(" GMT")
    assert get(served, "/livez").status == 200


def test_a_head_that_comes_octet_by_octet_holds_a_place_only_so_long(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = served.server.metrics_url
    assert url is not None
    with monkeypatch.context() as patched, Client(url) as client:
        patched.setattr(metrics, "PATIENCE", 0.2)
        client.send(b"GET /livez HTTP/1.1\r\nX: ")
        eventually(lambda: not client.send_if_taken(b"y"))
    assert get(served, "/livez").status == 200


def test_it_goes_with_its_server(served: Served) -> None:
    url = served.server.metrics_url
    served.stop()
    assert url is not None
    with pytest.raises(ConnectionRefusedError):
        Client(url)


@pytest.mark.parametrize(
    ("bind", "says"),
    [("nonsense", "names no port"), ("unix:/x", "is no TCP address"), ("192.0.2.1:9", "cannot listen")],
)
def test_an_address_that_cannot_be_is_refused(kit: Kit, bind: str, says: str) -> None:
    with pytest.raises(dualwsgi.ConfigError, match=says):
        kit.serve(answering(), metrics_bind=bind)


def test_a_port_in_use_is_refused(kit: Kit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(dualwsgi.ConfigError, match="metrics_bind: cannot listen"):
            kit.serve(answering(), metrics_bind=address)
