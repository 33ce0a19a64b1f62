"""How many descriptors the process may have: each connection takes one."""

from __future__ import annotations


def raise_limit() -> None:
    """Raises the soft limit to the hard one, as far as the system lets.  For programs that only serve.

    Systems set the soft limit to 1,024 for the sake of programs that use select(); a server that stays
    there accepts a thousand clients and then none.
    """
    import resource  # not at the top: not every system has it

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # "unlimited" that the kernel does not mean
