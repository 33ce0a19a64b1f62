"""Speaks of eventlet, Timeout(5) and monkey_patch() and uses none of it: every finding is a false alarm.

    import eventlet; eventlet.monkey_patch(); eventlet.Timeout(5)
"""

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import TimeoutError as Timeout

TEXT = "environ['eventlet.posthooks'] and import eventlet"


class Timeout:  # noqa: F811
    def __init__(self, seconds):
        self.seconds = seconds


class Worker(threading.Thread):
    def kill(self):
        self.join()


def monkey_patch(**groups):
    return groups


def spawn(function):
    return Worker(target=function)


def application(environ, start_response):
    # eventlet.Timeout(5) would do this
    eventlet = {"posthooks": [], "Timeout": Timeout}
    eventlet.get("posthooks")
    monkey_patch(thread=True)
    worker = spawn(time.sleep)
    worker.kill()
    start_response("200 OK", [("X-Timeout", str(Timeout(5).seconds))])
    return [b"bytes", TEXT.encode(), "text".encode()]


def helper(environ, other):
    return ["no application, since it never calls its second argument"]


def reads(headers_raw, request):
    with request.files["RAW_PATH_INFO"] as file:
        return file.get_socket(), {"headers_raw": headers_raw}["headers_raw"]
