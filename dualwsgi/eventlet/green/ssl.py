"""eventlet.green.ssl: the ssl module, with sockets that wait as the chosen backend waits.

wrap_socket, which Python 3.12 has removed, is still here.
"""

from __future__ import annotations

import ssl as _native
from typing import Any

from ..ground.net import net
from ._copy import fill

fill(globals(), _native)

SSLSocket: Any = net.SSLSocket
GreenSSLSocket: Any = net.SSLSocket


def wrap_socket(
    sock: Any,
    keyfile: Any = None,
    certfile: Any = None,
    server_side: bool = False,
    cert_reqs: Any = _native.CERT_NONE,
    ssl_version: Any = None,
    ca_certs: Any = None,
    do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True,
    ciphers: str | None = None,
    server_hostname: str | None = None,
) -> Any:
    """`sock` as a TLS socket.  Without `ca_certs` no certificate of the peer is checked, as it ever was."""
    if ssl_version is None:
        ssl_version = _native.PROTOCOL_TLS_SERVER if server_side else _native.PROTOCOL_TLS_CLIENT
    context = _native.SSLContext(ssl_version)
    context.check_hostname = False
    context.verify_mode = cert_reqs
    if certfile:
        context.load_cert_chain(certfile, keyfile)
    elif server_side:
        raise ValueError("certfile must be specified for server-side operations")
    if ca_certs:
        context.load_verify_locations(ca_certs)
    if ciphers:
        context.set_ciphers(ciphers)
    return net.create(
        context,
        sock,
        server_side=server_side,
        do_handshake_on_connect=do_handshake_on_connect,
        suppress_ragged_eofs=suppress_ragged_eofs,
        server_hostname=server_hostname,
    )


class GreenSSLContext(_native.SSLContext):
    """An SSLContext whose wrap_socket gives sockets that wait as the chosen backend waits."""

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        names = (
            "server_side",
            "do_handshake_on_connect",
            "suppress_ragged_eofs",
            "server_hostname",
            "session",
        )
        return net.create(self, sock, **dict(zip(names, args, strict=False)), **kwargs)


SSLContext: Any = GreenSSLContext


def create_default_context(
    purpose: Any = _native.Purpose.SERVER_AUTH, *, cafile: Any = None, capath: Any = None, cadata: Any = None
) -> Any:
    """As that of the ssl module."""
    protocol = (
        _native.PROTOCOL_TLS_CLIENT if purpose == _native.Purpose.SERVER_AUTH else _native.PROTOCOL_TLS_SERVER
    )
    context = GreenSSLContext(protocol)
    if cafile or capath or cadata:
        context.load_verify_locations(cafile, capath, cadata)
    elif context.verify_mode != _native.CERT_NONE:
        context.load_default_certs(purpose)
    return context


def _create_unverified_context(*args: Any, **kwargs: Any) -> Any:
    context = GreenSSLContext(_native.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = _native.CERT_NONE
    return context


_create_stdlib_context = _create_unverified_context
_create_default_https_context = create_default_context
