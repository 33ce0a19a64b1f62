"""Request heads as they come: short, of a browser, and with a line that no other has."""

from __future__ import annotations

from dualwsgi.gateway.environ import base_environ
from dualwsgi.gateway.heads import Heads
from dualwsgi.http11.head import Limits

LIMITS = Limits()

SHORT = b"GET /hello?a=b HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n"
BROWSER = (
    b"GET /shop/items?page=2 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n"
    b"Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-GB,en;q=0.8,de;q=0.6\r\n"
    b"Cookie: sessionid=4f3a9c1e77b2405d8a6e0c9b1f2d3e4a; csrftoken=Zk3v8Qw1nT5yB7uJ2mXc9LrP4sHd6; t=dark\r\n"
    b"\r\n"
)
HEADS = {"short": SHORT, "browser": BROWSER}


def memory() -> Heads:
    return Heads(base_environ(multiprocess=False), LIMITS)


def unique(head: bytes, number: int) -> bytes:
    """The head with a line that no other has, as a proxy in front adds it."""
    return head[:-2] + b"X-Request-Id: %032x\r\n\r\n" % number
