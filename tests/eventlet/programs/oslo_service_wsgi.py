"""oslo.service's WSGI server, unchanged: it calls eventlet.wsgi.server in a green thread of its own."""

import sys
import urllib.request

from dualwsgi import eventlet as ours

ours.install()

import eventlet  # noqa: E402

if eventlet.BACKEND == "green":
    eventlet.monkey_patch()

from oslo_config import cfg  # noqa: E402
from oslo_service import wsgi  # noqa: E402


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read()]


conf = cfg.ConfigOpts()
conf(sys.argv[2:])
wsgi.register_opts(conf)
server = wsgi.Server(conf, "dualwsgi", app, host="127.0.0.1", port=0)
server.start()
for number in range(3):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/{number}", b"data", timeout=10) as answer:
        assert answer.read() == b"/%ddata" % number
server.stop()
server.wait()
print("pass")
