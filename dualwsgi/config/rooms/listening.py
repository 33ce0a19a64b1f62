"""Where it listens, and on what it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..kinds import Binds, Choice, Permissions, Switch, Text, knob
from .room import Room

__all__ = ["BackendName", "Listening"]

BackendName = Literal["threads", "green"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Listening(Room):
    __slots__ = ()
    heading = "Addresses and backend"

    bind: tuple[str, ...] = knob(
        ("127.0.0.1:8000",),
        Binds(
            "Listen here: HOST:PORT, [IPV6]:PORT, :PORT for every interface, unix:PATH, unix:@NAME "
            "or fd://N; repeat it to listen on several.",
            short="-b",
        ),
    )
    reuse_port: bool = knob(
        False, Switch("Let other servers listen on the same port (SO_REUSEPORT); the kernel shares it out.")
    )
    unix_socket_perms: str = knob(
        "", Permissions("Permissions of the files of unix sockets, such as 660; default: by the umask.")
    )
    unix_socket_owner: str = knob(
        "",
        Text("Whose the files of unix sockets are: USER, USER:GROUP or :GROUP.", metavar="OWNER"),
    )
    backend: BackendName = knob(
        "threads", Choice("What runs the application: OS threads or greenlets.", "threads", "green")
    )
    patch: bool = knob(
        True, Switch("Make the standard library cooperative before the application is imported (green only).")
    )
    as_eventlet: bool = knob(
        False, Switch("Have the application's `import eventlet` find dualwsgi.eventlet, on this backend.")
    )
    strict_patch: bool = knob(
        False,
        Switch(
            "On threads, make eventlet.monkey_patch() an error that names its caller, in place of a warning."
        ),
    )
