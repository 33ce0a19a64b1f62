"""What the kernel says when an address cannot be had, in an operator's words."""

from __future__ import annotations

import errno
import os
import socket

from table import table

from dualwsgi.config import parse_bind
from dualwsgi.errors import ConfigError
from dualwsgi.serve.bind_error import explain_bind


@table(
    ("address", "number", "says"),
    [
        ("127.0.0.1:8000", errno.EADDRINUSE, "127.0.0.1:8000 is in use; give another port, or see who"),
        ("127.0.0.1:8000", errno.EADDRINUSE, "ss -tlnp sport = :8000"),
        (
            "[::1]:80",
            errno.EACCES,
            "[::1]:80 needs a privilege, as every port up to 1023; give a higher port",
        ),
        ("192.0.2.1:80", errno.EADDRNOTAVAIL, "is no address of this machine; give 127.0.0.1:80 or :80"),
        ("[::1]:80", errno.EAFNOSUPPORT, "give an IPv4 address"),
        ("127.0.0.1:8000", errno.EACCES, "cannot be listened on (Permission denied)"),
        (
            "unix:/run/a.sock",
            errno.EADDRINUSE,
            "in use by a running server; see which: ss -xlp src /run/a.sock",
        ),
        ("unix:/run/a.sock", errno.EACCES, "a directory that this user may write to"),
        ("unix:/no/a.sock", errno.ENOENT, "in a directory that does not exist"),
        ("unix:@a", errno.EADDRINUSE, "unix:@a is in use; give another"),
        ("fd://9", errno.EBADF, "fd://9 is not a listening socket"),
        ("127.0.0.1:8000", errno.EMFILE, "cannot be listened on (Too many open files)"),
    ],
)
def test_a_failure_to_bind_names_the_address_and_the_cure(address: str, number: int, says: str) -> None:
    error = explain_bind(parse_bind(address), OSError(number, os.strerror(number)))
    assert isinstance(error, ConfigError)
    assert str(error).startswith("bind: ")
    assert says in str(error)


def test_a_host_without_an_address_is_named() -> None:
    error = explain_bind(parse_bind("nowhere.invalid:80"), socket.gaierror(-2, "Name or service not known"))
    assert "nowhere.invalid:80 is a host that no name service knows" in str(error)
