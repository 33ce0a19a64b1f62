"""eventlet.hubs: the loop that knows who waits for what, seen as eventlet shows it."""

from __future__ import annotations

from typing import Any

from ..ground import ground

__all__ = ["get_default_hub", "get_hub", "notify_close", "notify_opened", "trampoline", "use_hub"]


def get_hub() -> Any:
    """The hub of this OS thread; on threads, what can be said without one."""
    return ground.hub_view()


def use_hub(mod: Any = None) -> None:
    """There is one hub here, and it is in use: names of eventlet's own are taken, to no effect.

    RuntimeWarning for them on threads, where there is none.
    """
    if isinstance(mod, type):
        raise NotImplementedError(f"a hub of one's own ({mod!r}) cannot be used: dualwsgi has one hub")
    if mod is not None:
        ground.choose_hub(repr(getattr(mod, "__name__", mod)))


def get_default_hub() -> Any:
    """The module of the hub."""
    import sys

    return sys.modules[__name__]


def trampoline(
    fd: Any,
    read: bool | None = None,
    write: bool | None = None,
    timeout: float | None = None,
    timeout_exc: Any = ground.Timeout,
    mark_as_closed: Any = None,
) -> None:
    """Waits until `fd`, a descriptor or what has one, is readable or writable; raises `timeout_exc`
    after `timeout` seconds."""
    assert not (read and write), "not allowed to trampoline for reading and writing"
    number = fd if isinstance(fd, int) else fd.fileno()
    if not ground.wait_fd(number, bool(write), timeout):
        raise timeout_exc() if isinstance(timeout_exc, type) else timeout_exc


def notify_close(fd: int) -> None:
    """`fd` is about to be closed: who waits for it is woken."""
    ground.forget_fd(fd)


def notify_opened(fd: int) -> None:
    """`fd` is a new descriptor: who waited for its predecessor is woken."""
    ground.notify_opened(fd)


IOClosed = OSError
"""The descriptor was closed while one waited for it, which is told by EBADF."""


def shutdown_hub() -> None: ...
