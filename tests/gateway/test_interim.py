"""Interim responses of the application: wsgi.early_hints and dualwsgi.send_interim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import Served, answering
from table import table
from wire import CLOSE, request

from dualwsgi.errors import ApplicationError, ClientGone

Serve = Callable[..., Served]
LINK = [("Link", "</style.css>; rel=preload; as=style")]


def hinting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Sends what it may, reads, and tries again when it may not."""
    send = environ["dualwsgi.send_interim"]
    send("102 Processing", [])
    environ["wsgi.early_hints"](LINK)
    send("199", [("X", "y")])
    body = environ["wsgi.input"].read()
    send("103 Late", [])
    start_response("200 OK", [])
    send("103 Later", [])
    yield body or b"none"
    send("103 Too Late", [])


def test_they_go_out_in_order_before_the_response(serve: Serve) -> None:
    client = serve(hinting).client()
    for method in ("GET", "HEAD", "GET"):
        answer = client.send(request(method)).response(method)
        assert [interim.octets for interim in answer.interim] == [
            b"HTTP/1.1 102 Processing\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n",
            b"HTTP/1.1 199 \r\nX: y\r\n\r\n",
            b"HTTP/1.1 103 Late\r\n\r\n",
            b"HTTP/1.1 103 Later\r\n\r\n",
        ]
        assert answer.status == 200


def test_100_continue_stands_among_them_where_the_body_is_read(serve: Serve) -> None:
    octets = request("POST", "/", "Expect: 100-continue", body=b"body")
    answer = serve(hinting).client().send(octets).response()
    assert [interim.status for interim in answer.interim] == [102, 103, 199, 100, 103, 103]
    assert answer.body == b"body"


def test_a_client_of_http_1_0_gets_none(serve: Serve) -> None:
    answer = serve(hinting).ask(request("POST", "/", body=b"body", version="1.0"))
    assert (answer.status, answer.interim, answer.body) == (200, [], b"body")


@table(
    ("status", "headers"),
    [
        ("100 Continue", []),
        ("101 Switching Protocols", [("Upgrade", "x")]),
        ("200 OK", []),
        ("103 Early\r\nX: y", []),
        ("103 Early", [("X", "a\r\nb")]),
        ("103 Early", [("Content-Length", "0")]),
        ("103 Early", [("Transfer-Encoding", "chunked")]),
        (103, []),
    ],
)
def test_what_must_not_be_sent_is_an_error_and_the_application_may_go_on(
    serve_in_turn: Serve, status: Any, headers: Any
) -> None:
    raised: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            environ["dualwsgi.send_interim"](status, headers)
        except ApplicationError as error:
            raised.append(error)
        return answering()(environ, start_response)

    served = serve_in_turn(app)
    for octets in (request(), request(version="1.0")):
        answer = served.ask(octets)
        assert (answer.status, answer.interim) == (200, [])
    assert len(raised) == 2


def test_whoever_keeps_the_means_writes_to_nobody_once_the_connection_is_closed(
    serve: Serve, clear_or_tls: str
) -> None:
    kept: list[Callable[..., None]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        kept.append(environ["wsgi.early_hints"])
        return answering()(environ, start_response)

    client = serve(app).client()
    assert client.send(request("GET", "/", CLOSE)).response().status == 200
    client.leave()
    # Not "Bad file descriptor": then it had tried to write, and that number is soon another client's.
    with pytest.raises(ClientGone, match="the connection is closed"):
        kept[0](LINK)
