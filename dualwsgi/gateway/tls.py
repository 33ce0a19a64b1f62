"""TLS: a Stream laid over another, whichever backend that one waits on.

OpenSSL works on two buffers in memory here and never sees a socket.  What the lower stream reads goes
into one, what OpenSSL has encrypted is taken from the other and written, and BlockingIOError of the
lower stream passes through: to the driver this is a stream that now and then wants what it wants.

Two things differ from a socket, and both are owed to edge-triggered polling:

  - Octets may be here that no poll tells of, decrypted or not, so a short read says nothing.  The driver
    is told so by `lookahead`, and by `rest` where it is sure that nothing is left; else only BlockingIOError
    says that.
  - What is encrypted can be neither taken back nor cut anywhere.  When the lower stream takes a part
    of it, `write` returns the like share of the plain octets and remembers how many of those that
    follow are encrypted already.  So after a short write, or BlockingIOError, the next write must
    begin with the octets that were left, as the driver's always does.

The end is said (close_notify) before the connection is closed, unless it is broken off: a client may
take the end of TLS for the end of a response that has no length.

It knows no certificate files and no settings; the context comes from above.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import BadRequest
from ..seam import Stream, Verdict, closed
from .certinfo import client_environ, session_environ

if TYPE_CHECKING:
    from socket import socket

RECORD: Final = 16384
"""Octets of content in the largest record (RFC 8446 section 5.1)."""

RECORD_OVERHEAD: Final = 512
"""Octets that a record may be longer than its content, generously."""

BATCH: Final = 4 * RECORD
"""Octets that are encrypted before the lower stream is asked to take them."""

HANDSHAKE_RECORD: Final = 22
"""The first octet of every TLS connection (RFC 8446 section 5.1)."""

WANT_READ, AGAIN = Verdict.WANT_READ, Verdict.AGAIN

Notes = Mapping[ssl.SSLContext, Mapping[str, str]]
"""What each context says to environ by itself: the library, the server's certificate."""


class TlsObject(ssl.SSLObject):
    """An SSLObject that remembers which name the client has asked for; a context's SNI callback sets it."""

    requested_name = ""


