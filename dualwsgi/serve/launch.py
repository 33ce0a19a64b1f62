"""Where a process begins that the supervisor has started: patch first, import the rest after.

On green the standard library is made cooperative, which holds only for what is imported later.
So this file imports next to nothing, and what must be known for it stands in the command line:
the number of the channel's descriptor, then `patched` or `native`.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run a worker or a nursery; the exit is SystemExit."""
    channel, how = sys.argv[1:3]
    if how == "patched":
        from ..green import patch

        patch()

    from .worker import begin

    sys.exit(begin(int(channel)))
