"""The packages as a stranger gets them: built, installed in clean environments, tried on both backends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tarfile
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest
from blocks import Session

import dualwsgi

ROOT = Path(__file__).parent.parent
PATIENCE = 800.0
"""Seconds: installing asks a registry, and a machine that is busy takes its time."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("DUALWSGI_", "PYTHON"))}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=CLEAN,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean_venv(place: Path, *packages: str | Path) -> Path:
    """A new environment with these packages; its bin directory."""
    venv.create(place, with_pip=True)
    run(place / "bin/python", "-m", "pip", "install", "-q", "--no-input", *packages, cwd=place)
    return place / "bin"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What builds: pip and hatchling."""
    return clean_venv(tmp_path_factory.mktemp("tools") / "venv", "hatchling")


@pytest.fixture(scope="module")
def packages(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    place = tmp_path_factory.mktemp("packages")
    run(tools / "python", "-m", "hatchling", "build", "-d", place / "dist", cwd=ROOT)
    (wheel,) = (place / "dist").glob("*.whl")
    (sdist,) = (place / "dist").glob("*.tar.gz")
    return wheel, sdist


def test_version_types_licence_and_entry_points_are_in_the_wheel(packages: tuple[Path, Path]) -> None:
    wheel, _ = packages
    version = dualwsgi.__version__
    assert wheel.name == f"dualwsgi-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"dualwsgi-{version}.dist-info/METADATA").decode()
        entries = archive.read(f"dualwsgi-{version}.dist-info/entry_points.txt").decode()
    assert {name.partition("/")[0] for name in names} == {
        "dualwsgi",
        "dualwsgi_cli",
        f"dualwsgi-{version}.dist-info",
    }
    assert "dualwsgi/py.typed" in names
    assert f"dualwsgi-{version}.dist-info/licenses/LICENSE" in names
    assert f"\nVersion: {version}\n" in metadata
    assert "Classifier: Typing :: Typed" in metadata
    assert {"console_scripts", "pytest11", "paste.server_factory"} <= set(re.findall(r"\[(.+)\]", entries))


def test_the_sdist_builds_the_same_wheel_and_holds_what_tests_need(
    tools: Path, packages: tuple[Path, Path], tmp_path: Path
) -> None:
    wheel, sdist = packages
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "mkdocs.yml", "docs/index.md"):
        assert name in held, name
    assert any(name.startswith("tests/") for name in held)
    pip = (tools / "python", "-m", "pip")
    run(
        *pip,
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path / "again",
        sdist,
        cwd=tmp_path,
    )
    (again,) = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {(i.filename, i.CRC) for i in first.infolist()} == {
            (i.filename, i.CRC) for i in second.infolist()
        }


def test_it_serves_from_a_clean_environment(packages: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, _ = packages
    tools = clean_venv(tmp_path / "venv", wheel)
    place = tmp_path / "empty"
    place.mkdir()
    assert run(tools / "dualwsgi", "--version", cwd=place) == f"dualwsgi {dualwsgi.__version__}\n"
    assert "threads = 32" in run(tools / "dualwsgi", "config", cwd=place)
    for backend in ("threads", "green"):
        command = [tools / "dualwsgi", "run", "dualwsgi.example", "--backend", backend, "-b", "127.0.0.1:0"]
        process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True, env=CLEAN)
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + process.stderr.read()
            with urllib.request.urlopen(f"{found[0]}/hello", timeout=30) as answer:
                assert answer.read() == b"Hello, World!"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.communicate()


def test_every_dependency_of_development_is_pinned_by_hash() -> None:
    """The lock is made by the command that it names, which CONTRIBUTING.md names, too."""
    lock = (ROOT / "dev/requirements.lock").read_text()
    hashed = r"^([a-z0-9-]+)(?:\[[^\]]*\])?==\S+.*?\n(?:    --hash=sha256:[0-9a-f]{64}.*\n)+"
    pins = re.findall(hashed, lock, re.M)  # one comes twice where versions of Python need other versions
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *extras["dependencies"],
        *(text for texts in extras["optional-dependencies"].values() for text in texts),
    ]
    names = {re.split(r"[\[ ><=;]", text)[0].lower() for text in wanted} - {"dualwsgi"}
    assert names <= set(pins), f"make the lock anew (see CONTRIBUTING.md): {names - set(pins)}"
    assert len(pins) == len(re.findall(r"^\S+==", lock, re.M)), "a package has no hash"


PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "```console" in page.read_text()
]


@pytest.fixture(scope="module")
def stranger(packages: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, and what the guides tell to install beside it."""
    place = tmp_path_factory.mktemp("stranger")
    beside = ("flask", "django", "falcon", "pyramid", "pytest", "locust")
    return clean_venv(place / "venv", packages[0], *beside)


@pytest.mark.parametrize("backend", ["threads", "green"])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_stranger_who_has_the_wheel_can_do_what_a_page_says(
    stranger: Path, page: Path, backend: str, tmp_path: Path
) -> None:
    Session(tmp_path, backend, stranger).follow(page)
