"""TLS against real peers: openssl's s_client and curl, client certificates, names, files that change."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pki
import pytest
from serving import Served, answering, echo
from table import table
from wire import CLOSE, PATIENCE, Client, ProtocolError, eventually, request

from dualwsgi import Config, ConfigError
from dualwsgi.serve.certificates import Certificates, find_context

Serve = Callable[..., Served]
SHORT = 0.3

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
pytestmark = needs_openssl


def telling(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Answers with what environ holds of texts."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]


def s_client(served: Served, *arguments: str, sent: bytes = request("GET", "/", CLOSE)) -> str:
    """What openssl says of a connection, and what comes back on it."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{served.port}", "-CAfile", pki.authority()]
    done = subprocess.run(
        [*command, "-ign_eof", *arguments], input=sent, capture_output=True, timeout=PATIENCE, check=False
    )
    return (done.stdout + done.stderr).decode("latin-1")


def curl(served: Served, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    url = f"https://localhost:{served.port}/"
    command = ["curl", "-sS", "--max-time", str(PATIENCE), "--cacert", pki.authority(), "-4", *arguments, url]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE + 5, check=False)


# Real peers


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_openssl_gets_a_verified_answer_http_1_1_by_alpn_and_a_proper_end(serve: Serve, version: str) -> None:
    served = serve(answering(), over="tls")
    said = s_client(served, f"-tls{version}", "-alpn", "h2,http/1.1", "-verify_return_error")
    assert "Verify return code: 0 (ok)" in said
    assert "ALPN protocol: http/1.1" in said
    assert (
        f"Protocol  : TLSv{version.replace('_', '.')}" in said or f"TLSv{version.replace('_', '.')}" in said
    )
    assert "HTTP/1.1 200 OK" in said and said.count("hello") >= 1
    assert "unexpected eof" not in said


