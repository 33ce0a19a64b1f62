"""What was made, or imported, before the patch: replaced where it is found, named where it cannot be.

Names.  `from time import sleep` in a module that was imported before the patch is the native one for
ever.  Module attributes and class attributes that are replaced functions are replaced, too; what
modules outside the standard library held is reported, because copies in places that nobody can see
(default arguments, closures) may remain.

Locks.  A native lock that two greenlets contend for stops the OS thread, and so both, for ever.  So
native Locks and RLocks, SimpleQueues and plain `threading.local` objects are looked for in everything
the garbage collector knows, and each is replaced by a green one *in all places or not at all*: a lock
that is native for one user and green for another excludes nobody.  "All" is proven by counting: if
the references found are fewer than the reference count, somebody holds one that cannot be seen (a
running function, C code), and the lock stays and is reported.

The attributes of a class are changed through the class, never in its dictionary: the interpreter
keeps what it has looked up there beside it, without a reference, and forgets it only when the class
is told of the change.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import sys
import threading
import types
from collections.abc import Callable
from functools import partial
from typing import Any

from greenlet import getcurrent

from dualwsgi.green import originals
from dualwsgi.green.local import local
from dualwsgi.green.queue import SimpleQueue
from dualwsgi.green.sync import Lock, RLock

__all__ = ["upgrade_names", "upgrade_objects"]

# Modules that must go on with the native names: the interpreter's own C modules behind what is
# patched, and this library.
_LEAVE = {"posix", "_socket", "_signal", "_ssl", "nt", "greenlet", "faulthandler"}


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and f"{module}.".startswith("dualwsgi.green.")


def _is_class(thing: object) -> bool:
    """Without a question to the object itself, as `isinstance` may ask: a proxy would load what it is for."""
    return issubclass(type(thing), type)


def _is_foreign(module: str) -> bool:
    """Whether it is neither the standard library's nor ours."""
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and not _is_ours(module)


def upgrade_names(replaced: dict[int, Any], old: list[Any]) -> list[str]:
    """Replace the values with these ids in all modules; returns "module.name" of the foreign ones.

    `old` holds the replaced objects themselves, so that their ids stay theirs.
    """
    found = []
    for name, module in list(sys.modules.items()):
        if _is_ours(name) or name in _LEAVE or not isinstance(module, types.ModuleType):
            continue
        namespace = vars(module)
        for key, value in list(namespace.items()):
            new = replaced.get(id(value))
            if new is not None:
                namespace[key] = new
                if _is_foreign(name):
                    found.append(f"{name}.{key}")
            elif _is_class(value) and value.__module__ == name:
                for attribute, held in list(vars(value).items()):
                    static = type(held) is staticmethod
                    new = replaced.get(id(held.__func__ if static else held))
                    if new is None:
                        continue
                    # A built-in function is no method; a Python function in its place would become one.
                    function = isinstance(new, types.FunctionType)
                    setattr(value, attribute, staticmethod(new) if static or function else new)
                    if _is_foreign(name):
                        found.append(f"{name}.{value.__qualname__}.{attribute}")
    return found


# Objects

_METHOD = types.BuiltinMethodType
_NATIVE: tuple[type[Any], ...] = (
    originals.Lock,
    originals.RLockType,
    originals.NativeSimpleQueue,
    originals.NativeLocal,
)
_KINDS = {
    originals.Lock: "Lock",
    originals.RLockType: "RLock",
    originals.NativeSimpleQueue: "SimpleQueue",
    originals.NativeLocal: "local",
}

_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE, of classes whose attributes cannot be set


class _Found:
    """One native object: who refers to it, and which of its bound methods somebody holds."""

    __slots__ = ("holders", "methods", "native", "places", "seen")

    def __init__(self, native: Any) -> None:
        self.native = native
        self.holders: list[Any] = []
        self.methods: dict[int, _Found] = {}
        self.seen = 0


