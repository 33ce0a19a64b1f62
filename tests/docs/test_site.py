"""The site is built strictly: every page in the navigation, every link and anchor there, every table made."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dualwsgi.config import knobs

ROOT = Path(__file__).parent.parent.parent

pytest.importorskip("material", reason="mkdocs-material comes with the docs extra")


def build(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak  # seconds of one core
def test_the_site_is_built_without_a_warning_and_whole(tmp_path: Path) -> None:
    build(tmp_path)  # once, since it takes seconds
    pages = {page: page.read_text() for page in tmp_path.rglob("*.html")}
    assert tmp_path / "index.html" in pages
    settings = pages[tmp_path / "reference/settings/index.html"]
    for name in knobs():
        assert settings.count(f'<a id="{name}"></a>') == 1, name
    for page, text in pages.items():
        assert not re.search(r"<!-- (table|text):", text), f"{page}: a table was not made"
        foreign = re.findall(r'<(?:link|script|img)[^>]+(?:href|src)="(https?://[^"]+)"', text)
        assert not foreign, f"{page}: fetched from others"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_links_between_files_of_the_checkout_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text())
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
