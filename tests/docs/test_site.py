"""The documentation as a site: every page is in it, every link and every name of the reference leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .snippets import blocks, snippets

ROOT = Path(__file__).parents[2]


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'not included in the "nav"' not in done.stderr, done.stderr
    reference = (tmp_path / "site" / "reference" / "sessions" / "index.html").read_text(encoding="utf-8")
    assert 'id="psqlmodel.core.session.Session.parallel_exec"' in reference


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    """The configuration asks for no font, script or picture of another host."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in text
    assert re.findall(r"https?://", text) == []


def test_each_how_to_is_said_for_both_sessions() -> None:
    pages = sorted((ROOT / "docs" / "how-to").glob("*.md"))
    assert len(pages) > 10
    for page in pages:
        programs = "".join(snippet.code.text for snippet in snippets(page.read_text(encoding="utf-8")))
        assert re.search(r"\bSession\(", programs), page.name
        assert "await " in programs, page.name


def test_the_reference_names_only_what_there_is() -> None:
    import importlib

    names = [
        name
        for page in sorted((ROOT / "docs" / "reference").glob("*.md"))
        for line in blocks(page.read_text(encoding="utf-8"))
        if isinstance(line, str)
        for name in re.findall(r"^::: (\S+)", line)
    ]
    assert len(names) > 30
    for name in names:
        module, _, last = name.rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, last) or importlib.import_module(name)