def test_versions_and_ciphers_that_are_not_sound_are_refused(serve: Serve, kit: Any) -> None:
    served = serve(answering(), over="tls")
    assert "HTTP/1.1 200" not in s_client(served, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "HTTP/1.1 200" not in s_client(served, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:AES128-SHA")
    strict = serve(answering(), over="tls", ssl_version="TLSv1.3")
    assert "HTTP/1.1 200" not in s_client(strict, "-tls1_2")
    assert "HTTP/1.1 200" in s_client(strict, "-tls1_3")
    assert any("TLS handshake failed: " in line for line in kit.log.infos())


@needs_curl
def test_curl_sends_and_gets_a_large_body_on_one_kept_connection(serve: Serve, tmp_path: Path) -> None:
    served = serve(echo, over="tls")
    body = os.urandom(1 << 20)
    (tmp_path / "body").write_bytes(body)
    sent = ("--data-binary", f"@{tmp_path / 'body'}", "-H", "Content-Type: a/b")
    done = curl(served, *sent, "-w", "%{num_connects}", f"https://localhost:{served.port}/2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"POST /2 " + body + b"1" + b"POST / " + body + b"0"


# What environ tells


def test_environ_tells_of_the_session_and_the_server(serve: Serve) -> None:
    served = serve(telling, over="tls")
    with Client(served.address, name="localhost") as client:
        environ = json.loads(client.send(request()).response().body)
        assert client.sock.tls.selected_alpn_protocol() is None  # type: ignore[union-attr]
    assert served.address.startswith("https://127.0.0.1:")
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTPS"] == "on"
    assert environ["SERVER_PORT"] == str(served.port)
    assert environ["SSL_TLS_SNI"] == "localhost"
    assert environ["SSL_PROTOCOL"] == "TLSv1.3"
    assert environ["SSL_CIPHER"].startswith("TLS_")
    assert int(environ["SSL_CIPHER_USEKEYSIZE"]) >= 128
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert environ["SSL_SERVER_S_DN"] == "CN=localhost"
    assert environ["SSL_SERVER_I_DN_O"] == "Authority of the tests"
    assert environ["SSL_SERVER_SAN_DNS_0"] == "localhost"
    assert environ["SSL_SESSION_RESUMED"] == "Initial"
    assert not [key for key in environ if key.startswith("SSL_CLIENT_") and key != "SSL_CLIENT_VERIFY"]


def test_what_a_session_says_is_not_said_of_another(serve: Serve) -> None:
    """Heads are remembered and shared; certificates must not be."""
    served = serve(telling, over="tls", cert_reqs="optional", ca_certs=pki.authority())
    octets = request()
    known = served.client(tls=pki.showing(pki.client()))
    unknown = served.client(name=None, tls=nameless())
    for _ in range(5):
        assert json.loads(known.send(octets).response().body)["SSL_CLIENT_S_DN_CN"] == "Zo\u00c3\u00ab"
        environ = json.loads(unknown.send(octets).response().body)
        assert "SSL_CLIENT_S_DN_CN" not in environ
        assert "SSL_TLS_SNI" not in environ
    assert served.counter("heads_read") < served.counter("requests"), "none was known, so nothing was shown"


def nameless() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=pki.authority())
    context.check_hostname = False
    return context


@needs_curl
@pytest.mark.parametrize("need", ["optional", "required"])
def test_a_client_certificate_is_verified_and_told(serve: Serve, need: str) -> None:
    served = serve(telling, over="tls", cert_reqs=need, ca_certs=pki.authority())
    done = curl(served, "--cert", pki.client())
    assert done.returncode == 0, done.stderr
    environ = json.loads(done.stdout)
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    # The octets of UTF-8, as PEP 3333 has them.
    assert environ["SSL_CLIENT_S_DN"] == "CN=Zo\u00c3\u00ab,OU=Two,OU=One,O=Example\\, Inc.,C=DE"
    assert environ["SSL_CLIENT_S_DN_OU"] == "One" and environ["SSL_CLIENT_S_DN_OU_1"] == "Two"
    assert environ["SSL_CLIENT_I_DN"] == "O=Authority of the tests"
    assert environ["SSL_CLIENT_SAN_Email_0"] == "zoe@example.test"
    assert environ["SSL_CLIENT_SAN_URI_0"] == "spiffe://example.test/zoe"
    assert environ["SSL_CLIENT_V_REMAIN"] in ("1", "2")
    assert re.fullmatch("[0-9A-F]+", environ["SSL_CLIENT_M_SERIAL"])
    pem = re.search("-----BEGIN CERT.*?-----END CERTIFICATE-----\n", Path(pki.client()).read_text(), re.S)
    assert pem is not None and environ["SSL_CLIENT_CERT"] == pem[0]


@needs_curl
def test_who_shows_no_certificate_or_a_strange_one_is_let_in_only_where_that_is_allowed(
    serve: Serve, kit: Any
) -> None:
    required = serve(telling, over="tls", cert_reqs="required", ca_certs=pki.authority())
    optional = serve(telling, over="tls", cert_reqs="optional", ca_certs=pki.authority())
    assert curl(required).returncode != 0
    assert curl(required, "--cert", pki.stranger()).returncode != 0
    assert curl(optional, "--cert", pki.stranger()).returncode != 0
    done = curl(optional)
    assert json.loads(done.stdout)["SSL_CLIENT_VERIFY"] == "NONE", done.stderr
    told = [line for line in kit.log.infos() if "TLS handshake failed" in line]
    assert any("peer did not return a certificate" in line for line in told), told
    assert any("self-signed certificate" in line for line in told), told


def test_a_revoked_certificate_is_refused(serve: Serve, tmp_path: Path, kit: Any) -> None:
    shutil.copy(pki.authority(), tmp_path / "ca.pem")
    (tmp_path / "index").touch()
    (tmp_path / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndatabase={tmp_path}/index\ndefault_md=sha256\ndefault_crl_days=2\n"
    )
    run = (
        "openssl",
        "ca",
        "-config",
        tmp_path / "ca.cnf",
        "-cert",
        pki.authority(),
        "-keyfile",
        pki.authority(),
    )
    subprocess.run([*run, "-revoke", pki.client()], check=True, capture_output=True)
    revoked = subprocess.run([*run, "-gencrl"], check=True, capture_output=True).stdout
    with (tmp_path / "ca.pem").open("ab") as file:
        file.write(revoked)
    served = serve(telling, over="tls", cert_reqs="required", ca_certs=str(tmp_path / "ca.pem"))
    assert "certificate revoked" in s_client(served, "-cert", pki.client())
    other = pki.issue("other", "/CN=other", by=pki.authority(), where=tmp_path)
    assert "HTTP/1.1 200" in s_client(served, "-cert", other)
    assert any("TLS handshake failed: certificate revoked" in line for line in kit.log.infos())


# Several certificates


def shown(served: Served, name: str | None) -> str:
    """The common name of the certificate that the server shows."""
    with Client(served.address, tls=nameless(), name=name) as client:
        certificate = client.sock.tls.getpeercert()  # type: ignore[union-attr]
    return next(value for part in certificate["subject"] for kind, value in part if kind == "commonName")


@functools.cache
def sites() -> list[str]:
    """Certificates for an exact name, for a wildcard, and without alternative names."""
    return [
        pki.issue("exact", "/CN=exact", "DNS:www.example.test", by=pki.authority()),
        pki.issue("wild", "/CN=wild", "DNS:*.example.test", "DNS:example.org", by=pki.authority()),
        pki.issue("named", "/CN=old.example.net", by=pki.authority()),
    ]


@functools.cache
def rsa() -> str:
    """The like of pki.server() with a key of the other kind."""
    return pki.issue(
        "rsa", "/CN=localhost", "DNS:localhost", "IP:127.0.0.1", "IP:::1", by=pki.authority(), key="rsa"
    )


def test_the_name_that_is_asked_for_chooses_the_certificate(serve: Serve) -> None:
    served = serve(answering(), over="tls", certfile=(pki.server(), *sites()))
    for name, subject in [
        ("www.example.test", "exact"),
        ("WWW.Example.Test", "exact"),
        ("api.example.test", "wild"),
        ("a.b.example.test", "localhost"),  # a wildcard stands for one label
        ("example.test", "localhost"),
        ("example.org", "wild"),
        ("old.example.net", "old.example.net"),
        ("elsewhere.test", "localhost"),
        (None, "localhost"),
    ]:
        assert shown(served, name) == subject, name


def test_a_wildcard_is_found_by_its_rest() -> None:
    context: Any = object()
    assert find_context("a.b.c", {"*.b.c": context}) is context
    assert find_context("a.b.c.", {"*.b.c": context}) is context
    assert find_context("b.c", {"*.b.c": context}) is None
    assert find_context("x", {"*.": context}) is context


def test_two_kinds_of_key_for_one_name_are_both_offered(serve: Serve) -> None:
    served = serve(answering(), over="tls", certfile=(pki.server(), rsa()))
    assert "HTTP/1.1 200" in s_client(served, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert "HTTP/1.1 200" in s_client(served, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")


# Files that change


def test_a_changed_certificate_is_served_without_a_restart(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    monkeypatch.setattr("dualwsgi.serve.certificates.LOOK_INTERVAL", 0.0)
    path = tmp_path / "site.pem"
    first, second = (
        pki.issue(name, f"/CN={name}", "DNS:localhost", by=pki.authority(), where=tmp_path)
        for name in ("first", "second")
    )
    os.replace(first, path)
    served = serve(answering(), over="tls", certfile=(str(path),))
    before = served.client()
    assert before.send(request()).response().status == 200
    assert shown(served, "localhost") == "first"
    path.write_text("half a certifi")
    assert shown(served, "localhost") == "first"
    assert "cannot be used, and those before them still are: certfile: " in said()[0]
    os.replace(second, path)
    assert shown(served, "localhost") == "second"
    assert before.send(request()).response().status == 200


@pytest.mark.parametrize(("days", "says"), [(30, "has expired on"), (-30, "is not valid before")])
def test_a_certificate_out_of_its_time_is_served_and_told_of(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, said: Any, days: int, says: str
) -> None:
    now = time.time()
    monkeypatch.setattr("dualwsgi.serve.certificates.time", lambda: now + days * 86_400)
    served = serve(answering(), over="tls")
    assert f"{pki.server()} {says} " in said()[0]
    assert served.ask().status == 200


# What is no handshake, and what is slow


@pytest.mark.parametrize("octets", [request(), b"\r\n" + request(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_plain_http_is_answered_400_in_clear(serve: Serve, octets: bytes) -> None:
    served = serve(answering(), over="tls")
    with Client(served.address.replace("https", "http")) as client:
        answer = client.send(octets).response()
        assert (answer.status, answer["Connection"]) == (400, "close")
        assert b"https" in answer.body
        assert client.ended()
    assert served.counter("errors") == 1
    assert served.ask().body == b"hello"


@pytest.mark.parametrize("octets", [b"\x80.\x01\x03\x01", b"\x16\x03\x01\x00\x05hello", b"\0" * 400])
def test_what_is_neither_tls_nor_http_is_turned_away(serve: Serve, octets: bytes) -> None:
    served = serve(answering(), over="tls")
    with Client(served.address.replace("https", "http")) as client:
        client.send(octets)
        client.half_close()
        assert b"HTTP" not in client.until_end()
    assert served.ask().body == b"hello"


def hello() -> bytes:
    """The first octets of a client."""
    outgoing = ssl.MemoryBIO()
    made = nameless().wrap_bio(ssl.MemoryBIO(), outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        made.do_handshake()
    return outgoing.read()


def test_stalled_handshakes_delay_nobody_and_are_ended_by_their_deadline(serve: Serve) -> None:
    served = serve(answering(), over="tls", handshake_timeout=SHORT, threads=2)
    plain = served.address.replace("https", "http")
    octets = hello()
    stalled = []
    for number in range(60):
        client = Client(plain)
        stalled.append(client)
        client.send(octets[: (0, 1, 5, len(octets) // 2, len(octets) - 1)[number % 5]])
    kept = served.client()
    for _ in range(20):
        assert kept.send(request()).response().status == 200
        assert served.ask().status == 200
    for client in stalled:
        assert client.ended()
        client.close()
    eventually(lambda: served.counter("expired") == 60)


def test_a_handshake_octet_by_octet_is_a_handshake(serve: Serve) -> None:
    served = serve(answering(), over="tls")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = pki.trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def until_done(step: Callable[[], Any]) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    flush()
                    incoming.write(sock.recv(7))

        def flush() -> None:
            for octet in outgoing.read():
                sock.send(bytes([octet]))

        until_done(made.do_handshake)
        made.write(request("GET", "/", CLOSE))
        flush()
        assert until_done(lambda: made.read(65536)).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_handshake_that_has_begun_is_finished_and_served_by_a_server_that_stops(serve: Serve) -> None:
    served = serve(answering(), over="tls")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = pki.trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with Client(served.address.replace("https", "http")) as client, ThreadPoolExecutor(1) as beside:
        with pytest.raises(ssl.SSLWantReadError):
            made.do_handshake()
        octets = outgoing.read()
        client.send(octets[:100])
        assert served.ask().status == 200  # so those have been read
        stopping = beside.submit(served.server.stop, window=0.0)
        eventually(lambda: refused(served.port))
        assert client.silent(0.2)  # it has looked at its connections meanwhile
        client.send(octets[100:])
        while True:
            try:
                made.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                incoming.write(client.sock.recv(65536))
        made.write(request())
        client.send(outgoing.read())
        while True:
            try:
                assert made.read(65536).startswith(b"HTTP/1.1 200 OK\r\n")
                break
            except ssl.SSLWantReadError:
                incoming.write(client.sock.recv(65536))
        client.close()
        assert stopping.result(PATIENCE)


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it was still in the backlog when that was closed
    return False


def test_an_end_without_close_notify_is_seen_by_the_tests_client(serve: Serve) -> None:
    """What every other test over TLS relies on."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    with listener, client, pytest.raises(ProtocolError, match="close_notify"):
        from wire import TlsSocket

        peer = listener.accept()[0]
        peer.close()
        TlsSocket(client, pki.trusting(), "localhost")


# Settings


def test_an_encrypted_key_is_opened_with_its_password_alone(serve: Serve, tmp_path: Path) -> None:
    path = pki.issue(
        "secret", "/CN=localhost", "DNS:localhost", by=pki.authority(), password="s3cret", where=tmp_path
    )
    served = serve(answering(), over="tls", certfile=(path,), keyfile_password="s3cret")
    assert served.ask().status == 200
    assert "s3cret" not in repr(served.server.config)
    for password, problem in (("", "missing"), ("wrong", "not the right one")):
        with pytest.raises(ConfigError, match=rf"keyfile_password: .* its password is {problem}; give"):
            Certificates(Config(certfile=(path,), keyfile_password=password))


def test_a_context_of_ones_own_is_used_and_may_start_from_the_usual_one(serve: Serve, tmp_path: Path) -> None:
    calls: list[Config] = []

    def make(config: Config, usual: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        calls.append(config)
        context = usual()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    served = serve(telling, over="tls", ssl_context=make)
    environ = json.loads(served.ask().body)
    assert (environ["SSL_PROTOCOL"], environ["SSL_TLS_SNI"]) == ("TLSv1.2", "localhost")
    assert calls == [served.server.config]

    def bare(config: Config, usual: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.server())
        return context

    served = serve(telling, over="tls", ssl_context=bare, certfile=())
    environ = json.loads(served.ask().body)
    assert (environ["SSL_PROTOCOL"], environ["SSL_TLS_SNI"]) == ("TLSv1.3", "localhost")


def not_a_context(config: Config, usual: Callable[[], ssl.SSLContext]) -> Any:
    return None


BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "no file": (
        lambda: {"certfile": ("/no/such.pem",)},
        "certfile: cannot read '/no/such.pem': No such file",
    ),
    "no certificate in it": (lambda: {"certfile": (__file__,)}, "certfile: .* holds no certificate; give"),
    "no key file": (
        lambda: {"certfile": (pki.server(),), "keyfile": ("/no/key",)},
        "keyfile: cannot read '/no/key'",
    ),
    "no key in it": (
        lambda: {"certfile": (pki.server(),), "keyfile": (__file__,)},
        "keyfile: .* holds no private key",
    ),
    "another's key": (
        lambda: {"certfile": (pki.server(),), "keyfile": (pki.stranger(),)},
        "keyfile: the key in .* is not that of",
    ),
    "ciphers": (
        lambda: {"certfile": (pki.server(),), "ciphers": "ROT13"},
        "ciphers: 'ROT13' selects none; give",
    ),
    "no authority": (
        lambda: {"certfile": (pki.server(),), "ca_certs": __file__},
        "ca_certs: .* holds no certificate",
    ),
    "no authority file": (lambda: {"certfile": (pki.server(),), "ca_certs": "/no"}, "ca_certs: cannot read"),
    "a hook's nothing": (lambda: {"ssl_context": not_a_context}, "ssl_context: it returned None; give"),
    "a hook elsewhere": (lambda: {"ssl_context": "nowhere.at.all:make"}, "there is no module"),
    "a hook without files": (lambda: {"ssl_context": lambda config, usual: usual()}, "give certfile"),
}


@table(("settings", "says"), BAD.values(), ids=BAD)
def test_files_that_cannot_work_are_refused_with_the_cure(
    settings: Callable[[], dict[str, Any]], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        Certificates(Config(**settings()))


@table(
    ("settings", "says"),
    [
        ({"keyfile": ("a",)}, "keyfile: 1 for 0 certificates; give"),
        ({"certfile": ("a", "b"), "keyfile": ("a",)}, "keyfile: 1 for 2 certificates"),
        ({"certfile": ("a",), "cert_reqs": "required"}, "cannot work alone; give ca_certs"),
        ({"ca_certs": "a", "cert_reqs": "optional"}, "cannot work alone; give certfile"),
        ({"cert_reqs": "maybe"}, "cert_reqs: 'maybe' is not known; give none, optional or required"),
        ({"ssl_version": "SSLv3"}, "is not known; give TLSv1.2 or TLSv1.3"),
        ({"ssl_context": "no module"}, "is not MODULE:NAME; give"),
        ({"ssl_context": 3}, "cannot be called; give"),
        ({"certfile": ("",)}, "is not a path; give"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Config(**settings)


def test_what_gunicorn_calls_them_is_understood() -> None:
    config = Config(certfile="a", ca_certs="b", cert_reqs=ssl.CERT_REQUIRED)  # type: ignore[arg-type]
    assert (config.cert_reqs, config.certfile) == ("required", ("a",))


@pytest.mark.soak
def test_200_stalled_handshakes_leave_the_others_their_latency(serve: Serve) -> None:
    served = serve(answering(), over="tls", threads=16)
    plain = served.address.replace("https", "http")
    clients = [served.client() for _ in range(8)]

    def p99() -> float:
        times = []
        for number in range(3000):
            began = monotonic()
            clients[number % 8].send(request()).response()
            times.append(monotonic() - began)
        return sorted(times)[-30]

    p99()
    alone = p99()
    octets = hello()
    stalled = [Client(plain).send(octets[: len(octets) // 2]) for _ in range(200)]
    beside = p99()
    for client in stalled:
        client.close()
    assert beside <= max(2 * alone, 0.01), (alone, beside)
