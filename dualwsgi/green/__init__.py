"""The green library: blocking-style code on greenlets, over one hub an OS thread.

For applications:

    spawn(fn, *args, **kwargs) -> GreenThread    .join(timeout) .get(timeout) .kill(exc) .link(fn) .finished
    spawn_after(seconds, fn, ...), kill(greenlet), join_all(threads), sleep(seconds), getcurrent()
    Timeout(seconds, exception=None)             a BaseException; False as exception: silent in `with`

    Lock RLock Semaphore BoundedSemaphore Condition Event AsyncResult; all of them for real threads, too
    Queue (None: no bound, 0: rendezvous) LifoQueue PriorityQueue SimpleQueue; local
    Pool(size): spawn join imap map; ThreadPool(size).apply(fn, ...): in a real thread
    modules `socket`, `ssl`, `select`, `os`, `signal`, `dns`: the names of the standard ones, green

For programs as they are:

    patch(*, time=True, thread=True, ...)        makes the standard library cooperative; call it first
    is_patched(name), original(name)             the native module

For the server's backend, which parks connections without a greenlet:

    hub = get_hub()                              the hub of this OS thread (current_hub(): or None)
    hub.register(fd, mask, callback)             callback(fd, events) in the hub; mask of READ WRITE RDHUP
    hub.modify(fd, mask)  hub.unregister(fd)     EDGE ONESHOT; level-triggered unless EDGE.  Unregister
    hub.set_callback(fd, callback)               before close
    hub.call_soon(fn, *args)                     from any thread, signal handler or finalizer
    hub.call_threadsafe                          the same, by the name that readers expect
    hub.call_later(seconds, fn, *args) -> Timer  .cancel() .pending .when
    hub.lend(fn, *args)                          in a callback: run fn in a pooled greenlet, now
    hub.wait_fd(fd, mask, timeout) -> bool       in a greenlet: wait for a descriptor that has no callback
    waiter = Waiter(hub); waiter.wait(timeout)   in a greenlet: wait until waiter.wake() (from anywhere; never
                                                 switches) or waiter.resume() (in a callback: switches now)
    hub.on_error(where, exception)               replaceable: reports what callbacks and greenlets raise
    hub.turn, hub.asleep, hub.greenlets, hub.timers, hub.descriptors
    watch(reporter, threshold=0.1, doing=None)   reporter(Held) from a real thread when the hub is held

Callbacks run in the hub's greenlet and must not wait.  The loop runs whenever a greenlet of the
thread waits: a server's main greenlet simply waits on an Event until it shall stop.
"""

from __future__ import annotations

from dualwsgi.green.hub import FdWatch, Hub, Timer, Waiter, current_hub, get_hub, new_waiter
from dualwsgi.green.local import local
from dualwsgi.green.patch import LatePatchWarning, is_patched, original, patch
from dualwsgi.green.poller import EDGE, ERR, HUP, ONESHOT, PRI, RDHUP, READ, WRITE
from dualwsgi.green.pool import Pool, ThreadPool, default_thread_pool
from dualwsgi.green.queue import Empty, Full, LifoQueue, PriorityQueue, Queue, SimpleQueue
from dualwsgi.green.sync import AsyncResult, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore
from dualwsgi.green.thread import (
    GreenletExit,
    GreenThread,
    getcurrent,
    join_all,
    kill,
    sleep,
    spawn,
    spawn_after,
)
from dualwsgi.green.timeout import Timeout, with_timeout
from dualwsgi.green.watch import Held, Watch, watch

__all__ = [
    "EDGE",
    "ERR",
    "HUP",
    "ONESHOT",
    "PRI",
    "RDHUP",
    "READ",
    "WRITE",
    "AsyncResult",
    "BoundedSemaphore",
    "Condition",
    "Empty",
    "Event",
    "FdWatch",
    "Full",
    "GreenThread",
    "GreenletExit",
    "Held",
    "Hub",
    "LatePatchWarning",
    "LifoQueue",
    "Lock",
    "Pool",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "ThreadPool",
    "Timeout",
    "Timer",
    "Waiter",
    "Watch",
    "current_hub",
    "default_thread_pool",
    "get_hub",
    "getcurrent",
    "is_patched",
    "join_all",
    "kill",
    "local",
    "new_waiter",
    "original",
    "patch",
    "sleep",
    "spawn",
    "spawn_after",
    "watch",
    "with_timeout",
]
