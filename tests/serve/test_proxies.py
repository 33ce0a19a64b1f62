"""Behind proxies: who is believed what, the PROXY protocol, and nginx and HAProxy themselves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pki
import pytest
from ports import free_port
from serving import Served
from table import table
from wire import CLOSE, PATIENCE, Client, eventually, request

Serve = Callable[..., Served]
SHORT = 0.3
ALL = [f"x-forwarded-{what}" for what in ("for", "proto", "host", "port", "prefix")]
PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

needs_nginx = pytest.mark.skipif(shutil.which("nginx", path=PLACES) is None, reason="nginx is not here")
needs_haproxy = pytest.mark.skipif(shutil.which("haproxy", path=PLACES) is None, reason="haproxy is not here")


def telling(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Answers with what environ holds of texts, and with the PROXY header."""
    start_response("200 OK", [("Content-Type", "application/json")])
    said = {key: value for key, value in environ.items() if isinstance(value, str)}
    header = environ.get("dualwsgi.proxy_protocol")
    if header is not None:
        tlvs = {kind: value.decode("latin-1") for kind, value in header["tlvs"].items()}
        said["proxy"] = {**header, "tlvs": tlvs}
    return [json.dumps(said, default=lambda octets: octets.decode("latin-1")).encode()]


def told(client: Client, *fields: str, target: str = "/") -> dict[str, Any]:
    answer = client.send(request("GET", target, *fields)).response()
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


# Fields of requests

TRUSTED: dict[str, tuple[dict[str, Any], list[str], dict[str, str | None]]] = {
    "nothing said": ({}, [], {"REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http", "HTTP_HOST": "test"}),
    "a client": (
        {},
        ["X-Forwarded-For: 203.0.113.9"],
        {"REMOTE_ADDR": "203.0.113.9", "REMOTE_PORT": "", "HTTP_X_FORWARDED_FOR": "203.0.113.9"},
    ),
    "a client and its port": (
        {},
        ["X-Forwarded-For: [2001:db8::1]:5000"],
        {"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "5000"},
    ),
    "spoofed ones at the left": (
        {"forwarded_allow_ips": ("127.0.0.1", "10.0.0.0/8")},
        ["X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7"],
        {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": "203.0.113.9, 10.0.0.7"},
    ),
    "spoofed ones in a field of their own": (
        {},
        ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9"],
        {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": "203.0.113.9"},
    ),
    "no address": (
        {},
        ["X-Forwarded-For: 203.0.113.9, <script>"],
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": None},
    ),
    "https": (
        {},
        ["X-Forwarded-Proto: https"],
        {"wsgi.url_scheme": "https", "HTTPS": "on", "SERVER_PORT": "443", "HTTP_X_FORWARDED_PROTO": "https"},
    ),
    "a websocket's scheme": ({}, ["X-Forwarded-Proto: wss"], {"wsgi.url_scheme": "https"}),
    "a scheme of each hop": (
        {"forwarded_allow_ips": ("127.0.0.1", "10.0.0.7")},
        ["X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7", "X-Forwarded-Proto: ftp, https, http"],
        {"wsgi.url_scheme": "https", "HTTP_X_FORWARDED_PROTO": "https"},
    ),
    "a spoofed scheme at the left": (
        {},
        ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https, http"],
        {"wsgi.url_scheme": "http", "HTTPS": None},
    ),
    "no scheme": (
        {},
        ["X-Forwarded-Proto: gopher"],
        {"wsgi.url_scheme": "http", "HTTP_X_FORWARDED_PROTO": None},
    ),
    "fields that this proxy does not set": (
        {},
        [
            "X-Forwarded-Host: evil.test",
            "X-Forwarded-Port: 1",
            "X-Forwarded-Prefix: /x",
            "Forwarded: for=6.6.6.6",
        ],
        {
            **{"HTTP_HOST": "test", "SCRIPT_NAME": "", "REMOTE_ADDR": "127.0.0.1"},
            **{"HTTP_X_FORWARDED_HOST": None, "HTTP_X_FORWARDED_PORT": None},
            **{"HTTP_X_FORWARDED_PREFIX": None, "HTTP_FORWARDED": None},
        },
    ),
    "host": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Host: shop.test", "X-Forwarded-Proto: https"],
        {"HTTP_HOST": "shop.test", "SERVER_NAME": "shop.test", "SERVER_PORT": "443"},
    ),
    "host with a port": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Host: shop.test:8443", "X-Forwarded-Proto: https"],
        {"HTTP_HOST": "shop.test:8443", "SERVER_NAME": "shop.test", "SERVER_PORT": "8443"},
    ),
    "host that is an IPv6 address": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Host: [2001:db8::1]"],
        {"HTTP_HOST": "[2001:db8::1]", "SERVER_NAME": "[2001:db8::1]", "SERVER_PORT": "80"},
    ),
    "host and port": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Host: shop.test", "X-Forwarded-Port: 8080"],
        {"HTTP_HOST": "shop.test:8080", "SERVER_PORT": "8080"},
    ),
    "the usual port": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Proto: https", "X-Forwarded-Port: 443"],
        {"HTTP_HOST": "test", "SERVER_PORT": "443"},
    ),
    "no host": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Host: a b", "X-Forwarded-Port: 99999"],
        {"HTTP_HOST": "test", "HTTP_X_FORWARDED_HOST": None, "HTTP_X_FORWARDED_PORT": None},
    ),
    "prefix": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Prefix: /shop/"],
        {"SCRIPT_NAME": "/shop", "PATH_INFO": "/"},
    ),
    "a prefix that is another host": (
        {"forwarded_headers": ALL},
        ["X-Forwarded-Prefix: //evil.test"],
        {"SCRIPT_NAME": "", "HTTP_X_FORWARDED_PREFIX": None},
    ),
    "forwarded": (
        {"forwarded_headers": ["forwarded"], "forwarded_allow_ips": ("127.0.0.1", "10.0.0.7")},
        [
            "Forwarded: for=6.6.6.6;host=evil.test, "
            'for="[2001:db8::9]:5000";proto=https;host="shop.test:8443"',
            "Forwarded: for=10.0.0.7;proto=http",
            "X-Forwarded-For: 6.6.6.6",
        ],
        {
            **{"REMOTE_ADDR": "2001:db8::9", "REMOTE_PORT": "5000", "wsgi.url_scheme": "https"},
            **{"HTTP_HOST": "shop.test:8443", "SERVER_PORT": "8443", "HTTP_X_FORWARDED_FOR": None},
            "HTTP_FORWARDED": 'for="[2001:db8::9]:5000";proto="https";host="shop.test:8443", '
            'for="10.0.0.7";proto="http"',
        },
    ),
    "forwarded by one that hides": (
        {"forwarded_headers": ["forwarded"]},
        ["Forwarded: for=unknown;proto=https"],
        {"REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "https"},
    ),
    "forwarded malformed": (
        {"forwarded_headers": ["forwarded"]},
        ["Forwarded: for=203.0.113.9;;=x"],
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": None},
    ),
}


