"""Patching, early and late and in part."""

import functools
import threading
import time
from time import sleep


class Kept(threading.local):  # doctor: patch-late
    pass


def naps(sleep=time.sleep):  # doctor: patch-late
    sleep(1)


nap = functools.partial(sleep, 1)  # doctor: patch-late
lock = threading.Lock()

import eventlet

eventlet.monkey_patch(MySQLdb=True, thread=True)  # doctor: patch, patch-group


def again():
    eventlet.patcher.monkey_patch(sockets=True)  # doctor: patch, patch-unknown, patch-in-function


class After(threading.local):
    pass


def rests(sleep=time.sleep):
    sleep(1)
