"""`subprocess.Popen` as it is, over what else is green.

Starting, `communicate` and plain `wait` go through os.read, os.waitpid, selectors and locks, which are
green by then.  Two things are left: `wait(timeout)` polls, where a pidfd tells at once; and the pipes
are opened with `io.open`, whose files read in C.
"""

from __future__ import annotations

import io
import subprocess
from typing import Any

from dualwsgi.green.hub import current_hub
from dualwsgi.green.os import open_fd, wait_for_exit

__all__ = ["patch_popen"]

_native_wait: Any = subprocess.Popen._wait  # type: ignore[attr-defined]


def _wait(self: Any, timeout: float | None) -> int:
    if timeout is not None and self.returncode is None and current_hub() is not None:
        if not wait_for_exit(self.pid, max(timeout, 0)) and self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        timeout = None
    return _native_wait(self, timeout=timeout)  # type: ignore[no-any-return]


class _Io:
    """The module `io` as subprocess sees it."""

    open = staticmethod(open_fd)

    def __getattr__(self, name: str) -> Any:
        return getattr(io, name)


def patch_popen() -> None:
    """Give Popen what it lacks, in place."""
    subprocess.Popen._wait = _wait  # type: ignore[attr-defined]
    subprocess.io = _Io()  # type: ignore[attr-defined]
