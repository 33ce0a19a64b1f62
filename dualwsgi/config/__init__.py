"""Every setting of the server: one frozen dataclass, one field a knob, checked in one place.

    settings.py   Config: all fields, what they say of each other, what is asked of them together
    rooms/        the fields themselves, a room for each heading of the help page
    kinds/        the kinds of knob: how each is written in text, which values are allowed
    address.py    addresses to listen on, from text and back
    environ.py    the settings that variables make

A field's metadata holds its Knob.  Flags (`--queue-size`), variables (`DUALWSGI_QUEUE_SIZE`) and
help pages are made from that, so no option is told twice.  Where a knob also exists in gunicorn, it
has the name it has there.

Nothing here knows a command line, opens a file or binds a socket.
"""

from .address import BindAddress, bracketed, parse_bind
from .environ import ENV_PREFIX, available_cores, mistyped, read_environ
from .kinds import DAY, Count, Knob, LogTarget, Seconds, Several, Switch
from .rooms.listening import BackendName
from .rooms.telling import AUTO, ClockMode, LogLevel
from .settings import Config, headings, knobs

__all__ = [
    "AUTO",
    "DAY",
    "ENV_PREFIX",
    "BackendName",
    "BindAddress",
    "ClockMode",
    "Config",
    "Count",
    "Knob",
    "LogLevel",
    "LogTarget",
    "Seconds",
    "Several",
    "Switch",
    "available_cores",
    "bracketed",
    "headings",
    "knobs",
    "mistyped",
    "parse_bind",
    "read_environ",
]
