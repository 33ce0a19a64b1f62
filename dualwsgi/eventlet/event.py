"""eventlet.event: a value, or an exception, that is sent once and any number wait for."""

from __future__ import annotations

from typing import Any, Final

from .ground import ground

__all__ = ["NOT_USED", "Event"]


class _NotUsed:
    def __repr__(self) -> str:
        return "NOT_USED"


NOT_USED: Final = _NotUsed()


class Event:
    """Sent once, until reset(): `send(result)` or `send(exc=...)`; `wait()` returns or raises that."""

    def __init__(self) -> None:
        self._guard = ground.allocate_lock()
        self._waiters: dict[Any, list[tuple[Any, Any]]] = {}
        self._result: Any = NOT_USED
        self._exc: Any = None

    def __str__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} result={self._result!r} exc={self._exc!r}>"

    def reset(self) -> None:
        """Makes it ready to be sent again.  AssertionError if it has not been sent."""
        assert self._result is not NOT_USED, "reset() of an event that has not been sent"
        self._result, self._exc = NOT_USED, None

    # Asking

    def ready(self) -> bool:
        """Whether it has been sent."""
        return self._result is not NOT_USED

    def has_exception(self) -> bool:
        return self._exc is not None

    def has_result(self) -> bool:
        return self._result is not NOT_USED and self._exc is None

    def poll(self, notready: Any = None) -> Any:
        """As wait(), if it has been sent; else `notready`."""
        return self.wait() if self.ready() else notready

    def poll_exception(self, notready: Any = None) -> Any:
        """As wait(), if an exception has been sent; else `notready`."""
        return self.wait() if self.has_exception() else notready

    def poll_result(self, notready: Any = None) -> Any:
        """As wait(), if a result has been sent; else `notready`."""
        return self.wait() if self.has_result() else notready

    # Waiting and sending

    def wait(self, timeout: float | None = None) -> Any:
        """What was sent, or will be; None after `timeout` seconds without."""
        with self._guard:
            if self._result is not NOT_USED:
                sent = [(self._result, self._exc)]
                waiter = None
            else:
                waiter = ground.new_waiter()
                sent = self._waiters[waiter] = []
        if waiter is not None:
            try:
                waiter.wait(timeout)
            finally:
                with self._guard:
                    self._waiters.pop(waiter, None)
        if not sent:
            return None
        result, exc = sent[0]
        if exc is not None:
            _raise(exc)
        return result

    def send(self, result: Any = None, exc: Any = None) -> None:
        """Wakes all who wait, with a result or an exception.  AssertionError if it has been sent before."""
        with self._guard:
            assert self._result is NOT_USED, "send() of an event that has been sent; reset() it first"
            self._result, self._exc = result, exc
            waiters, self._waiters = self._waiters, {}
        for waiter, sent in waiters.items():
            sent.append((result, exc))
            waiter.wake()

    def send_exception(self, *args: Any) -> None:
        """send(exc=...), for an exception or what sys.exc_info() gives."""
        self.send(None, args[0] if len(args) == 1 else args)


def _raise(exc: Any) -> None:
    if not isinstance(exc, tuple):
        raise exc
    kind, value, trace = (*exc, None, None)[:3]
    if value is None:
        value = kind() if isinstance(kind, type) else kind
    elif not isinstance(value, BaseException):
        value = kind(value)
    raise value.with_traceback(trace)
