"""The settings, a room for each heading of the help page.  A new setting is one field in one of them."""

from .deadlines import Deadlines
from .development import Development
from .hooks import Hooks
from .listening import Listening
from .load import Load
from .proxies import Proxies
from .room import Room
from .sizes import Sizes
from .telling import Telling
from .tls import TLS
from .workers import Workers

__all__ = [
    "TLS",
    "Deadlines",
    "Development",
    "Hooks",
    "Listening",
    "Load",
    "Proxies",
    "Room",
    "Sizes",
    "Telling",
    "Workers",
]
