"""TLS sockets for greenlets.

An SSLSocket does all its work through `self._sslobj`, and on a socket that does not block that raises
SSLWantReadError or SSLWantWriteError after the socket has said EAGAIN.  So five methods suffice, each
a loop of try and wait.  They are mixed into `GreenSSLSocket`; `patch()` gives them to `SSLSocket`
itself.  SSLContext is never subclassed, and contexts made before the patch work.

Bytes that OpenSSL has decrypted already are found by trying; nothing waits for the descriptor before.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from dualwsgi.green.socket import GreenMethods, conduct

__all__ = ["GreenSSLMethods", "GreenSSLSocket", "wrap_socket"]


def _loop(sock: Any, what: str, call: Callable[..., Any], *args: Any) -> Any:
    """`call(*args)` until OpenSSL wants nothing more, within the socket's timeout."""
    how = conduct(sock)
    if how.timeout == 0:
        return call(*args)
    deadline = how.deadline()
    while True:
        try:
            return call(*args)
        except ssl.SSLWantReadError:
            write = False
        except ssl.SSLWantWriteError:
            write = True
        try:
            how.wait(sock, write, deadline)
        except TimeoutError:
            raise TimeoutError(f"The {what} operation timed out") from None


class GreenSSLMethods:
    """The methods of SSLSocket that may wait."""

    _sslobj: Any
    suppress_ragged_eofs: bool

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Up to `len` bytes, or their number if they go into `buffer`; nothing at the end."""
        self._checkClosed()  # type: ignore[attr-defined]
        if self._sslobj is None:
            raise ValueError("Read on closed or unwrapped SSL socket.")
        try:
            if buffer is None:
                return _loop(self, "read", self._sslobj.read, len)
            return _loop(self, "read", self._sslobj.read, len, buffer)
        except ssl.SSLError as error:
            if error.args[0] == ssl.SSL_ERROR_EOF and self.suppress_ragged_eofs:
                return b"" if buffer is None else 0
            raise

    def write(self, data: Any) -> int:
        """Send `data`; returns how many bytes of it went out."""
        self._checkClosed()  # type: ignore[attr-defined]
        if self._sslobj is None:
            raise ValueError("Write on closed or unwrapped SSL socket.")
        return _loop(self, "write", self._sslobj.write, data)  # type: ignore[no-any-return]

    def send(self, data: Any, flags: int = 0) -> int:
        """Send `data`; returns how many bytes of it went out."""
        self._checkClosed()  # type: ignore[attr-defined]
        if self._sslobj is None:
            return GreenMethods.send(self, data, flags)  # type: ignore[arg-type]
        if flags != 0:
            raise ValueError(f"non-zero flags not allowed in calls to send() on {self.__class__}")
        return _loop(self, "write", self._sslobj.write, data)  # type: ignore[no-any-return]

    def unwrap(self) -> Any:
        """End TLS, with a goodbye to the peer; returns the plain socket."""
        if not self._sslobj:
            raise ValueError("No SSL wrapper around " + str(self))
        plain = _loop(self, "unwrap", self._sslobj.shutdown)
        self._sslobj = None
        return plain

    def do_handshake(self, block: bool = False) -> None:
        """Negotiate TLS; `block` waits even if the socket does not."""
        self._check_connected()  # type: ignore[attr-defined]
        how = conduct(self)
        timeout = how.timeout
        try:
            if timeout == 0 and block:
                how.timeout = None
            _loop(self, "handshake", self._sslobj.do_handshake)
        finally:
            how.timeout = timeout


class GreenSSLSocket(GreenSSLMethods, ssl.SSLSocket, GreenMethods):  # type: ignore[misc]
    """An SSLSocket for greenlets, where SSLSocket itself is not patched."""


def wrap_socket(context: ssl.SSLContext, sock: Any, **kwargs: Any) -> ssl.SSLSocket:
    """`context.wrap_socket(sock, ...)` with a green result, whether the process is patched or not."""
    return GreenSSLSocket._create(sock, context=context, **kwargs)  # type: ignore[attr-defined, no-any-return]


def patch_class() -> None:
    """Make `ssl.SSLSocket`, and so every TLS socket of this process, green."""
    for name in ("read", "write", "send", "unwrap", "do_handshake"):
        setattr(ssl.SSLSocket, name, vars(GreenSSLMethods)[name])
