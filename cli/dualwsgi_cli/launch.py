"""Serving as `dualwsgi run` was told to: settings, application, server, in that order.

What the operator got wrong ends here: one message on standard error, exit code 2.  Knows no command line,
and imports no typer, which a server need not wait for.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from dualwsgi._version import __version__
from dualwsgi.config import ENV_PREFIX, Config, available_cores, knobs, mistyped, read_environ
from dualwsgi.errors import ConfigError
from dualwsgi.serve.configfile import find_file, open_file
from dualwsgi.serve.descriptors import raise_limit
from dualwsgi.serve.errorlog import set_up_log, tell
from dualwsgi.serve.handdown import hand_down, hide_arguments
from dualwsgi.serve.identity import held_pid_file, settle
from dualwsgi.serve.loader import ApplicationNotLoaded, load_app
from dualwsgi.serve.nonblocking import lay_streams
from dualwsgi.serve.systemd import passed_binds
from dualwsgi_cli.flags import Asked, settings
from dualwsgi_cli.refusal import refuse

__all__ = ["as_written", "launch", "refuse_config"]

if TYPE_CHECKING:
    from dualwsgi.serve.server import Server

NO_TARGET = (
    'no application is named; give MODULE:CALLABLE such as hello:app, or `app = "hello:app"` in dualwsgi.toml'
)

# The most of an application's own traceback that is shown: with the message, one screen.
DETAIL_LINES = 30


def launch(asked: Asked, *, check: bool = False) -> NoReturn:
    """Serves until it is stopped, or only tries whether it could (`check`); then exits."""
    place = None
    try:
        path = find_file(os.environ, asked.config)
        place = os.path.abspath(path) if path is not None else None
        plan = read_plan(asked, path)
        for variable, meant in mistyped(os.environ).items():
            tell(f"dualwsgi: {variable} sets nothing; did you mean {meant}?")
        if check:
            check_plan(plan)
            raise SystemExit(0)
        lay_streams()
        settle(plan.config)

        def reread() -> Config:
            return read_plan(asked, place).config

        code = run_fleet(plan, reread) if plan.config.supervised else run_alone(plan)
    except ConfigError as error:
        refuse_config(error, as_written(error, asked.options, place))
    except (OSError, RuntimeError, MemoryError) as error:
        if not (wanting := what_is_wanting(error)):
            raise
        refuse(f"cannot start: {wanting}")
    raise SystemExit(code)


class Plan(NamedTuple):
    """What to serve, and how."""

    target: str
    app_dir: str | None
    config: Config
    told_by: str
    """The file that was read, if one was."""


def read_plan(asked: Asked, path: str | None) -> Plan:
    """What flags, variables and file say, as it is now.  Raises ConfigError."""
    file = open_file(path) if path is not None else None
    told = file.target if file is not None else {}
    target = asked.target or os.environ.get("DUALWSGI_APP") or told.get("app")
    if target is None:
        raise ConfigError(NO_TARGET)
    written = file.settings() if file is not None else {}
    found = written | read_environ(os.environ) | settings(asked.options)
    if "bind" not in found and (passed := passed_binds()):
        found["bind"] = passed
    config = Config(**found)
    app_dir = asked.app_dir or os.environ.get("DUALWSGI_APP_DIR") or told.get("app_dir")
    return Plan(target, app_dir, config, str(path or "no file"))


def check_plan(plan: Plan) -> None:
    """Tries settings and application without serving.  Raises ConfigError."""
    settle(plan.config)
    make_server(plan)
    if plan.config.speaks_tls:
        from dualwsgi.serve.certificates import Certificates

        Certificates(plan.config)
    tell(f"dualwsgi: {plan.target} can be served; settings: {plan.told_by}")


def make_server(plan: Plan) -> Server:
    hide_arguments()
    hand_down(plan.config)
    app = load_app(plan.target, plan.app_dir)
    set_up_log(plan.config)

    from dualwsgi.serve.server import Server  # late: a mistake in the arguments is told without it

    return Server(app, plan.config)


def run_alone(plan: Plan) -> int:
    """Serve from this process; returns the exit code."""
    if os.getpid() == 1:
        # The first process of a container dies of no signal that it has not asked for, and importing
        # the application may take longer than whoever stops it waits.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    server = make_server(plan)
    server.owns_process = True
    gc.freeze()  # what is loaded stays: looking through all of it for garbage would stop every request
    raise_limit()
    with held_pid_file(plan.config):
        server.serve_forever(lambda: announce(plan.target, plan.config, server.addresses))
    return 0


def run_fleet(plan: Plan, reread: Callable[[], Config]) -> int:
    """Serve by worker processes; returns the exit code."""
    from dualwsgi.serve.supervisor import Supervisor

    raise_limit()  # for the workers, which inherit it
    supervisor = Supervisor(plan.target, plan.config, app_dir=plan.app_dir or ".", reread=reread)
    return supervisor.run(lambda: announce(plan.target, plan.config, supervisor.addresses))


def announce(target: str, config: Config, addresses: Sequence[str]) -> None:
    """Says that it serves, unless the log is to be quiet."""
    if config.log_level in ("debug", "info"):
        tell(start_line(target, config, addresses))


def what_is_wanting(error: Exception) -> str:
    """What the machine has no more of, and the cure, if that is what the error is about; else ""."""
    if isinstance(error, RuntimeError):
        if "thread" not in str(error):
            return ""
        return f"{error}; raise the limit of processes (`ulimit -u`, TasksMax= of the unit, pids.max)"
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    cure = {
        errno.EMFILE: "raise the limit of open files (`ulimit -n`, LimitNOFILE= of the unit)",
        errno.ENFILE: "the whole system has too many open files: see /proc/sys/fs/file-nr",
        errno.ENOMEM: "free some memory, or raise the limit (`ulimit -v`, MemoryMax= of the unit)",
        errno.ENOSPC: "free some space, or some watches (/proc/sys/fs/inotify/max_user_watches)",
        errno.EAGAIN: "raise the limit of processes (`ulimit -u`, TasksMax= of the unit, pids.max)",
    }.get(number or 0)
    return f"{os.strerror(number)}; {cure}" if number and cure else ""


def as_written(error: ConfigError, options: Mapping[str, Any], path: str | None) -> str:
    """The error's text, with the setting that it names as the operator wrote it: a flag, a variable, or a
    line of the file.  What only becomes clear when all settings are there, or is tried, names the field."""
    name, colon, problem = str(error).partition(": ")
    if name not in knobs() or not colon:
        return str(error)
    file = None
    with suppress(ConfigError):
        file = open_file(path) if path is not None else None
    if any(options.get(option) not in (None, []) for option in (name, f"{name}file")):
        name = "--" + name.replace("_", "-") + ("file" if options.get(f"{name}file") else "")
    elif (variable := ENV_PREFIX + name.upper()) in os.environ:
        name = variable
    elif file is not None and name in file.table:
        name = file.place(name)
    return f"{name}: {problem}"


def refuse_config(error: ConfigError, text: str = "") -> NoReturn:
    """refuse(), below the application's own traceback if it has one."""
    if isinstance(error, ApplicationNotLoaded):
        lines = error.detail.splitlines()
        if len(lines) > DETAIL_LINES:
            lines = [f"... {len(lines) - DETAIL_LINES} lines above ...", *lines[-DETAIL_LINES:]]
        tell("\n".join(lines))
    refuse(text or str(error))


def start_line(target: str, config: Config, addresses: Sequence[str]) -> str:
    """What is served where, by what; one line."""
    by = f"on {config.backend}"
    calls = config.threads if config.backend == "threads" else config.concurrency
    many = f"up to {calls} calls at once"
    if config.supervised:
        fleet = config.fleet(available_cores())
        by = "by " + " and ".join(
            f"{number} worker{'s' if number > 1 else ''} on {backend}" for backend, number in fleet.items()
        )
        many = f"{many} each" if len(fleet) == 1 else "all at the same addresses"
    return (
        f"dualwsgi {__version__} serves {target} at {' and '.join(addresses)} {by}, "
        f"{many} (pid {os.getpid()}, Ctrl-C stops it)"
    )
