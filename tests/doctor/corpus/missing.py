"""Names that are not there, and those that a program can do without."""

import importlib

import eventlet.websocket
from eventlet import db_pool, spawn  # doctor: missing
from eventlet.green import socket, zmq  # doctor: missing

try:
    from eventlet import dagpool
except ImportError:
    dagpool = None

pool = db_pool.ConnectionPool(object)
context = zmq.Context()
socket.socket().close()
spawn(eventlet.nonsense)  # doctor: missing
module = importlib.import_module("eventlet.hubs.nonsense")  # doctor: missing
timeout = importlib.import_module("eventlet.timeout")
handle = eventlet.websocket.WebSocketWSGI(print)  # doctor: websocket
