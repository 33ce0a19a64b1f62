"""Every page is done as it says: files written, commands typed in order, answers compared, on both backends.

What is no Python and no command is read by the program that it is for, where that is here.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from blocks import Block, Session, blocks, commands, matches
from ports import free_port
from table import table

from dualwsgi.config import Config
from dualwsgi.serve.configfile import open_file

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

DONE = {"console", "python"}
READ = {"toml", "ini", "nginx", "haproxy", "yaml", "json"}
LEFT = {
    "text": "prose that keeps its lines",
    "mermaid": "a drawing",
    "sh": "set-up of a checkout, which the build does",
    "dockerfile": "the build of an image needs a daemon; its parts are commands of other pages",
}

os.environ["PATH"] += ":/usr/sbin:/sbin"


@functools.cache
def blocks_of(page: Path) -> list[Block]:
    return list(blocks(page))


def short(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def all_blocks(langs: set[str]) -> list[object]:
    found = [(page, block) for page in PAGES for block in blocks_of(page) if block.lang in langs]
    return [pytest.param(page, block, id=f"{short(page)}:{block.line}") for page, block in found]


@table("page", PAGES, ids=short)
def test_every_block_is_of_a_kind_that_is_run_or_read(page: Path) -> None:
    known = DONE | READ | set(LEFT)
    unknown = [f"line {block.line}: {block.lang!r}" for block in blocks_of(page) if block.lang not in known]
    assert not unknown, f"say what it is, so that it is run or read: {unknown}"
    fences = [line for line in page.read_text().splitlines() if line.lstrip().startswith("```")]
    assert len(fences) == 2 * len(blocks_of(page)), "a block is not closed, or not seen"


def is_done(page: Path) -> bool:
    return any(block.lang in DONE and not block.excuse for block in blocks_of(page))


def serves(page: Path) -> bool:
    return any(block.lang == "console" and not block.excuse for block in blocks_of(page))


# The rest are done by -m soak: every command is a process, and processes take their time.
QUICK = {"README.md", "docs/guides/embedding.md", "docs/reference/environ.md", "docs/explanation/stopping.md"}


def each_on_a_backend() -> list[object]:
    """Every page on both backends; in a quick run of all tests some, each on one of them, by turns."""
    found: list[object] = []
    for number, page in enumerate(page for page in PAGES if is_done(page)):
        backends = ("green", "threads") if number % 2 else ("threads", "green")
        for turn, backend in enumerate(backends if serves(page) else ("threads",)):
            marks = [] if turn == 0 and short(page) in QUICK else [pytest.mark.soak]
            found.append(pytest.param(page, backend, id=f"{short(page)}-{backend}", marks=marks))
    return found


@pytest.mark.timeout(240)  # a page is many processes, each with its imports
@pytest.mark.parametrize(("page", "on"), each_on_a_backend())
def test_a_page_does_what_it_says(page: Path, on: str, tmp_path: Path) -> None:
    Session(tmp_path, on).follow(page)


@pytest.mark.parametrize(("page", "block"), all_blocks({"toml"}))
def test_settings_in_toml_are_settings(page: Path, block: Block, tmp_path: Path) -> None:
    name = "pyproject.toml" if "[tool." in block.text else "dualwsgi.toml"
    (tmp_path / name).write_text(block.text)
    file = open_file(str(tmp_path / name))
    Config(**file.settings())
    assert file.table or tomllib.loads(block.text)


@pytest.mark.parametrize(("page", "block"), all_blocks({"json"}))
def test_json_is_json(page: Path, block: Block) -> None:
    for document in filter(None, block.text.split("\n\n")):
        json.loads(document)


@pytest.mark.parametrize(("page", "block"), all_blocks({"yaml"}))
def test_yaml_is_yaml_and_a_manifest_has_its_parts(page: Path, block: Block) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the docs extra")
    for document in yaml.safe_load_all(block.text):
        assert isinstance(document, dict | list)
        if isinstance(document, dict) and "kind" in document:
            assert {"apiVersion", "metadata", "spec"} <= document.keys()


def checked(command: list[str], *, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def needs(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not here")
    return path


@pytest.mark.parametrize(("page", "block"), all_blocks({"nginx"}))
def test_nginx_takes_its_configuration(page: Path, block: Block, tmp_path: Path) -> None:
    program = needs("nginx")
    text = block.text.replace(" 80;", f" 127.0.0.1:{free_port()};")
    whole = text if "http {" in text else "events {}\nhttp {\n" + text + "\n}"
    (tmp_path / "nginx.conf").write_text(f"error_log stderr;\npid {tmp_path}/pid;\n{whole}")
    checked([program, "-t", "-q", "-p", str(tmp_path), "-c", "nginx.conf"])


@pytest.mark.parametrize(("page", "block"), all_blocks({"haproxy"}))
def test_haproxy_takes_its_configuration(page: Path, block: Block, tmp_path: Path) -> None:
    program = needs("haproxy")
    path = tmp_path / "haproxy.cfg"
    path.write_text(block.text)
    checked([program, "-c", "-f", str(path)])


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.lang == "ini" for b in blocks(page))], ids=short
)
def test_systemd_takes_its_units(page: Path, tmp_path: Path) -> None:
    program = needs("systemd-analyze")
    units = [block for block in blocks_of(page) if block.title.endswith((".service", ".socket"))]
    if not units:
        pytest.skip("no units on this page")
    for unit in units:
        # The program that a unit starts need not be installed where its text is checked.
        text = unit.text.replace("/srv/shop/.venv/bin/dualwsgi", "/bin/true").replace(
            "User=shop", "User=root"
        )
        (tmp_path / unit.title).write_text(text)
    found = subprocess.run(
        [program, "verify", "--man=no", *(str(tmp_path / unit.title) for unit in units)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    ours = [
        line for line in (found.stdout + found.stderr).splitlines() if any(u.title in line for u in units)
    ]
    assert not ours, ours


# The helper itself


@table(
    ("expected", "found", "answer"),
    [
        ("", "anything", True),
        ("a\n...\nc", "a\nb\nc\n", True),
        ("Date: ...", "Date: now", True),
        ("a\nc", "a\nb\nc", False),
        ("200 OK", "404 Not Found", False),
    ],
)
def test_what_a_command_has_to_print_is_compared(expected: str, found: str, answer: bool) -> None:
    assert matches(expected, found) is answer


def test_commands_are_cut_out_of_a_session() -> None:
    text = "$ first --now \\\n    more\nsaid\nmore\n$ second  # why\n"
    assert list(commands(text)) == [("first --now      more", "said\nmore"), ("second", "")]
