"""python -m dualwsgi.eventlet PROGRAM [ARGUMENTS]: a program whose `import eventlet` finds this one.

PROGRAM is the path of a script, such as /usr/bin/swift-object-server, or -m and a module.  It is run
as Python would run it; DUALWSGI_BACKEND says on what.
"""

from __future__ import annotations

import os
import runpy
import sys

from . import install

USAGE = "usage: [DUALWSGI_BACKEND=green|threads] python -m dualwsgi.eventlet {SCRIPT | -m MODULE} [ARGUMENTS]"


def main(arguments: list[str]) -> None:
    """Runs the program that `arguments` name."""
    is_module = arguments[:1] == ["-m"]
    program = arguments[int(is_module) :]
    if not program or program[0].startswith("-"):
        sys.exit(USAGE)
    if not is_module and not os.path.exists(program[0]):
        sys.exit(f"dualwsgi.eventlet: {program[0]}: there is no such file")
    install()
    sys.argv = program
    # Python has put the current directory first, which is right for a module and for a script is its own;
    # by -P it has put nothing there, and so nothing is.
    if is_module:
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        if not sys.flags.safe_path:
            sys.path[0] = os.path.dirname(os.path.abspath(program[0]))
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
