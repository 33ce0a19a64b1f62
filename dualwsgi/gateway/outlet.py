"""What goes out of a connection: the octets that must be sent before one goes on, and those that need not.

In the middle of a response sending may wait, as backends wait.  The end of a response is sent as far as
the client takes it; what is left of it, octets or a file, is kept here and holds no thread and no
greenlet.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..errors import ApplicationError, ClientGone, DeadlineExceeded
from .input import FileWrapper

if TYPE_CHECKING:
    from .connection import Connection

JOINED_UP_TO: Final = 65536
"""Octets up to which head and content are joined for one write; beyond, copying costs more."""

COPIED_UP_TO: Final = 16384
"""Octets up to which a piece in the middle of a response is joined with what frames it."""


class FileTail:
    """The rest of a file that is being sent."""

    __slots__ = ("count", "fd", "offset", "wrapper")

    def __init__(self, wrapper: FileWrapper, fd: int, offset: int, count: int) -> None:
        self.wrapper = wrapper  # keeps the file open
        self.fd = fd
        self.offset = offset
        self.count = count


class Outlet:
    """The sending side of one connection.

    `rest` and `file` are what is left of a response.
    """

    __slots__ = ("_conn", "_deadline", "_left", "_pace", "_stream", "_timeout", "_unsent", "file", "rest")

    def __init__(self, conn: Connection) -> None:
        site = conn.site
        self._conn = conn  # whose turn counts what goes out
        self._stream = conn.stream
        self._deadline = conn.deadline
        self._timeout = self._left = site.config.write_timeout  # how long a client may take nothing
        self._pace = site.response_pace  # what each octet that it takes makes up for (see phase.pace)
        self._unsent = 0
        self.rest: memoryview | None = None
        self.file: FileTail | None = None

    @property
    def is_empty(self) -> bool:
        return self.rest is None and self.file is None

    def clear(self) -> None:
        """What is left will not be sent."""
        self.rest = self.file = None

    def send(self, data: bytes | memoryview) -> None:
        """Sends all of `data`; may wait.  Raises ClientGone, DeadlineExceeded, RequestTimeout."""
        rest: bytes | memoryview = data
        while rest:
            try:
                sent = self._stream.write(rest)
            except BlockingIOError:
                self._wait()
                continue
            except OSError as error:
                raise self._gone(error) from None
            self._conn.turn.counters.bytes_sent += sent
            if sent == len(rest):
                return
            rest = memoryview(rest)[sent:]
            self._make_up(sent)

    def send_all(self, buffers: Sequence[bytes]) -> None:
        """send() of several buffers, by one write."""
        size = sum(map(len, buffers))
        if size <= COPIED_UP_TO:
            self.send(b"".join(buffers))
            return
        try:
            sent = self._stream.writev(buffers)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._gone(error) from None
        self._conn.turn.counters.bytes_sent += sent
        if sent != size:
            self._make_up(sent)
            self.send(memoryview(b"".join(buffers))[sent:])

    def _gone(self, error: OSError) -> ClientGone:
        """What to raise for an error of a write.  Raises RequestTimeout if the sweep has made it."""
        self._deadline.check_ended()
        return ClientGone(str(error))

    def _make_up(self, sent: int) -> None:
        """The client has taken so many octets in the middle of a response, and has longer for the rest."""
        self._left = min(self._timeout, self._left + sent * self._pace)

    def _wait(self) -> None:
        """Waits until the client may take more.  Raises DeadlineExceeded, RequestTimeout."""
        conn, began = self._conn, monotonic()
        self.look()
        conn.is_sending = True
        try:
            try:
                self._stream.wait_writable(min(self._left, self._deadline.remaining()))
            finally:
                waited = monotonic() - began
                conn.waited += waited
                conn.is_sending = False
        except DeadlineExceeded:
            self._deadline.check()
            taken = self.taken()
            if not taken:
                raise
            self._left = min(self._timeout, taken * self._pace)
        else:
            self._left = max(0.0, self._left - waited)

    # A system tells that a socket is writable only when much of its buffer has become free, which may
    # take a client minutes that reads at a fair rate.  So who seems late is looked at more closely.

    def look(self) -> None:
        """Notes how much the client has yet to take of what was sent."""
        self._unsent = self._stream.unsent()

    def taken(self) -> int:
        """Octets that the client has taken since the last look."""
        before = self._unsent
        self.look()
        return max(0, before - self._unsent)

    def send_last(self, head: bytes, content: bytes) -> None:
        """Sends the end of a response as far as the client takes it; the rest is left to flush()."""
        joined = len(content) <= JOINED_UP_TO
        if joined and not head and not content:
            return
        try:
            sent = self._stream.write(head + content) if joined else self._stream.writev((head, content))
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientGone(str(error)) from None
        self._conn.turn.counters.bytes_sent += sent
        if sent < len(head):
            self.rest = memoryview(head + content)[sent:]
        elif sent < len(head) + len(content):
            self.rest = memoryview(content)[sent - len(head) :]

    def send_file(self, head: bytes, wrapper: FileWrapper, fd: int, offset: int, count: int) -> None:
        """Sends `head`, and leaves `count` octets of a regular file from `offset` to flush_file()."""
        self.send(head)
        self.file = FileTail(wrapper, fd, offset, count)

    def flush(self) -> None:
        """Sends on what is left.  Raises BlockingIOError when the client takes no more, and OSError."""
        while self.rest:
            sent = self._stream.write(self.rest)
            self._conn.turn.counters.bytes_sent += sent
            self.rest = self.rest[sent:]
        self.rest = None

    def flush_file(self) -> None:
        """Sends on a file; may wait, if only for a disk.

        Raises BlockingIOError when the client takes no more, ClientGone, DeadlineExceeded,
        ApplicationError when the file has become shorter, and OSError of the file.
        """
        file = self.file
        assert file is not None
        while file.count:
            try:
                sent = self._stream.sendfile(file.fd, file.offset, file.count)
            except NotImplementedError:
                data = os.pread(file.fd, min(file.count, JOINED_UP_TO), file.offset)
                self.send(data)
                sent = len(data)
            except BlockingIOError:
                raise
            except ConnectionError as error:
                raise ClientGone(str(error)) from None
            else:
                self._conn.turn.counters.bytes_sent += sent
            if not sent:
                raise ApplicationError("the file became shorter while it was sent")
            file.offset += sent
            file.count -= sent
        self.file = None
