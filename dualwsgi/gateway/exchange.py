"""One request's response: start_response, write, the iterable, and the end of it (PEP 3333).

An Exchange lives for one call of the application.  It decides nothing about the connection beyond
`keep_alive`, and it waits only through the connection's `send`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..errors import ApplicationError, ClientGone
from ..http11.body import CRLF, LAST_CHUNK, chunk_line, encode_chunk
from ..http11.response import UNSTAMPED, Framing, ResponsePlan, frame, plan_response
from .input import FileWrapper
from .outlet import COPIED_UP_TO
from .site import logger

if TYPE_CHECKING:
    from .connection import Connection

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

# Found in the enumeration, each costs as much as a call.
NONE, SIZED, CHUNKED, RAW = Framing.NONE, Framing.SIZED, Framing.CHUNKED, Framing.RAW
OCTETS: Final = (bytes, bytearray)
WHOLE: Final = (list, tuple)


class Exchange:
    """The response to one request, as far as it has got.

    OPEN names the methods that a subclass may override: what of PEP 3333 it allows the application
    (the first three), and what the head says (`_begin`).
    """

    OPEN: ClassVar = frozenset({"start_response", "write", "respond", "_begin"})

    __slots__ = (
        "_conn",
        "_overflowed",
        "_result",
        "content_sent",
        "ended",
        "framing",
        "head_sent",
        "keep_alive",
        "left",
        "plan",
    )

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.plan: ResponsePlan | None = None
        self.head_sent = False
        self._result: Any = None  # what the application returned, while it may have to be closed
        self.ended = False  # nothing may follow: what close() would write is no part of the response

    # What the application calls

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333.  Raises ApplicationError for what must not be sent."""
        if self.plan is not None:
            if exc_info is None:
                raise ApplicationError("start_response was called a second time without exc_info")
            if self.head_sent:
                try:
                    raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None
        # Requests that are alike are answered alike, which is found out in half the time of a look-up.
        request = self._conn.request
        planned = request.planned
        if planned is not None and headers == planned[1] and status == planned[0]:
            self.plan = planned[2]
            return self
        plans = self._conn.site.plans
        key = status, tuple(headers)
        try:
            plan = plans.known.get(key)
        except TypeError:  # lists for tuples, say, which make no key
            self.plan = self._checked(plan_response(status, key[1], self._conn.site.server_field))
        else:
            if plan is None:
                plan = self._new_plan(key)
            elif request.whole >= 0:  # it is kept
                request.planned = status, list(headers), plan
            self.plan = plan
        return self

    def _new_plan(self, key: tuple[str, tuple[tuple[str, str], ...]]) -> ResponsePlan:
        site = self._conn.site
        plan = plan_response(*key, site.server_field)
        # Equal keys must mean equal octets, which holds for str and not for its subclasses.  What is known
        # is not checked again, so what depends on the request is never known.
        if len(plan.head) <= 2048 and not plan.upgrade:
            plan = site.plans.recall(key) or plan
            if site.plans.comes_again(key):
                site.plans.keep(key, plan, 2 * len(plan.head))
        return self._checked(plan)

    def _checked(self, plan: ResponsePlan) -> ResponsePlan:
        if plan.upgrade and self._conn.request.fields.upgrade is None:
            raise ApplicationError("101 answers only a request that asks for an upgrade")
        return plan

    def write(self, data: bytes) -> None:
        """The callable that start_response returns: sends `data`, and the head first, before it returns."""
        if self.ended:
            raise ApplicationError("write() after the end of the response")
        self.send(data, None)

    # So that start_response need not make a method object, which hardly any application calls.
    __call__ = write

    # Sending the response

    def respond(self, result: Iterable[bytes]) -> None:
        """Sends what the application returned, and the end of the response."""
        self._result = result
        if type(result) is FileWrapper and self._respond_with_file(result):
            return
        if not self.head_sent and isinstance(result, WHOLE):
            self._respond_whole(result)
            return
        count = -1
        if hasattr(result, "__len__"):  # most have none, and that is dear to find out by an exception
            try:
                count = len(result)  # type: ignore[arg-type]  # it has said that it has one
            except TypeError:
                pass
        outlet = self._conn.outlet
        has_begun = is_chunked = is_sized = False
        size, line = 0, b""
        for data in result:
            if not has_begun or type(data) is not bytes or not data or (is_sized and len(data) > self.left):
                if data or not isinstance(data, OCTETS):
                    # PEP 3333: the only item tells the length.
                    self.send(data, len(data) if count == 1 else None)
                    if self.framing is NONE or self._overflowed:
                        break  # the rest of the content is not sent, so it need not be made
                    has_begun, is_chunked, is_sized = True, self.framing is CHUNKED, self.framing is SIZED
                continue
            # As send() does it, with less ado.  Each piece is on its way before the next is asked for, which
            # may be long in coming (PEP 3333, "Buffering and Streaming").
            if len(data) != size:  # mostly they are alike
                size = len(data)
                line = chunk_line(size)
            self.content_sent += size
            if not is_chunked:
                if is_sized:
                    self.left -= size
                outlet.send(data)
            elif size <= COPIED_UP_TO:
                outlet.send(b"".join((line, data, CRLF)))
            else:
                outlet.send_all((line, data, CRLF))
        self.finish(0 if count in (0, 1) else None)

    def _respond_whole(self, result: list[bytes] | tuple[bytes, ...]) -> None:
        """The whole content is here: it is written at once, and what does not fit is left to park."""
        for data in result:
            if not isinstance(data, OCTETS):
                raise _not_bytes(data)
        content = bytes(result[0]) if len(result) == 1 else b"".join(result)
        head = self._begin(len(content))
        if self.framing is NONE:
            content = b""
        elif self.framing is SIZED:
            content = self._fitted(content)
        elif self.framing is CHUNKED:
            content = (encode_chunk(content) if content else b"") + LAST_CHUNK
        self.content_sent += len(content)
        if self.framing is SIZED and self.left:
            self._conn.outlet.send(head + content)
            raise self._too_short()
        self.ended = True
        self._conn.outlet.send_last(head, content)

    def send(self, data: bytes, length: int | None) -> None:
        """Sends a piece of content, the head before it if that is not out.

        `length` is that of the whole content where it is known.
        """
        if not isinstance(data, OCTETS):
            raise _not_bytes(data)
        head = b"" if self.head_sent else self._begin(length)
        framing = self.framing
        if framing is NONE:
            data = b""
        elif framing is SIZED:
            data = self._fitted(data)
        self.content_sent += len(data)
        outlet = self._conn.outlet
        if framing is CHUNKED and data:
            outlet.send_all((head, chunk_line(len(data)), data, CRLF))
        else:
            outlet.send_all((head, data))

    def finish(self, length: int | None = None) -> None:
        """The application has no more to say."""
        head = b"" if self.head_sent else self._begin(length)
        if self.framing is SIZED and self.left:
            self._conn.outlet.send(head)
            raise self._too_short()
        self.ended = True
        self._conn.outlet.send_last(head, LAST_CHUNK if self.framing is CHUNKED else b"")

    def drop(self, result: object) -> None:
        """What the application returned is not to be sent."""
        self.ended = True
        self._result = result
        self.close_result()

    def close_result(self) -> None:
        """PEP 3333: close() is called once, however the response ended."""
        result, self._result = self._result, None
        close = getattr(result, "close", None)
        if close is not None:
            _close(close, self._conn.describe)

    def close_aside(self, aside: Callable[[Callable[[], object]], None]) -> None:
        """close_result() by somebody else, and later."""
        result, self._result = self._result, None
        close = getattr(result, "close", None)
        if close is not None:
            told = self._conn.describe()  # which may be at another request by then
            aside(partial(_close, close, lambda: told))

    def _too_short(self) -> ApplicationError:
        return ApplicationError(
            f"the application sent {self.left} octets less than the Content-Length it declared"
        )

    def _begin(self, length: int | None) -> bytes:
        """The octets of the head; from here on the response has begun."""
        plan = self.plan
        if plan is None:
            raise ApplicationError("content before start_response was called")
        conn = self._conn
        if conn.is_tunnel:
            raise ClientGone("the application has the client's socket, and says all that is said there")
        conn.deadline.begin()
        self.content_sent = 0
        self._overflowed = False
        stamp = conn.stamped(plan, length)
        if stamp is not None:
            size = stamp[1]
            self.framing = CHUNKED if size is None else SIZED
            self.left = size or 0
            self.keep_alive = not conn.request.is_last
            self.head_sent = True
            conn.head_is_out(tunnel=False)
            return stamp[2]
        line = conn.request.line
        decided = frame(
            plan,
            method=line.method,
            http_11=line.version >= (1, 1),
            keep_alive=conn.may_keep_alive(),
            length=length,
        )
        self.framing = decided.framing
        self.keep_alive = decided.keep_alive
        self.left = decided.length if decided.framing is SIZED and decided.length is not None else 0
        self.head_sent = True
        conn.head_is_out(tunnel=decided.framing is RAW)
        date = b"" if plan.has_date else conn.site.date.line
        return b"%b%b%b\r\n" % (plan.head, decided.lines, date)

    def _fitted(self, data: bytes) -> bytes:
        """`data`, cut to what Content-Length still allows: more would be read as the next response."""
        if len(data) > self.left:
            if not self._overflowed:
                self._overflowed = True
                logger.warning(
                    "%s: the application sent more than the Content-Length it declared; the rest was dropped",
                    self._conn.describe(),
                )
            data = data[: self.left]
        self.left -= len(data)
        return data

    # Files

    def _respond_with_file(self, wrapper: FileWrapper) -> bool:
        """Sends the file by the kernel, if it is one that the kernel can send; else False."""
        plan = self.plan
        if not wrapper.is_plain or self.head_sent or plan is None:
            return False
        try:
            fd = wrapper.filelike.fileno()
            offset = wrapper.filelike.tell()
            size = os.fstat(fd)
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(size.st_mode):
            return False
        available = max(0, size.st_size - offset)
        if not size.st_size and os.pread(fd, 1, offset):
            return False  # those of /proc hold more than they say
        if plan.length is not None and plan.length > available:
            logger.warning(
                "%s: the application declared %d octets of a file that has %d; the file's length was sent",
                self._conn.describe(),
                plan.length,
                available,
            )
            self.plan = replace(plan, length=available, stamped=UNSTAMPED, stamped_last=UNSTAMPED)
        head = self._begin(available)
        if self.framing is RAW:
            self._conn.outlet.send(head)
            return False
        self.ended = True
        if self.framing is not SIZED:
            self._conn.outlet.send_last(head, b"")
            return True
        count, self.left = self.left, 0
        self.content_sent = count
        self._conn.outlet.send_file(head, wrapper, fd, offset, count)
        return True


def _close(close: Callable[[], object], describe: Callable[[], str]) -> None:
    try:
        close()
    except BaseException:
        logger.exception("%s: close() of the application's iterable failed", describe())


def _not_bytes(data: object) -> ApplicationError:
    return ApplicationError(f"content must be bytes, not {type(data).__name__} (PEP 3333)")
