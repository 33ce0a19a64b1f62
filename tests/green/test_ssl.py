"""TLS sockets, unpatched: handshakes, WANT loops, timeouts, goodbyes."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

import pytest

from dualwsgi import green
from dualwsgi.green import Hub
from dualwsgi.green import socket as gsocket
from dualwsgi.green import ssl as gssl


@pytest.fixture(scope="module")
def contexts() -> Iterator[tuple[ssl.SSLContext, ssl.SSLContext]]:
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("certificate", Path(__file__).parent / "certificate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(module.CERTIFICATE)
    client = ssl.create_default_context(cafile=module.CERTIFICATE)
    os.unlink(module.CERTIFICATE)
    return client, server


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def connected(contexts: Contexts) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    a, b = gsocket.socketpair()
    client = green.spawn(gssl.wrap_socket, contexts[0], a, server_hostname="localhost")
    server = gssl.wrap_socket(contexts[1], b, server_side=True)
    return client.get(5), server


def test_both_ends_shake_hands_and_talk(hub: Hub, contexts: Contexts) -> None:
    client, server = connected(contexts)
    with client, server:
        assert isinstance(client, ssl.SSLSocket) and client.version()
        data = os.urandom(500_000)
        writer = green.spawn(client.sendall, data)
        received = b""
        while len(received) < len(data):
            received += server.recv(65536)
        assert received == data
        writer.get(5)
        # What OpenSSL holds already is found without the descriptor being ready.
        client.sendall(b"abcdef")
        assert server.recv(1) == b"a" and server.pending() == 5 and server.recv(10) == b"bcdef"
        buffer = bytearray(3)
        client.sendall(b"xyz")
        assert server.recv_into(buffer) == 3 and buffer == b"xyz"
        with client.makefile("rb") as file:
            server.sendall(b"line\n")
            assert file.readline() == b"line\n"


def test_reading_times_out_and_can_go_on(hub: Hub, contexts: Contexts) -> None:
    client, server = connected(contexts)
    with client, server:
        client.settimeout(0.003)
        with pytest.raises(TimeoutError, match="read operation timed out"):
            client.recv(1)
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(1)
        client.settimeout(5)
        server.send(b"x")
        assert client.recv(1) == b"x"
        client.settimeout(0.005)
        with pytest.raises(TimeoutError, match="write operation timed out"):
            client.sendall(b"x" * 5_000_000)


def test_a_handshake_with_one_who_is_silent_times_out(hub: Hub, contexts: Contexts) -> None:
    a, b = gsocket.socketpair()
    a.settimeout(0.005)
    with b, pytest.raises(TimeoutError, match="handshake operation timed out"):
        gssl.wrap_socket(contexts[0], a, server_hostname="localhost")


def test_a_wrong_name_is_refused(hub: Hub, contexts: Contexts) -> None:
    a, b = gsocket.socketpair()
    server = green.spawn(gssl.wrap_socket, contexts[1], b, server_side=True)
    server.link(lambda thread: None)
    with pytest.raises(ssl.SSLCertVerificationError):
        gssl.wrap_socket(contexts[0], a, server_hostname="example.org")
    with pytest.raises(ssl.SSLError):
        server.get(5)


def test_unwrap_says_goodbye_and_leaves_a_plain_socket(hub: Hub, contexts: Contexts) -> None:
    client, server = connected(contexts)
    other = green.spawn(server.unwrap)
    plain = client.unwrap()
    theirs = other.get(5)
    assert plain is client and theirs is server  # as the standard SSLSocket does
    plain.sendall(b"clear")
    assert theirs.recv(10) == b"clear"
    with pytest.raises(ValueError):
        plain.unwrap()
    plain.close()
    assert theirs.recv(1) == b""
    theirs.close()


def test_the_end_of_the_peer_reads_as_the_end(hub: Hub, contexts: Contexts) -> None:
    client, server = connected(contexts)
    reader = green.spawn(client.recv, 1)
    green.sleep(0)
    server.close()
    assert reader.get(5) == b""
    client.close()
    with pytest.raises(ValueError):
        client.read(1)
    with pytest.raises(ValueError):
        client.write(b"x")


def test_closing_wakes_a_reader(hub: Hub, contexts: Contexts) -> None:
    client, server = connected(contexts)
    reader = green.spawn(client.recv, 1)
    green.sleep(0)
    client.close()
    with pytest.raises((OSError, ValueError)):
        reader.get(5)
    server.close()


def test_connect_after_wrapping(hub: Hub, contexts: Contexts) -> None:
    with gsocket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> bytes:
            peer, _ = listener.accept()
            with gssl.wrap_socket(contexts[1], peer, server_side=True) as sock:
                return sock.recv(10)

        server = green.spawn(serve)
        with gssl.wrap_socket(contexts[0], gsocket.GreenSocket(), server_hostname="localhost") as client:
            client.connect(listener.getsockname())
            client.sendall(b"hello")
            assert server.get(5) == b"hello"


def test_tls_over_tcp_with_flags_is_refused(hub: Hub, contexts: Contexts) -> None:
    client, server = connected(contexts)
    with client, server:
        for call in (lambda: client.send(b"x", 1), lambda: client.recv(1, 1)):
            with pytest.raises(ValueError, match="non-zero flags"):
                call()
