"""Sockets whose blocking calls let other greenlets run.

A green socket is a real `socket.socket`: same class tree, same C structure.  At the level of the
system, and of the C structure, it never blocks; the timeout that its user sees is kept beside it, in
a `_Conduct`, and waiting is the hub's.  Each call tries first and waits only after EAGAIN, so that the
hub may keep the descriptor registered edge-triggered, for the life of the socket.

The same methods serve three kinds of objects, which is why they live in `GreenMethods`, a class
without any attribute of its own, and call the C methods by name and never `super()`:
- `GreenSocket`, which has a slot for its conduct;
- TLS sockets (`ssl.py` mixes them in beneath the methods of SSLSocket);
- after `patch()`, `socket.socket` itself, which is given these methods in place.  So sockets,
  subclasses and names that existed before the patch are green, too.  A plain socket from before has
  no room for an attribute: its conduct is kept in `_adopted`.

In a thread without a hub, a wait is a plain poll of that thread.
"""

from __future__ import annotations

import errno
import io
import os
import socket
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from dualwsgi.green import dns, originals
from dualwsgi.green.hub import FdWatch, current_hub, forget_fd
from dualwsgi.green.originals import RawSocket, monotonic
from dualwsgi.green.poller import READ, WRITE
from dualwsgi.green.thread import sleep

__all__ = [
    "GreenMethods",
    "GreenSocket",
    "create_connection",
    "create_server",
    "fromfd",
    "socketpair",
    "wait_native",
]

_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)
_WAITALL = getattr(socket, "MSG_WAITALL", 0)
_GiveUpOnSendfile: Any = socket._GiveupOnSendfile  # type: ignore[attr-defined]
_IN_PROGRESS = {errno.EINPROGRESS, errno.EALREADY, errno.EINTR}


class _Conduct:
    """How a socket waits: its timeout (seconds; None for ever; 0 never), and the hub's registration."""

    __slots__ = ("timeout", "watch")

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self.watch: FdWatch | None = None

    def wait(self, sock: Any, write: bool, deadline: float | None) -> None:
        """Wait until `sock` is ready, after an EAGAIN; TimeoutError at `deadline`."""
        rest = None
        if deadline is not None:
            rest = deadline - monotonic()
            if rest <= 0:
                raise TimeoutError("timed out")
        fd = RawSocket.fileno(sock)
        if fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        hub = current_hub()
        if hub is None:
            ready = wait_native(fd, WRITE if write else READ, rest)
        else:
            watch = self.watch
            if watch is None or watch.hub is None:
                watch = self.watch = hub.watch(fd)
            if watch.hub is hub:
                ready = watch.wait(write, rest)
            else:  # kept by another thread's hub
                ready = hub.wait_fd(fd, WRITE if write else READ, rest)
        if not ready:
            raise TimeoutError("timed out")

    def deadline(self) -> float | None:
        """When a call that starts now times out."""
        return None if self.timeout is None else monotonic() + self.timeout


def wait_native(fd: int, mask: int, timeout: float | None) -> bool:
    """Block this thread until `fd` is ready; False if `timeout` seconds passed."""
    if originals.native_poll is not None:
        poll = originals.native_poll()
        poll.register(fd, mask)
        return bool(poll.poll(None if timeout is None else timeout * 1000))
    reads, writes = [fd] if mask & READ else [], [fd] if mask & WRITE else []
    return any(originals.native_select(reads, writes, [], timeout))


_adopted: weakref.WeakKeyDictionary[Any, _Conduct] = weakref.WeakKeyDictionary()


def conduct(sock: Any) -> _Conduct:
    """The conduct of a socket; one that was made before the patch gets it here."""
    try:
        return sock._green  # type: ignore[no-any-return]
    except AttributeError:
        known = _adopted.get(sock)
        return known if known is not None else _adopt(sock)


def _adopt(sock: Any) -> _Conduct:
    known = _Conduct(RawSocket.gettimeout(sock))
    if RawSocket.fileno(sock) >= 0:
        RawSocket.setblocking(sock, False)
    try:
        sock._green = known
    except AttributeError:
        _adopted[sock] = known
    return known