def upgrade_objects() -> list[str]:
    """Replace what can be replaced; returns a description of each object that stays native."""
    gc.collect()
    found = _search()
    left = []
    for entry in found.values():
        if _is_exempt(entry.native, entry.holders):
            continue
        problem = _problem(entry)
        new = None if problem else _green_twin(entry.native)
        if new is None:
            left.append(
                f"{_KINDS[type(entry.native)]} in {_describe(entry)} ({problem or 'held by a thread'})"
            )
            continue
        for holder in entry.holders:
            _replace(holder, entry.native, new)
        for method in entry.methods.values():
            for holder in method.holders:
                _replace(holder, method.native, getattr(new, method.native.__name__))
    return left


def _search() -> dict[int, _Found]:
    """All native objects that something refers to, with those who do."""
    found: dict[int, _Found] = {}
    methods: dict[int, _Found] = {}
    everything = gc.get_objects()
    skip = {id(everything), id(found), id(methods), id(sys._getframe())}
    pending = [thing for thing in everything if id(thing) not in skip]
    # The dictionary of a class stands for the class.
    classes = {id(_namespace(thing)): thing for thing in pending if _is_class(thing)}
    seen: set[int] = set()
    skip.add(id(pending))
    del everything
    while pending:
        container = pending.pop()
        kind = type(container)
        if kind is _METHOD:
            owner = container.__self__
            if type(owner) in _NATIVE:
                entry = found.setdefault(id(owner), _Found(owner))
                entry.methods.setdefault(id(container), methods.setdefault(id(container), _Found(container)))
            continue
        if kind is _Found or kind is types.FrameType:
            continue
        referents = gc.get_referents(container)
        container = classes.get(id(container), container)
        for thing in referents:
            kind = type(thing)
            if kind in _NATIVE:
                entry = found.setdefault(id(thing), _Found(thing))
                entry.seen += 1
                if not any(holder is container for holder in entry.holders):
                    entry.holders.append(container)
            elif kind is _METHOD and type(thing.__self__) in _NATIVE:
                entry = methods.setdefault(id(thing), _Found(thing))
                entry.seen += 1
                if not any(holder is container for holder in entry.holders):
                    entry.holders.append(container)
            elif (kind is dict or kind is tuple) and not gc.is_tracked(thing) and id(thing) not in seen:
                # The collector does not list what cannot be part of a cycle: a dict with nothing but
                # locks in it, for one.
                seen.add(id(thing))
                pending.append(thing)
    return found


def _is_exempt(native: Any, holders: list[Any]) -> bool:
    """Whether it shall stay native without a word."""
    if originals.is_kept_native(native):
        return True
    # Locks inside green objects, and of this library.
    if any(_is_ours(_kind(holder).__module__) for holder in holders):
        return True
    if any(
        type(holder) is dict and _is_ours(str(holder.get("__name__"))) and "__file__" in holder
        for holder in holders
    ):
        return True
    # The locks by which real threads tell that they have ended: C code releases them.  Not those of
    # threading.enumerate(), from which debuggers hide their threads.
    threads = set(threading._dangling)  # type: ignore[attr-defined]
    return any(getattr(thread, "_tstate_lock", None) is native for thread in threads)


def _problem(entry: _Found) -> str:
    """Why it cannot be replaced everywhere; empty if it can."""
    for method in entry.methods.values():
        # References: the entry's own, getrefcount's argument, the loop's variable is the entry.
        if sys.getrefcount(method.native) - 2 > method.seen:
            return "a method of it is in use"
        if any(not _is_replaceable(holder, method.native) for holder in method.holders):
            return "a method of it is kept where it cannot be replaced"
    # References: the entry's own, getrefcount's argument, and each bound method.
    if sys.getrefcount(entry.native) - 2 - len(entry.methods) > entry.seen:
        return "in use by a running function or C code"
    if any(not _is_replaceable(holder, entry.native) for holder in entry.holders):
        return "kept where it cannot be replaced"
    return ""


def _kind(holder: Any) -> type:
    """The class that `holder` is, or is an instance of."""
    kind: type = holder if _is_class(holder) else type(holder)
    return kind


_view: Any = vars(type)["__dict__"].__get__  # of a class's attributes, whatever its metaclass says


def _namespace(cls: type) -> Any:
    """The dictionary behind the read-only view that a class gives of it."""
    return gc.get_referents(_view(cls))[0]


