"""What a fork does not take along: the threads, greenlets and executors that are alive before it.

A lock that one of them holds stays locked in the child for ever, and an executor whose threads are
gone takes work that nobody does.  Looks at this process only; changes nothing.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator

from ..native import native_threads

__all__ = ["lost_by_fork"]


def lost_by_fork() -> list[str]:
    """Each thing that would be missing in a child forked now, named for the operator."""
    return [*_threads(), *_foreign_threads(), *_executors()]


def _threads() -> Iterator[str]:
    kind = "greenlet" if _is_green() else "thread"
    for thread in threading.enumerate():
        if thread is threading.main_thread():
            continue
        target = getattr(thread, "_target", None)
        made_by = target if target is not None else type(thread)
        name = getattr(made_by, "__qualname__", type(made_by).__qualname__)
        module = getattr(made_by, "__module__", "")
        yield f"{kind} {thread.name!r} ({module}.{name})"


def _foreign_threads() -> Iterator[str]:
    """Threads that no Python code has started, as far as the system tells."""
    if _is_green():
        return  # the hub's own helpers are native threads too, and are made anew after a fork
    # Those of the house begin anew in each worker.
    known = {thread.native_id for thread in threading.enumerate()} | native_threads
    try:
        numbers = os.listdir("/proc/self/task")
    except OSError:
        return
    for number in numbers:
        if int(number) in known:
            continue
        try:
            with open(f"/proc/self/task/{number}/comm", encoding="ascii", errors="replace") as file:
                yield f"thread {number} of a library ({file.read().strip()})"
        except OSError:
            continue  # it has just ended


def _executors() -> Iterator[str]:
    # Not imported for the sake of looking: what nobody has imported nobody has made.
    thread_pools = getattr(sys.modules.get("concurrent.futures.thread"), "ThreadPoolExecutor", None)
    process_pools = getattr(sys.modules.get("concurrent.futures.process"), "ProcessPoolExecutor", None)
    pools = getattr(sys.modules.get("multiprocessing.pool"), "Pool", None)
    kinds = [
        (kind, attribute)
        for kind, attribute in ((thread_pools, "_threads"), (process_pools, "_processes"), (pools, "_pool"))
        if kind is not None
    ]
    for thing in gc.get_objects() if kinds else ():
        for kind, attribute in kinds:
            if isinstance(thing, kind) and (size := len(getattr(thing, attribute, None) or ())):
                label = getattr(thing, "_thread_name_prefix", "")
                made_by = type(thing)
                yield f"executor {made_by.__module__}.{made_by.__qualname__} {label!r} with {size} workers"


def _is_green() -> bool:
    patch = sys.modules.get("dualwsgi.green.patch")
    return patch is not None and patch.is_patched("thread")
