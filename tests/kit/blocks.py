"""The fenced blocks of a Markdown page, and what it takes to do what they say.

A page is a session in one directory, from its top to its end: a block with a title is a file, a `console`
block is typed line by line, and what stands below a command is what it has to print (`...` for anything).
Commands that serve go on in the background until the next one serves, as a reader would stop the one
before.  A comment `<!-- not run: reason -->` before a block excuses it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from ports import free_port, locust_ports

PATIENCE = 60.0
"""Seconds that a command may take, or a server until it says where it is."""

_FENCE = re.compile(
    r"(?:^[ \t]*<!-- not run: (?P<excuse>[^>]+) -->\n)?"
    r"^(?P<indent>[ ]*)```[ ]?(?P<lang>[\w-]*)(?P<attrs>[^\n]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)

# What cannot be done by a test, each with what shows it instead.
_SET_UP = re.compile(
    r"(?:pip install|python3? -m venv|\. \S*activate|sudo |systemd-analyze |docker |kubectl |mkdir -p /)"
)

_SERVES = re.compile(r"(?:\w+=\S* )*dualwsgi run\b(?!.*(?:--(?:check|help)\b|; ))|.* &$")

# Not any address: a warning of some library names one, too.
_SAYS_WHERE = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[)|unix:")


@dataclass(frozen=True)
class Block:
    """`line` is where its text starts; `title` the name of a file, or ""."""

    line: int
    lang: str
    title: str
    text: str
    excuse: str


def blocks(page: Path) -> Iterator[Block]:
    source = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(source):
        title = re.search(r'title="([^"]+)"', match["attrs"])
        yield Block(
            line=source.count("\n", 0, match.start("text")) + 1,
            lang=match["lang"],
            title=title[1] if title else "",
            text=textwrap.dedent(match["text"]),
            excuse=match["excuse"] or "",
        )


def commands(text: str) -> Iterator[tuple[str, str]]:
    """(command, what it has to print) of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.replace("\\\n", " ").partition("\n")
        yield re.sub(r"\s+# .*$", "", command).strip(), expected.strip()


def matches(expected: str, found: str) -> bool:
    """Whether `found` holds the expected lines, in their order, `...` standing for anything."""
    pattern = ".*?".join(re.escape(part) for part in re.split(r"\.\.\.", expected))
    return re.search(pattern, found, re.DOTALL) is not None


class Session:
    """Does what a page says, in `place`, with servers on this backend and the programs in `tools`."""

    def __init__(self, place: Path, backend: str, tools: Path = Path(sys.executable).parent) -> None:
        self.place = place
        self._python = tools / "python"
        self.port = free_port()
        self._server: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._spoke = threading.Condition()
        own = {name: value for name, value in os.environ.items() if not name.startswith("DUALWSGI_")}
        self._environ = own | locust_ports()
        self._environ |= {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DUALWSGI_BACKEND": backend,
        }

    def localized(self, text: str) -> str:
        """With this session's port for the one that pages speak of, and no listening to the world."""
        return re.sub(r"\b8000\b", str(self.port), text).replace("0.0.0.0:", "127.0.0.1:")

    def write(self, block: Block) -> None:
        path = self.place / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.localized(block.text), encoding="utf-8")

    def type(self, command: str, expected: str) -> None:
        if _SET_UP.match(command):
            return
        command, expected = self.localized(command), self.localized(expected)
        is_refused = expected.startswith("dualwsgi: ")
        if _SERVES.match(command) and not is_refused:
            found = self._serve(command.removesuffix("&"))
        else:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.place,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            found = done.stdout
            assert done.returncode == 0 or expected, f"$ {command}\n{found}\n{self._log()}"
        assert matches(expected, found), (
            f"$ {command}\n-- has to print\n{expected}\n-- and printed\n{found}{self._log()}"
        )

    def run_python(self, block: Block) -> None:
        done = subprocess.run(
            [self._python, "-W", "error", "-c", self.localized(block.text)],
            cwd=self.place,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _serve(self, command: str) -> str:
        self.close()
        environ = dict(self._environ)
        said_elsewhere = any("bind" in path.read_text() for path in self.place.glob("*.toml"))
        if "--bind" not in command and "-b " not in command and not said_elsewhere:
            environ["DUALWSGI_BIND"] = f"127.0.0.1:{self.port}"
        self._said = []
        self._server = subprocess.Popen(
            ["bash", "-c", f"exec env {command}"],
            cwd=self.place,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self._server,), daemon=True).start()
        deadline = monotonic() + PATIENCE
        with self._spoke:
            while not any(_SAYS_WHERE.search(line) for line in self._said):
                assert self._server.poll() is None, f"$ {command}\n{self._log()}"
                assert monotonic() < deadline, f"$ {command}\n{self._log()}"
                self._spoke.wait(0.1)  # not longer: a server that ends says nothing more
        return "".join(self._said)

    def _listen(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        with server.stdout as stdout:
            for line in stdout:
                with self._spoke:
                    self._said.append(line)
                    self._spoke.notify_all()
        with self._spoke:
            self._spoke.notify_all()

    def _log(self) -> str:
        return "".join(["-- the server says\n", *self._said])

    def close(self) -> None:
        """Ends the server, which must end well."""
        server, self._server = self._server, None
        if server is None:
            return
        try:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
                code = server.wait(PATIENCE)
                assert code == 0, f"the server ended with {code}\n{self._log()}"
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    def follow(self, page: Path) -> None:
        """Does all that a page says, from its top to its end, and closes the session."""
        try:
            for block in blocks(page):
                if block.excuse:
                    continue
                if block.title:
                    self.write(block)
                elif block.lang == "python":
                    self.run_python(block)
                elif block.lang == "console":
                    for command, expected in commands(block.text):
                        self.type(command, expected)
        finally:
            self.close()