class TlsStream:
    """See dualwsgi.seam.Stream.  Takes `raw` over; speaks TLS on it once handshake() has said RUN."""

    __slots__ = (
        "_ahead",
        "_engine",
        "_incoming",
        "_is_drained",
        "_is_full",
        "_notes",
        "_object",
        "_outgoing",
        "_pending",
        "_raw",
        "_secure",
        "fd",
        "is_greeted",
        "peer_environ",
        "read",
        "rest",
        "write",
    )

    lookahead = True
    has_socket = False

    def __init__(self, raw: Stream, context: ssl.SSLContext, notes: Notes) -> None:
        self._raw = raw
        self._notes = notes
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = made = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        # What lies below it has the same read and write, without a call of Python around each.
        self._engine: ssl.SSLObject = getattr(made, "_sslobj", made)
        self._pending = b""  # encrypted, and not yet taken by the lower stream
        self._ahead = 0  # plain octets whose encrypted form is in `_pending`, and were not reported
        self._is_drained = False  # the last read of the lower stream came back short
        self._is_full = False  # the last read here did not
        self.rest = Verdict.AGAIN
        self.is_greeted = False
        self._secure = False  # both sides have finished the handshake, and this one may still send
        self.fd = raw.fd
        self.peer_environ = raw.peer_environ  # after the handshake, what the session adds to that
        # Until the handshake is over, and again when TLS is, these are the lower stream's.
        self.read: Callable[[int], bytes] = raw.read
        self.write: Callable[[bytes | memoryview], int] = raw.write

    # The handshake

    def handshake(self) -> Verdict:
        """Goes on with the handshake.  RUN says that it is done.

        Raises BadRequest for a client that speaks plain HTTP; it can be answered in clear.  Raises
        OSError when there can be no connection; the client has been told why as TLS tells it.
        """
        while True:
            failure: ssl.SSLError | None = None
            done = False
            try:
                self._object.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                failure = error
            try:
                self._push()
            except BlockingIOError:
                if failure is None:
                    return Verdict.WANT_WRITE
            if failure is not None:
                raise ConnectionAbortedError(_reason(failure)) from None
            if done:
                self._begin()
                return Verdict.RUN
            try:
                data = self._raw.read(RECORD + RECORD_OVERHEAD)
            except BlockingIOError:
                return Verdict.WANT_READ
            if not data:
                raise ConnectionResetError("the client left")
            self.unread(data)

    def unread(self, data: bytes) -> None:
        """Octets that have come in before or in the handshake.  Raises BadRequest as handshake() does."""
        if not self.is_greeted:
            self.is_greeted = True
            # HTTP begins with a letter, or with an empty line that is passed over.
            if data[0] != HANDSHAKE_RECORD and (data[:1].isalpha() or data[:1] in b"\r\n"):
                raise BadRequest(400, "plain HTTP on a port that speaks HTTPS; ask again by https://")
        self._incoming.write(data)

    def _begin(self) -> None:
        self._secure = True
        self.read, self.write = self._read, self._write
        made, context = self._object, self._object.context
        environ = {
            **self._notes.get(context, {}),
            **session_environ(made, getattr(made, "requested_name", "")),
        }
        if context.verify_mode is not ssl.CERT_NONE:
            environ |= client_environ(made)
        self.peer_environ = environ

    # Reading and writing

    def _read(self, count: int) -> bytes:
        """Up to `count` octets, b"" at the end.  Raises BlockingIOError, or OSError."""
        read, incoming = self._engine.read, self._incoming
        # OpenSSL is not asked for what it cannot have: its refusal costs as much as a read.
        empty = not incoming.pending and not self._is_full
        while True:
            if empty:
                data = self._raw.read(count)
                if data:
                    incoming.write(data)
                else:
                    incoming.write_eof()
                self._is_drained = 0 < len(data) < count
            try:
                plain = read(count)
            except ssl.SSLWantReadError:
                empty = True
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # The latter is an end without close_notify.  Content that is cut short is seen by
                # its framing, so that need not be an error here.
                return b""
            except ssl.SSLError as error:
                raise self._broken(error) from None
            self._is_full = is_full = len(plain) == count
            self.rest = WANT_READ if self._is_drained and not is_full and not incoming.pending else AGAIN
            return plain

    def _write(self, data: bytes | memoryview) -> int:
        """How many octets of `data` were taken.  Raises BlockingIOError if none was, or OSError."""
        size = len(data)
        whole = 0  # encrypted octets of which the lower stream has had its first chance
        if size <= RECORD and not self._pending and not self._ahead:  # nearly all are like this
            try:
                self._ahead = self._engine.write(data)
            except ssl.SSLError as error:
                raise self._broken(error) from None
            self._pending = octets = self._outgoing.read()
            try:
                sent = self._raw.write(octets)
            except BlockingIOError:
                sent = 0
            whole = len(octets)
            self._pending = octets[sent:]
            if sent == whole and self._ahead == size:
                self._ahead = 0
                return size
        view = memoryview(data)
        done = 0
        ahead = min(self._ahead, size)
        beyond = self._ahead - ahead  # a file that became shorter meanwhile
        while True:
            before = whole or len(self._pending)
            whole = 0
            try:
                self._push()
            except BlockingIOError:
                gone = before - len(self._pending)
                share = max(0, min(ahead - 1, ahead * gone // before)) if ahead else 0
                self._ahead = ahead - share + beyond
                if done + share:
                    return done + share
                raise
            done += ahead
            self._ahead = beyond
            if done == size:
                return done
            ahead = self._encrypt(view[done : done + BATCH])

    def _encrypt(self, view: bytes | memoryview) -> int:
        done = 0
        try:
            while done < len(view):
                done += self._engine.write(view[done:])
        except ssl.SSLError as error:
            raise self._broken(error) from None
        self._pending += self._outgoing.read()
        return done

    def _push(self) -> None:
        """Has the lower stream take all that is encrypted.  Raises BlockingIOError, or OSError."""
        if self._outgoing.pending:
            self._pending += self._outgoing.read()
        while self._pending:
            sent = self._raw.write(self._pending)
            self._pending = self._pending[sent:]

    def writev(self, buffers: Sequence[bytes | memoryview]) -> int:
        if sum(map(len, buffers)) <= BATCH:
            return self._write(b"".join(buffers))  # records of their own, and writes, would cost more
        sent = 0
        for buffer in buffers:
            try:
                taken = self._write(buffer)
            except BlockingIOError:
                if sent:
                    break
                raise
            sent += taken
            if taken < len(buffer):
                break
        return sent

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        data = os.pread(fd, min(count, BATCH), offset)
        return self._write(data) if data else 0

    # Waiting, which the lower stream does

    def wait_readable(self, timeout: float) -> None:
        self._raw.wait_readable(timeout)

    def wait_writable(self, timeout: float) -> None:
        self._raw.wait_writable(timeout)

    def hand_over(self) -> socket:
        raise NotImplementedError  # who has the socket would have to go on with the encryption

    def take_back(self) -> None:
        raise NotImplementedError

    def interrupt(self) -> None:
        self._raw.interrupt()

    # What the lower stream knows

    def peer_ended(self, timeout: float) -> bool:
        return self._raw.peer_ended(timeout)

    def watch_end(self, callback: Callable[[], object]) -> None:
        self._raw.watch_end(callback)

    def is_broken(self) -> bool:
        return self._raw.is_broken()

    def unsent(self) -> int:
        return self._raw.unsent()

    def abort(self) -> None:
        self._raw.abort()

    # The end

    def shutdown_write(self) -> None:
        """Says the end of TLS and of the connection.  What is read after this is dropped, and is raw."""
        self._say_goodbye()
        self._raw.shutdown_write()

    def break_off(self) -> None:
        self._give_up()
        self._raw.break_off()

    def close(self) -> None:
        self._say_goodbye()
        # The descriptor's number may soon be another connection's, and who has kept something of this one
        # (wsgi.early_hints) would write into that, in clear.
        self.read = self.write = closed
        self._raw.close()

    def _broken(self, error: ssl.SSLError) -> ConnectionAbortedError:
        """What to raise for an error of OpenSSL's, after which there can be no more."""
        self._give_up()
        return ConnectionAbortedError(_reason(error))

    def _give_up(self) -> None:
        """There will be no proper end; an alert that says why is sent if that can be done at once."""
        self._secure = False
        try:
            self._push()
        except OSError:
            pass

    def _say_goodbye(self) -> None:
        if self._secure:
            self._secure = False
            if not self._pending:  # the client has not taken what came before
                try:
                    self._object.unwrap()
                except (ssl.SSLError, OSError):
                    pass  # it would wait for the client's goodbye, which nobody needs
                try:
                    self._push()
                except OSError:
                    pass
        self.read, self.write = self._raw.read, self._raw.write


def _reason(error: ssl.SSLError) -> str:
    """What is wrong, in OpenSSL's words: "no shared cipher"."""
    text = getattr(error, "verify_message", "") or error.reason or error.strerror or "no reason given"
    return text.replace("_", " ").lower()
