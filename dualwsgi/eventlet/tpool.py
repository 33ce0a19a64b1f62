"""eventlet.tpool: real threads for what cannot wait cooperatively.  On threads, a plain call."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any

from .ground import IS_GREEN, ground

__all__ = ["Proxy", "execute", "killall", "set_num_threads"]

QUIET = True
_nthreads = int(os.environ.get("EVENTLET_THREADPOOL_SIZE") or 20)
if IS_GREEN:
    ground.size_native_threads(_nthreads)


def execute(meth: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """meth(*args, **kwargs) in a real thread; the others run meanwhile.  Its result, or what it raises."""
    try:
        return ground.in_native_thread(meth, args, kwargs)
    except Exception:
        if not QUIET:
            traceback.print_exc()
        raise


def setup() -> None:
    """Threads are made as they are needed."""


def killall() -> None:
    """Lets the threads of the pool go."""
    ground.end_native_threads()


def set_num_threads(nthreads: int) -> None:
    """How many calls may run at once; for the calls after this one.  On threads RuntimeWarning, unless 0."""
    global _nthreads
    _nthreads = nthreads
    ground.size_native_threads(nthreads)


class Proxy:
    """An object whose methods are called by execute().

    What a method returns is wrapped likewise if its type is in `autowrap`, or its name in
    `autowrap_names`.
    """

    def __init__(self, obj: Any, autowrap: Any = (), autowrap_names: Any = ()) -> None:
        self._obj = obj
        if isinstance(autowrap, list | tuple):
            autowrap = tuple(autowrap)
        self._autowrap = autowrap
        self._autowrap_names = autowrap_names

    def __getattr__(self, attr_name: str) -> Any:
        value = getattr(self._obj, attr_name)
        if not callable(value):
            wraps = attr_name in self._autowrap_names or (
                self._autowrap and isinstance(value, self._autowrap)
            )
            return self._wrapped(value) if wraps else value
        return _Method(self, attr_name, value)

    def _wrapped(self, result: Any) -> Any:
        return Proxy(result, self._autowrap, self._autowrap_names)

    # Special methods are looked up in the class.  The quick ones are called where the caller is.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = execute(self._obj, *args, **kwargs)
        if "__call__" in self._autowrap_names or (self._autowrap and isinstance(result, self._autowrap)):
            return self._wrapped(result)
        return result

    def __getitem__(self, key: Any) -> Any:
        return execute(self._obj.__getitem__, key)

    def __setitem__(self, key: Any, value: Any) -> Any:
        return execute(self._obj.__setitem__, key, value)

    def __delitem__(self, key: Any) -> Any:
        return execute(self._obj.__delitem__, key)

    def __deepcopy__(self, memo: Any = None) -> Any:
        return execute(self._obj.__deepcopy__, memo)

    def __copy__(self, memo: Any = None) -> Any:
        return execute(self._obj.__copy__, memo)

    def __enter__(self) -> Any:
        return execute(self._obj.__enter__)

    def __exit__(self, *exc_info: object) -> Any:
        return execute(self._obj.__exit__, *exc_info)

    def __eq__(self, other: object) -> bool:
        return bool(self._obj == other)

    def __hash__(self) -> int:
        return hash(self._obj)

    def __repr__(self) -> str:
        return repr(self._obj)

    def __str__(self) -> str:
        return str(self._obj)

    def __len__(self) -> int:
        return len(self._obj)

    def __bool__(self) -> bool:
        return bool(self._obj)

    def __iter__(self) -> Any:
        iterator = iter(self._obj)
        return self if iterator is self._obj else Proxy(iterator)

    def __next__(self) -> Any:
        result = execute(_next, self._obj)
        if result is _END:
            raise StopIteration
        return result

    next = __next__


class _Method:
    """A method of a proxied object."""

    def __init__(self, proxy: Proxy, name: str, method: Callable[..., Any]) -> None:
        self._proxy = proxy
        self._name = name
        self._method = method
        self.__name__ = name
        self.__doc__ = method.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        proxy = self._proxy
        result = execute(self._method, *args, **kwargs)
        if self._name in proxy._autowrap_names or (proxy._autowrap and isinstance(result, proxy._autowrap)):
            return proxy._wrapped(result)
        return result


_END: Any = object()


def _next(iterator: Any) -> Any:
    # StopIteration must not pass through a thread's result, where a generator would eat it.
    return next(iterator, _END)