def _blocking(raw: Callable[..., Any], write: bool, flags_at: int) -> Callable[..., Any]:
    """A method that calls the C method `raw` until it does not say EAGAIN, waiting in between.

    `flags_at` is the place of the flags among the arguments: with MSG_DONTWAIT it never waits.
    """

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            how = self._green
        except AttributeError:
            how = conduct(self)
        try:
            return raw(self, *args, **kwargs)
        except BlockingIOError:
            if how.timeout == 0 or _flags(args, kwargs, flags_at) & _DONTWAIT:
                raise
        deadline = how.deadline()
        while True:
            how.wait(self, write, deadline)
            try:
                return raw(self, *args, **kwargs)
            except BlockingIOError:
                pass

    method.__name__ = raw.__name__
    method.__qualname__ = f"socket.{raw.__name__}"
    method.__doc__ = raw.__doc__
    return method


def _flags(args: tuple[Any, ...], kwargs: dict[str, Any], at: int) -> int:
    flags = args[at] if len(args) > at else kwargs.get("flags", 0)
    return flags if isinstance(flags, int) else 0


_recv = _blocking(RawSocket.recv, False, 1)
_recv_into = _blocking(RawSocket.recv_into, False, 2)
_send = _blocking(RawSocket.send, True, 1)
_sendto = _blocking(RawSocket.sendto, True, 1)
_sendmsg = _blocking(RawSocket.sendmsg, True, 2)
_accept: Any = _blocking(RawSocket._accept, False, 9)  # type: ignore[attr-defined]


