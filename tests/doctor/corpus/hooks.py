"""Every key and method that eventlet's server adds, under aliases."""

import eventlet as e
import eventlet.wsgi as w

handled = w.WSGI_LOCAL  # doctor: already-handled


def app(environ, respond):
    environ["eventlet.posthooks"].append((print, (), {}))  # doctor: posthooks
    environ.get("eventlet.set_idle", int)()  # doctor: set-idle
    environ["eventlet.minimum_write_chunk_size"] = 0  # doctor: minimum-chunk
    names = environ["headers_raw"]  # doctor: raw-headers
    if "RAW_PATH_INFO" in environ:  # doctor: raw-path
        names += ()
    body = environ["wsgi.input"]
    body.set_hundred_continue_response_headers([("X-A", "1")])  # doctor: continue
    body.send_hundred_continue_response()  # doctor: continue
    sock = body.get_socket()  # doctor: get-socket
    sock.sendall(b"mine")
    if environ["eventlet.input"].chunked_input:  # doctor: eventlet-input
        return w.ALREADY_HANDLED  # doctor: already-handled
    respond("200 OK", {"X-A": "1"})  # doctor: headers-dict
    yield f"{names}"  # doctor: text
    yield b"bytes"


class Own(w.HttpProtocol):  # doctor: protocol
    def handle_one_response(self):  # doctor: protocol-response
        return super().handle_one_response()


e.spawn(w.server, e.listen(("", 0)), app, protocol=Own)  # doctor: server
