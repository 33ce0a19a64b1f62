"""What threads cannot do, and what looks like it and can be done."""

import greenlet  # doctor: greenlet

import eventlet
import eventlet.greenthread
from eventlet import Timeout, debug, hubs, tpool
from eventlet.green import time
from eventlet.greenthread import spawn_after as later

worker = eventlet.spawn(time.sleep, 5)
worker.kill()  # doctor: kill


class Pool:
    def __init__(self):
        self.worker = later(1, print)
        self.process = object()

    def close(self):
        self.worker.kill()  # doctor: kill
        self.process.kill()
        eventlet.kill(self.worker)  # doctor: kill


def fetch(seconds=None):
    try:
        with Timeout(5):  # doctor: timeout
            time.sleep(1)
        with Timeout(seconds):  # doctor: timeout
            time.sleep(1)
        with Timeout(None):
            time.sleep(1)
        raise Timeout()
    except eventlet.Timeout:
        return eventlet.with_timeout(1, time.sleep, 2, timeout_value=3)  # doctor: timeout


def looks(hub_class):
    hubs.get_hub().schedule_call_global(1, print)  # doctor: hub
    hubs.use_hub("poll")  # doctor: no-effect
    hubs.use_hub()
    tpool.set_num_threads(40)  # doctor: no-effect
    debug.hub_prevent_multiple_readers(True)  # doctor: no-effect
    debug.hub_prevent_multiple_readers(False)
    hubs.use_hub(hub_class)  # doctor: hub-of-ones-own
    debug.hub_blocking_detection(True)  # doctor: blocking-detection
    debug.hub_blocking_detection(False)
    return tpool.execute(len, "abc"), isinstance(worker, greenlet.greenlet)