class GreenMethods(socket.socket):
    """The methods of green sockets, over those of the C class.  Nothing here calls `super()`."""

    __slots__ = ()

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        originals.socket_init(self, family, type, proto, fileno)
        # What setdefaulttimeout() or SOCK_NONBLOCK asked for becomes the user's timeout.
        timeout = RawSocket.gettimeout(self)
        RawSocket.setblocking(self, False)
        try:
            self._green = _Conduct(timeout)
        except AttributeError:
            _adopted[self] = _Conduct(timeout)

    # The timeout

    def settimeout(self, value: Any, /) -> None:
        """Seconds that a call may wait; None for ever, 0 not at all."""
        if value is not None:
            value = float(value)
            if value < 0:
                raise ValueError("Timeout value out of range")
        conduct(self).timeout = value
        # Who else has the descriptor may have changed it; SSLSocket detaches another socket from it.
        RawSocket.setblocking(self, False)

    def gettimeout(self) -> float | None:
        """Seconds that a call may wait; None for ever, 0 not at all."""
        return conduct(self).timeout

    def setblocking(self, flag: bool, /) -> None:
        """True: wait for ever.  False: never wait."""
        conduct(self).timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Whether calls may wait."""
        return conduct(self).timeout != 0

    timeout = property(gettimeout, doc="Seconds that a call may wait; None for ever, 0 not at all.")

    # Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Wait for a connection: a green socket and the address of the peer."""
        fd, address = _accept(self)
        new = GreenSocket(self.family, self.type, self.proto, fileno=fd)
        if socket.getdefaulttimeout() is None:
            conduct(new).timeout = None
        return new, address

    def connect(self, address: Any, /) -> None:
        """Connect; a host name is looked up in a real thread."""
        error = _connect(self, address)
        if error:
            raise OSError(error, os.strerror(error))

    def connect_ex(self, address: Any, /) -> int:
        """Connect; returns the number of the error, 0 for none (EAGAIN when it timed out)."""
        try:
            return _connect(self, address)
        except TimeoutError:
            return errno.EAGAIN

    def _real_close(self, _raw: Any = RawSocket) -> None:
        fd = _raw.fileno(self)
        if fd >= 0 and forget_fd is not None:  # None while the interpreter ends
            forget_fd(fd)
        _raw.close(self)

    def detach(self) -> int:
        """Give the descriptor away; who waits for it gets EBADF.

        It leaves as a blocking one if the socket had no timeout, as from a native socket.
        """
        fd = RawSocket.fileno(self)
        if fd >= 0:
            forget_fd(fd)
            if conduct(self).timeout is None:
                os.set_blocking(fd, True)
        self._closed = True
        return RawSocket.detach(self)

    # Receiving

    recvfrom = _blocking(RawSocket.recvfrom, False, 1)
    recvfrom_into = _blocking(RawSocket.recvfrom_into, False, 2)
    recvmsg = _blocking(RawSocket.recvmsg, False, 2)
    recvmsg_into = _blocking(RawSocket.recvmsg_into, False, 2)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Up to `bufsize` bytes; all of them with MSG_WAITALL, unless the peer ends first."""
        data: bytes = _recv(self, bufsize, flags)
        if not flags & _WAITALL or len(data) in (0, bufsize) or conduct(self).timeout is not None:
            return data
        parts = [data]
        missing = bufsize - len(data)
        while missing and data:
            data = _recv(self, missing, flags)
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into `buffer`; returns how many bytes.  All with MSG_WAITALL, unless the peer ends."""
        count: int = _recv_into(self, buffer, nbytes, flags)
        if not flags & _WAITALL or not count or conduct(self).timeout is not None:
            return count
        with memoryview(buffer) as view, view.cast("B") as octets:
            wanted = nbytes or len(octets)
            while count < wanted:
                more = _recv_into(self, octets[count:], wanted - count, flags)
                if not more:
                    break
                count += more
        return count

    # Sending

    def sendto(self, data: Any, *args: Any) -> int:
        """Send a datagram to an address, as (data, address) or (data, flags, address)."""
        if args and conduct(self).timeout != 0:
            args = (*args[:-1], dns.numeric(self.family, args[-1]))
        return _sendto(self, data, *args)  # type: ignore[no-any-return]

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send; returns how many bytes went out: all of them if there is no timeout, as a blocking
        socket does."""
        sent: int = _send(self, data, flags)
        if conduct(self).timeout is None and not flags & _DONTWAIT:
            with memoryview(data) as view:
                total = view.nbytes
            if sent < total:
                sent += _send_rest(self, [data], sent, flags)
        return sent

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send everything; TimeoutError if that takes longer than the timeout."""
        how = conduct(self)
        deadline = how.deadline()
        with memoryview(data) as view, view.cast("B") as octets:
            sent, total = 0, len(octets)
            while True:
                try:
                    sent += RawSocket.send(self, octets[sent:] if sent else octets, flags)
                except BlockingIOError:
                    if how.timeout == 0:
                        raise
                    how.wait(self, True, deadline)
                if sent >= total:
                    return

    def sendmsg(
        self, buffers: Iterable[Any], ancdata: Any = (), flags: int = 0, address: Any = None, /
    ) -> int:
        """Send several buffers and control messages; returns how many bytes went out: all of them
        if there is no timeout, as a blocking socket does."""
        buffers = list(buffers)
        sent: int = _sendmsg(self, buffers, ancdata, flags, address)
        if conduct(self).timeout is None and not flags & _DONTWAIT and address is None:
            total = sum(memoryview(buffer).nbytes for buffer in buffers)
            if 0 < sent < total:
                sent += _send_rest(self, buffers, sent, flags)
        return sent

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        # Called by the sendfile() of the standard class, which falls back to send() if this gives up.
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        if originals.os_sendfile is None:
            raise _GiveUpOnSendfile("os.sendfile() is not available on this platform")
        try:
            source = file.fileno()
            size = os.fstat(source).st_size
        except (AttributeError, io.UnsupportedOperation, OSError) as error:
            raise _GiveUpOnSendfile(error) from None
        if not size:
            return 0
        how = conduct(self)
        if how.timeout == 0:
            raise ValueError("non-blocking sockets are not supported")
        fd = RawSocket.fileno(self)
        total = 0
        try:
            while count is None or total < count:
                block = min(size if count is None else count - total, 2**30)
                try:
                    sent = originals.os_sendfile(fd, source, offset, block)
                except BlockingIOError:
                    how.wait(self, True, how.deadline())
                    continue
                except OSError as error:
                    if not total:
                        raise _GiveUpOnSendfile(error) from None
                    raise
                if not sent:
                    break
                offset += sent
                total += sent
            return total
        finally:
            if total and hasattr(file, "seek"):
                file.seek(offset)


