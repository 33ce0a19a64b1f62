"""`threading.local` for greenlets: other attributes in each greenlet, freed when it is.

The values live in the greenlet, not in the local: a value that refers to its greenlet is then a
plain cycle, which the collector frees.  A local that dies takes its values out of every greenlet.
Each OS thread has a greenlet, too, so real threads are separate without more ado.
"""

from __future__ import annotations

import weakref
from typing import Any

from greenlet import getcurrent

__all__ = ["local"]

_KEY = "_dualwsgi_locals"


class _Values(dict[int, dict[str, Any]]):
    """The attributes of one greenlet, by the id of their local's identity."""

    __slots__ = ("__weakref__",)


class _Identity:
    """What a local is known by; its end is the local's end."""

    __slots__ = ("args", "holders", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.holders: weakref.WeakSet[Any] = weakref.WeakSet()

    def __del__(self) -> None:
        key = id(self)
        for values in list(self.holders):
            values.pop(key, None)


class _HashById:
    """A weakly referable handle of one `_Values` (a dict has no hash of its own)."""

    __slots__ = ("__weakref__", "pop", "values")

    def __init__(self) -> None:
        self.values = _Values()
        self.pop = self.values.pop


class local:
    """Attributes that each greenlet sees for itself; `__init__` of a subclass runs once in each."""

    __slots__ = ("__dict__", "__weakref__", "_dualwsgi_identity")

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Any:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        object.__setattr__(self, "_dualwsgi_identity", _Identity(args, kwargs))
        # __init__ is called by the type for this greenlet: its attributes must be there before.
        _new_attributes(object.__getattribute__(self, "_dualwsgi_identity"))
        return self

    def __getattribute__(self, name: str, /) -> Any:
        attributes = _attributes(self)
        if name in attributes:
            return attributes[name]
        if name == "__dict__":
            return attributes
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any, /) -> None:
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        if _is_data_descriptor(type(self), name):
            _attributes(self)
            object.__setattr__(self, name, value)
        else:
            _attributes(self)[name] = value

    def __delattr__(self, name: str, /) -> None:
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        attributes = _attributes(self)
        if name in attributes:
            del attributes[name]
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*_attributes(self), *dir(type(self))})


def _is_data_descriptor(cls: type, name: str) -> bool:
    for base in cls.__mro__:
        if name in base.__dict__:
            return hasattr(type(base.__dict__[name]), "__set__")
    return False


def _attributes(self: Any) -> dict[str, Any]:
    """The attributes of `self` in the current greenlet, made (and `__init__` run) if need be."""
    identity = object.__getattribute__(self, "_dualwsgi_identity")
    handle = getcurrent().__dict__.get(_KEY)
    if handle is not None:
        attributes = handle.values.get(id(identity))
        if attributes is not None:
            return attributes  # type: ignore[no-any-return]
    attributes = _new_attributes(identity)
    cls = type(self)
    if cls.__init__ is not object.__init__:
        try:
            cls.__init__(self, *identity.args, **identity.kwargs)
        except BaseException:
            getcurrent().__dict__[_KEY].values.pop(id(identity), None)
            raise
    return attributes


def _new_attributes(identity: _Identity) -> dict[str, Any]:
    holder = getcurrent().__dict__
    handle = holder.get(_KEY)
    if handle is None:
        handle = holder[_KEY] = _HashById()
    attributes: dict[str, Any] = {}
    handle.values[id(identity)] = attributes
    identity.holders.add(handle)
    return attributes


def forget_all(greenlet: Any) -> None:
    """Free what all locals hold for `greenlet`, which has ended."""
    greenlet.__dict__.pop(_KEY, None)
