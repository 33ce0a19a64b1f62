"""Names that are eventlet's in one place and not in another."""

import eventlet
from eventlet import Timeout, spawn


def mine(eventlet, Timeout=print):
    Timeout(5)
    return eventlet.Timeout(5), eventlet.nonsense


def theirs():
    spawn = list
    spawn("abc").kill()
    Timeout(5)  # doctor: timeout
    return [Timeout(5) for Timeout in (print,)]


class Holder:
    Timeout = print

    def use(self):
        return Timeout(1), self.Timeout(1)  # doctor: timeout


short = eventlet.Timeout


def aliased():
    short(3)  # doctor: timeout
    worker = spawn(print)
    worker = print
    worker.kill()