def _send_rest(sock: Any, buffers: list[Any], sent: int, flags: int) -> int:
    """Send what is left after the first `sent` bytes; returns how much of it went before an error."""
    more = 0
    for buffer in buffers:
        with memoryview(buffer) as view, view.cast("B") as octets:
            skip = min(sent, len(octets))
            sent -= skip
            while skip < len(octets):
                try:
                    count = _send(sock, octets[skip:], flags)
                except OSError:
                    return more  # the next call raises it, as with a blocking socket
                skip += count
                more += count
    return more


def _connect(sock: Any, address: Any) -> int:
    """Connect and return the number of the error; TimeoutError when the socket's timeout passes."""
    how = conduct(sock)
    deadline = how.deadline()
    if how.timeout != 0:
        address = dns.numeric(sock.family, address)
    error: int = RawSocket.connect_ex(sock, address)
    pause = 0.001
    while error == errno.EAGAIN and how.timeout != 0 and sock.family == socket.AF_UNIX:
        # The queue of the listener is full.  Such a socket says EAGAIN and offers nothing to wait for.
        if deadline is not None and monotonic() >= deadline:
            raise TimeoutError("timed out")
        sleep(pause)
        pause = min(pause * 2, 0.05)
        error = RawSocket.connect_ex(sock, address)
    if error not in _IN_PROGRESS or how.timeout == 0:
        return error
    while True:
        how.wait(sock, True, deadline)
        error = RawSocket.getsockopt(sock, socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return error
        try:
            RawSocket.getpeername(sock)
        except OSError as not_yet:
            if not_yet.errno != errno.ENOTCONN:
                return not_yet.errno or 0
            continue
        return 0


class GreenSocket(GreenMethods):
    """A `socket.socket` for greenlets."""

    __slots__ = ("_green",)


# Making sockets, without the patch


def socketpair(
    family: int | None = None, type: int = socket.SOCK_STREAM, proto: int = 0
) -> tuple[GreenSocket, GreenSocket]:
    """Two connected green sockets."""
    family = socket.AF_UNIX if family is None else family
    first, second = originals.socketpair(family, type, proto)
    return GreenSocket(family, type, proto, first.detach()), GreenSocket(family, type, proto, second.detach())


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> GreenSocket:
    """A green socket for a duplicate of `fd`."""
    return GreenSocket(family, type, proto, os.dup(fd))


_DEFAULT: Any = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]


def create_connection(
    address: tuple[str, int], timeout: float | None = _DEFAULT, source_address: Any = None
) -> GreenSocket:
    """A green socket connected to (host, port), trying each address of the host in turn."""
    host, port = address
    failure: OSError | None = None
    for family, kind, proto, _, target in dns.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        sock = GreenSocket(family, kind, proto)
        try:
            if timeout is not _DEFAULT:
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(target)
            return sock
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
    try:
        raise failure or OSError("getaddrinfo returns an empty list")
    finally:
        failure = None


def create_server(address: Any, *, family: int = socket.AF_INET, backlog: int = 128) -> GreenSocket:
    """A green socket that listens on `address` (with SO_REUSEADDR)."""
    sock = GreenSocket(family, socket.SOCK_STREAM)
    try:
        if family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


# What patch() gives to socket.socket, in place.


def _new(cls: Any, *args: Any, **kwargs: Any) -> Any:
    return RawSocket.__new__(GreenSocket if cls is _stdlib_class else cls)


_stdlib_class = socket.socket


def patch_class() -> None:
    """Make `socket.socket`, and so every socket of this process, green."""
    for name, value in vars(GreenMethods).items():
        if name not in ("__module__", "__doc__", "__slots__", "__weakref__", "__dict__", "__firstlineno__"):
            if name.startswith("__") and name not in ("__init__",):
                continue
            setattr(_stdlib_class, name, value)
    _stdlib_class.__new__ = staticmethod(_new)  # type: ignore[method-assign]
