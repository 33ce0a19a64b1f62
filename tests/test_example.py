"""The bundled example keeps to PEP 3333 and answers as its index page says."""

from __future__ import annotations

import io
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from table import table

from dualwsgi import example

Answer = tuple[str, dict[str, str], bytes]


def call(method: str, path: str, query: str = "", body: bytes = b"", **environ: Any) -> Answer:
    environ |= {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query}
    environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    setup_testing_defaults(environ)
    said: list[Any] = []
    result = validator(example.app)(environ, lambda *args: said.extend(args) or (lambda data: None))
    try:
        content = b"".join(result)
    finally:
        result.close()  # type: ignore[attr-defined]
    return said[0], dict(said[1]), content


@pytest.mark.parametrize("path", [path for path, route in example.ROUTES.items() if "GET" in route.methods])
def test_every_get_route_answers_200(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example.time, "sleep", lambda seconds: None)
    status, headers, body = call("GET", path)
    assert status == "200 OK"
    assert body
    assert headers.get("Content-Length", str(len(body))) == str(len(body))


def test_the_index_page_links_every_route() -> None:
    page = call("GET", "/", SERVER_SOFTWARE="<server>")[2].decode()
    for path in example.ROUTES:
        assert f"href='{path}'" in page
    assert "&lt;server&gt;" in page


@pytest.mark.parametrize("path", ["/echo", "/upload"])
def test_bodies_are_read_to_their_length_and_no_further(path: str) -> None:
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_LENGTH": "3"}
    setup_testing_defaults(environ)
    environ["wsgi.input"] = io.BytesIO(b"abcdef")
    body = b"".join(example.app(environ, lambda status, headers: None))
    assert body == {"/echo": b"abc", "/upload": b"3 bytes\n"}[path]


def test_an_input_that_ends_by_itself_is_read_to_its_end() -> None:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/upload",
        "wsgi.input_terminated": True,
    }
    setup_testing_defaults(environ)
    environ["wsgi.input"] = io.BytesIO(b"x" * 200_000)
    assert b"".join(example.app(environ, lambda status, headers: None)) == b"200000 bytes\n"


def test_echo_keeps_the_content_type_and_forbids_running_it() -> None:
    _, headers, body = call("POST", "/echo", body=b"<script>", CONTENT_TYPE="text/html")
    assert body == b"<script>"
    assert headers["Content-Type"] == "text/html"
    assert headers["Content-Security-Policy"] == "sandbox"


@table(
    ("method", "path", "query", "body", "status"),
    [
        ("GET", "/nothing", "", b"", "404 Not Found"),
        ("POST", "/hello", "", b"x", "405 Method Not Allowed"),
        ("GET", "/echo", "", b"", "405 Method Not Allowed"),
        ("GET", "/sleep", "ms=soon", b"", "400 Bad Request"),
        ("GET", "/sleep", "ms=10001", b"", "400 Bad Request"),
        ("POST", "/echo", "", b"x" * (example.ECHO_MAX + 1), "413 Content Too Large"),
    ],
)
def test_what_it_does_not_do_is_refused(method: str, path: str, query: str, body: bytes, status: str) -> None:
    assert call(method, path, query, body)[0] == status