@table(("settings", "fields", "expected"), TRUSTED.values(), ids=TRUSTED)
def test_a_trusted_peer_is_believed_what_it_can_know(
    serve_in_turn: Serve, settings: dict[str, Any], fields: list[str], expected: dict[str, str | None]
) -> None:
    served = serve_in_turn(telling, **{"forwarded_allow_ips": ("127.0.0.1",), **settings})
    client = served.client()
    for _ in range(3):  # the third time its head is known
        environ = told(client, *fields)
        assert {key: environ.get(key) for key in expected} == expected


SPOOFED = [
    *("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test"),
    *(
        "X-Forwarded-Port: 1",
        "X-Forwarded-Prefix: /evil",
        "Forwarded: for=6.6.6.6;host=evil.test;proto=https",
    ),
]


def test_without_a_list_fields_are_just_fields(serve: Serve) -> None:
    environ = told(serve(telling).client(), *SPOOFED)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == (
        "127.0.0.1",
        "http",
        "test",
    )
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6"


def test_who_is_not_trusted_is_not_believed_and_what_it_says_is_removed(serve: Serve) -> None:
    served = serve(telling, forwarded_allow_ips=("192.0.2.0/24",), forwarded_headers=[*ALL, "forwarded"])
    client = served.client()
    for _ in range(3):
        environ = told(client, *SPOOFED)
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")
        assert (environ["HTTP_HOST"], environ["SCRIPT_NAME"]) == ("test", "")
        assert not [key for key in environ if "FORWARDED" in key]


