"""eventlet.green.socket: the socket module, with sockets that wait as the chosen backend waits."""

from __future__ import annotations

import socket as _native
from typing import Any

from ..ground.net import net
from ._copy import fill

fill(globals(), _native)

socket: Any = net.socket
SocketType: Any = net.socket
_fileobject: Any = _native.SocketIO
for _name, _value in net.functions().items():
    globals()[_name] = _value
del _name, _value
