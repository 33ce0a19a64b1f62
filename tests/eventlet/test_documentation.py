"""The examples of the documentation of eventlet's wsgi module, on both backends."""

from __future__ import annotations

import socket
import ssl

import pytest
from annexe import Annexe
from wire import CHUNKED, CLOSE, EXPECT, Client, chunked, eventually, request


def test_hello_world_with_its_str_body(annexe: Annexe) -> None:
    server = annexe.serve("hello_world")
    answer = server.ask()
    assert (answer.line, answer.body) == ("HTTP/1.1 200 OK", b"Hello, World!\r\n")
    assert server.ask(request("GET", "/other")).line == "HTTP/1.1 404 Not Found"


def test_wrap_ssl_serves_https(annexe: Annexe, certificate: str) -> None:
    server = annexe.serve("environ", tls=certificate)
    context = ssl.create_default_context(cafile=certificate)
    plain = socket.create_connection(("127.0.0.1", server.port), 10)
    with context.wrap_socket(plain, server_hostname="localhost") as secure:
        secure.sendall(request("GET", "/", CLOSE))
        octets = b""
        while data := secure.recv(65536):
            octets += data
    assert b"wsgi.url_scheme='https'" in octets and b"HTTPS='on'" in octets
    assert "wsgi starting up on https://127.0.0.1:" in server.log


def test_a_post_hook_gets_its_arguments_after_the_response(annexe: Annexe) -> None:
    server = annexe.serve("with_hook")
    assert server.ask().body == b"ok"
    assert eventually(annexe.notes) == [["hook", "/", "arg1", "arg2", 3, 4]]


def test_a_post_hook_runs_when_the_application_has_failed(annexe: Annexe) -> None:
    server = annexe.serve("with_hook")
    assert server.ask(request("GET", "/fails")).status == 500
    assert eventually(annexe.notes)[0][1] == "/fails"


def test_a_post_hook_runs_when_the_client_has_left_early(annexe: Annexe) -> None:
    server = annexe.serve("with_hook")
    with server.client() as client:
        client.send(request("GET", "/slow"))
        client.exactly(100)
        client.reset()
    assert eventually(annexe.notes)[0][1] == "/slow"
    assert " 499 " in server.logs("/slow")


def test_headers_of_the_continue_response(annexe: Annexe) -> None:
    with annexe.serve("continue_headers").client() as client:
        client.send(request("PUT", "/", EXPECT, "Content-Length: 3"))
        interim = client.interim()
        assert interim.fields == [("X-First", "1"), ("X-Second-K", "2")]
        assert client.send(b"abc").response().body == b"abc"


@pytest.mark.parametrize("way", ["sized", "chunked"])
def test_several_continue_responses(annexe: Annexe, way: str) -> None:
    length = "Content-Length: 11" if way == "sized" else CHUNKED
    with annexe.serve("several_continues").client() as client:
        client.send(request("PUT", "/", EXPECT, length))
        assert client.interim()["X-Part"] == "1"
        client.send(b"first" if way == "sized" else chunked(b"first"))
        assert client.interim()["X-Part"] == "2"
        client.send(b"second" if way == "sized" else chunked(b"second"))
        assert client.response().body == b"firstsecond"
        # And the connection is still in step.
        client.send(request("PUT", body=b"firstsecond"))
        assert client.response().body == b"firstsecond"


def test_a_unix_socket(annexe: Annexe, tmp_path: object) -> None:
    server = annexe.serve("environ", unix=f"{tmp_path}/s")
    with Client(server.address) as client:
        body = client.send(request()).response().body
    for line in (b"SERVER_NAME='unix'", b"SERVER_PORT=''", b"REMOTE_ADDR='unix'", b"REMOTE_PORT=''"):
        assert line in body
    assert f"wsgi starting up on http:{tmp_path}/s" in server.log
    assert "\nunix - - [" in server.logs('"GET / HTTP/1.1"')
