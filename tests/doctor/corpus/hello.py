"""eventlet's own first example, as its documentation has it."""

import eventlet
from eventlet import wsgi


def hello_world(env, start_response):
    if env["PATH_INFO"] != "/":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return ["Not Found\r\n"]  # doctor: text
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["Hello, World!\r\n"]  # doctor: text


wsgi.server(eventlet.listen(("", 8090)), hello_world)  # doctor: server