def _is_replaceable(holder: Any, thing: Any) -> bool:
    """Whether every reference to `thing` that the collector sees in `holder` is in a place known here."""
    seen = gc.get_referents(_namespace(holder) if _is_class(holder) else holder)
    return len(_places(holder, thing)) >= sum(each is thing for each in seen)


def _green_twin(native: Any) -> Any:
    """A green object in the same state; None if a native one must stay."""
    if type(native) is originals.Lock:
        lock = Lock()
        if native.locked():
            lock.acquire()
        return lock
    if type(native) is originals.RLockType:
        rlock = RLock()
        if native._is_owned():
            depth = native._release_save()
            native._acquire_restore(depth)
            rlock._acquire_restore((depth[0], getcurrent()))
        elif native.acquire(False):
            native.release()
        else:
            return None
        return rlock
    if type(native) is originals.NativeSimpleQueue:
        queue: SimpleQueue[Any] = SimpleQueue()
        while not native.empty():
            queue.put(native.get_nowait())
        return queue
    values = local()
    vars(values).update(vars(native))
    return values


def _places(holder: Any, old: Any) -> list[Callable[[Any], object]]:
    """Each place of `old` in `holder`, as a function that puts another thing there.

    By the methods of the built-in classes, whatever those derived from them make of such calls.
    """
    if _is_class(holder):
        if holder.__flags__ & _IMMUTABLE:
            return []
        return [
            partial(type.__setattr__, holder, key) for key, value in _view(holder).items() if value is old
        ]
    kind = type(holder)
    if kind is types.CellType:
        return [partial(setattr, holder, "cell_contents")]
    places: list[Callable[[Any], object]] = []
    if issubclass(kind, dict):
        items = list(dict.items(holder))
        places += [partial(dict.__setitem__, holder, key) for key, value in items if value is old]
        places += [partial(_rename, holder, old) for key, _ in items if key is old]
    elif issubclass(kind, (list, collections.deque)):
        row: Any = list if issubclass(kind, list) else collections.deque
        values = enumerate(row.__iter__(holder))
        places += [partial(row.__setitem__, holder, index) for index, value in values if value is old]
    elif issubclass(kind, set):
        places += [partial(_exchange, holder, old) for value in set.__iter__(holder) if value is old]
    for base in kind.__mro__:
        if "__slots__" not in _view(base):
            continue  # the members of C's classes may be read-only
        for slot in _view(base).values():
            if type(slot) is types.MemberDescriptorType:
                with contextlib.suppress(AttributeError, TypeError):
                    if slot.__get__(holder) is old:
                        places.append(partial(slot.__set__, holder))
    namespace = None
    with contextlib.suppress(Exception):
        namespace = object.__getattribute__(holder, "__dict__")
    if type(namespace) is dict:
        places += [partial(namespace.__setitem__, key) for key, value in namespace.items() if value is old]
    return places


def _rename(holder: dict[Any, Any], old: Any, new: Any) -> None:
    holder[new] = holder.pop(old)  # by its own: an OrderedDict keeps its keys in another place, too


def _exchange(holder: set[Any], old: Any, new: Any) -> None:
    set.discard(holder, old)
    set.add(holder, new)


def _replace(holder: Any, old: Any, new: Any) -> None:
    for put in _places(holder, old):
        put(new)


def _describe(entry: _Found) -> str:
    """Where it is, as a reader would say."""
    places = []
    for holder in (*entry.holders, *(one for method in entry.methods.values() for one in method.holders)):
        places.append(_place(holder, entry.native))
    return ", ".join(sorted(set(places))[:3]) or "a place that cannot be seen"


def _place(holder: Any, native: Any) -> str:
    if _is_class(holder):
        return f"the class {holder.__module__}.{holder.__qualname__}"
    if issubclass(type(holder), dict):
        name = holder.get("__name__")
        if isinstance(name, str) and name in sys.modules:
            keys = [key for key, value in holder.items() if value is native]
            return f"{name}.{keys[0]}" if keys else name
        for owner in gc.get_referrers(holder):
            if getattr(owner, "__dict__", None) is holder:
                return f"an instance of {type(owner).__module__}.{type(owner).__qualname__}"
        return "a dict"
    return f"an instance of {type(holder).__module__}.{type(holder).__qualname__}"
