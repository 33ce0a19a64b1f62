"""For tests: servers for any application on both backends, and clients that behave or do not.

    def test_it_answers(wsgi_server):
        served = wsgi_server(app, threads=4)
        assert served.ask(request("GET", "/hello")).status == 200

`plugin` is loaded by pytest, by its entry point, and offers the fixtures; it is the only file here that
knows pytest.  `wire` holds clients that speak HTTP octet by octet, `misbehave` the ways to do it badly,
`serving` the servers.  Nothing of the library imports any of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .misbehave import BAD_FRAMING, Misbehaving
    from .serving import Served
    from .wire import Client, ProtocolError, Response, chunked, eventually, request

__all__ = [
    "BAD_FRAMING",
    "Client",
    "Misbehaving",
    "ProtocolError",
    "Response",
    "Served",
    "chunked",
    "eventually",
    "request",
]

_ROOMS = {"BAD_FRAMING": ".misbehave", "Misbehaving": ".misbehave", "Served": ".serving"}


def __getattr__(name: str) -> Any:
    # Late: pytest loads this package in every run, and most runs have no server to test.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS.get(name, ".wire"), __name__), name)