def test_a_head_first_seen_from_a_trusted_peer_says_nothing_for_another(serve: Serve, tmp_path: Path) -> None:
    """Heads are remembered, and shared by the connections of a site."""
    log = tmp_path / "log"
    served = serve(telling, forwarded_allow_ips=("127.0.0.2",), bind=("127.0.0.1:0",), access_log=str(log))
    octets = request("GET", "/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
    clients = []
    for source in ("127.0.0.2", "127.0.0.1"):
        client = served.client()
        client.sock.close()
        client.sock = socket.create_connection(("127.0.0.1", served.port), PATIENCE, (source, 0))
        clients.append(client)
    for _ in range(6):
        for client, seen in zip(clients, (("203.0.113.9", "https"), ("127.0.0.1", "http")), strict=True):
            environ = json.loads(client.send(octets).response().body)
            assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == seen
    # And a request without the field is the proxy's own, on the same connection.
    assert told(clients[0])["REMOTE_ADDR"] == "127.0.0.2"
    served.stop()
    logged = sorted(line.split()[0] for line in log.read_text().splitlines())
    assert logged == sorted([*(["203.0.113.9", "127.0.0.1"] * 6), "127.0.0.2"])


def test_peers_on_a_unix_socket_are_trusted_by_that_word(serve: Serve) -> None:
    field = "X-Forwarded-For: 203.0.113.9"
    believing = serve(telling, over="unix", forwarded_allow_ips=("unix",))
    assert told(believing.client(), field)["REMOTE_ADDR"] == "203.0.113.9"
    doubting = serve(telling, over="unix", forwarded_allow_ips=("127.0.0.1",))
    assert told(doubting.client(), field)["REMOTE_ADDR"] == ""


# The PROXY protocol

V1 = b"PROXY TCP4 203.0.113.9 198.51.100.2 5000 443\r\n"
V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
    + struct.pack("!H", 12 + 3 + 6 + 3 + 4)
    + bytes((203, 0, 113, 9, 198, 51, 100, 2))
    + struct.pack("!HH", 5000, 443)
    + struct.pack("!BH", 2, 6)
    + b"a.test"
    + struct.pack("!BH", 0xEA, 4)
    + b"vpce"
)


