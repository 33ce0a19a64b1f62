"""What a page will need is told while the page is still being made: 103 Early Hints (RFC 8297).

dualwsgi run early_hints:app --app-dir docs/examples
"""

import time


def app(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    time.sleep(0.05)  # the page takes a while
    body = b"<!doctype html><link rel=stylesheet href=/style.css><p>Hello"
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]