@pytest.mark.parametrize("octets", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("cut", ["whole", "by octets"])
@pytest.mark.parametrize("over", ["tcp", "unix", "tls"])
def test_a_proxy_header_tells_the_client_of_all_requests(
    serve: Serve, octets: bytes, cut: str, over: str
) -> None:
    served = serve(telling, over=over, proxy_protocol="auto", forwarded_allow_ips=("192.0.2.1",))
    client = served.client(before=octets, cut=cut)
    for _ in range(3):
        environ = told(client, "X-Forwarded-For: 6.6.6.6")
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.9", "5000")
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("198.51.100.2", "443")
        assert environ["proxy"]["version"] == (1 if octets is V1 else 2)
        assert environ["wsgi.url_scheme"] == ("https" if over == "tls" else "http")
        assert "HTTP_X_FORWARDED_FOR" not in environ
    if octets is V2:
        assert environ["proxy"]["authority"] == "a.test"
        assert environ["proxy"]["tlvs"][str(0xEA)] == "vpce"


def test_a_proxy_header_may_tell_of_ipv6(serve: Serve) -> None:
    client = serve(telling, proxy_protocol="v1").client(
        before=b"PROXY TCP6 2001:db8::9 2001:db8::2 5000 443\r\n"
    )
    environ = told(client)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("2001:db8::9", "5000")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("[2001:db8::2]", "443")


def test_the_field_of_a_client_that_a_proxy_names_is_believed_if_that_is_a_proxy_too(serve: Serve) -> None:
    served = serve(telling, proxy_protocol="v1", forwarded_allow_ips=("203.0.113.9",))
    client = served.client(before=V1)
    assert told(client, "X-Forwarded-For: 198.51.100.77")["REMOTE_ADDR"] == "198.51.100.77"


@pytest.mark.parametrize(
    ("setting", "octets"),
    [
        ("auto", request()),
        ("auto", b"PROXY nonsense\r\n" + request()),
        ("v1", V2),
        ("v2", V1),
        ("v2", V2[:10] + b"x"),
    ],
)
def test_a_trusted_peer_without_its_header_is_closed_and_told_of(
    serve: Serve, said: Any, setting: str, octets: bytes
) -> None:
    served = serve(telling, proxy_protocol=setting)
    with Client(served.address) as client:
        client.send_if_taken(octets)
        assert client.ended()
    assert "PROXY" in said()[0]
    assert served.counter("errors") == 1


def test_a_peer_that_is_not_trusted_speaks_for_itself(serve: Serve) -> None:
    served = serve(telling, proxy_protocol="auto", proxy_allow_ips=("192.0.2.1",))
    assert told(served.client())["REMOTE_ADDR"] == "127.0.0.1"
    for octets in (V1, V2):
        assert served.ask(octets + request()).status == 400


def test_a_header_that_does_not_come_is_waited_for_until_its_deadline(serve: Serve) -> None:
    served = serve(telling, proxy_protocol="auto", handshake_timeout=SHORT)
    clients = [served.client().send(octets) for octets in (b"P", V1[:-1], V2[:-1])]
    for client in clients:
        assert client.ended()
    eventually(lambda: served.counter("expired") == 3)


def test_a_proxys_own_health_check_has_no_client(serve: Serve) -> None:
    served = serve(telling, proxy_protocol="auto")
    for octets in (b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"):
        assert told(served.client(before=octets))["REMOTE_ADDR"] == "127.0.0.1"


# nginx and HAProxy


@contextmanager
def running(port: int, *command: str) -> Iterator[str]:
    """A proxy, until the end of the block; its address."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def is_up() -> bool:
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(is_up)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def nginx(place: Path, upstream: str, location: str, *, port: int = 0) -> Iterator[str]:
    port = port or free_port()
    (place / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {place}/nginx.pid; error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  upstream app {{ server {upstream}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; {location} }}
  }}
}}
""")
    program = shutil.which("nginx", path=PLACES) or "nginx"
    with running(port, program, "-p", str(place), "-e", "stderr", "-c", str(place / "nginx.conf")) as address:
        yield address


@needs_nginx
@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_nginx_in_front_tells_who_the_client_is(serve: Serve, tmp_path: Path, over: str) -> None:
    served = serve(
        telling,
        over=over,
        forwarded_allow_ips=("127.0.0.1", "unix"),
        forwarded_headers=["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"],
    )
    location = (
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
        "proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-Host $host;"
    )
    upstream = served.address.removeprefix("http://")
    with nginx(tmp_path, upstream, location) as address, Client(address) as client:
        for _ in range(3):
            environ = told(client, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: gopher")
            # The peer of nginx is itself trusted here, so what it has passed on is the client.
            assert environ["REMOTE_ADDR"] == "203.0.113.9"
            assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "test")
        body = os.urandom(300_000)
        assert client.send(request("POST", "/", body=body)).response().status == 200
    assert served.counter("errors") == 0


@needs_haproxy
@pytest.mark.parametrize(
    ("send", "over"), [("send-proxy", "tcp"), ("send-proxy-v2", "tcp"), ("send-proxy-v2-ssl-cn", "tcp"),
                       ("send-proxy-v2", "unix"), ("send-proxy", "tls")]
)  # fmt: skip
def test_haproxy_in_front_tells_by_the_proxy_protocol(
    serve: Serve, tmp_path: Path, send: str, over: str
) -> None:
    served = serve(telling, over=over, proxy_protocol="auto")
    port = free_port()
    place = served.address.partition("://")[2] or served.address.replace("unix:", "unix@")
    onward = f"ssl verify required ca-file {pki.authority()} sni str(localhost)" if over == "tls" else ""
    secure = f"ssl crt {pki.server()} ca-file {pki.authority()} verify optional" if "ssl" in send else ""
    (tmp_path / "haproxy.cfg").write_text(f"""
global
  log stderr format raw local0 emerg
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen app
  bind 127.0.0.1:{port} {secure}
  server one {place} {send} {onward}
""")
    program = shutil.which("haproxy", path=PLACES) or "haproxy"
    with running(port, program, "-db", "-f", str(tmp_path / "haproxy.cfg")) as address:
        tls = pki.showing(pki.client()) if secure else None
        with Client(address, tls=tls) as client:
            own = client.sock.getsockname()
            for _ in range(3):
                environ = told(client)
                assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.1", str(own[1]))
                assert environ["SERVER_PORT"] == str(port)
                assert environ["wsgi.url_scheme"] == ("https" if secure or over == "tls" else "http")
            if secure:
                assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
                assert environ["SSL_PROTOCOL"] == "TLSv1.3"
                assert environ["SSL_CLIENT_S_DN_CN"] == "Zo\u00c3\u00ab"
            assert client.send(request("GET", "/", CLOSE)).response().status == 200
    eventually(lambda: served.counter("connections") >= 1)
