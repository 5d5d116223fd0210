"""Every snippet of the README and of docs/ runs as it stands, on a database of its own for each page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .snippets import ROOT, Page, blocks, pages, snippets

PAGES = pages()
NAMES = [path.relative_to(ROOT).with_suffix("").as_posix() for path in PAGES]
SINCE = {"docs/queries": 15, "docs/errors/connections": 17}  # they have MERGE; the words of a newer server
_LINK = re.compile(r"\]\((?!https?://)(?P<target>[^)#]*)(?:#(?P<anchor>[^)]*))?\)")


def _on_its_server(path: Path, name: str) -> Any:
    return pytest.param(path, id=name, marks=pytest.mark.since(SINCE.get(name, 14)))


@pytest.mark.parametrize("path", list(map(_on_its_server, PAGES, NAMES)))
def test_the_snippets_run(path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    monkeypatch.chdir(tmp_path)
    for snippet, printed in Page(path).run():
        assert printed == (snippet.output.text if snippet.output else ""), f"{path.name}:{snippet.code.line}"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_the_links_lead_somewhere(path: Path) -> None:
    for link in _LINK.finditer(path.read_text(encoding="utf-8")):
        target = (path.parent / link["target"]).resolve() if link["target"] else path
        assert target.exists(), f"{path.name} links to {link['target']}"
        if link["anchor"]:
            assert link["anchor"] in _anchors(target), f"{path.name} links to {link['target']}#{link['anchor']}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {link["target"] for link in _LINK.finditer(index)}
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]}
    assert pages - {"index.md"} <= listed


def test_no_block_escapes() -> None:
    """A block is Python, which runs, or a language that is not Python; never one without a language."""
    languages = {
        block.language
        for path in PAGES
        for block in blocks(path.read_text(encoding="utf-8"))
        if not isinstance(block, str)
    }
    assert languages <= {"python", "text", "sql", "shell", "toml"}


def test_the_module_map_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed: set[str] = set()
    folder = ""
    for line in text.splitlines():
        if re.fullmatch(r"psqlmodel/[\w/]*", line):
            folder = line
        elif found := re.match(r" {4}(\w+\.py) ", line):
            listed.add(folder + found[1])
    present = {path.relative_to(ROOT).as_posix() for path in (ROOT / "psqlmodel").rglob("*.py")}
    packages = {path for path in present if path.count("/") > 1 and path.endswith("/__init__.py")}
    assert listed == present - packages


# --- the runner itself ------------------------------------------------------------------------------------------------


def test_an_output_belongs_to_the_block_before_it() -> None:
    page = "```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nx = 2\n```\n\nwords\n\n```text\nno output\n```\n"
    first, second = snippets(page)
    assert first.output is not None
    assert first.output.text == "1\n"
    assert (first.code.line, second.code.line, second.output) == (2, 10, None)


def test_a_block_without_an_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 3 has no end"):
        snippets("words\n\n```python\nx = 1\n")


def test_snippets_share_names_and_may_await(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "```python\nimport asyncio\nx = 1\n```\n\n"
        "```python\nawait asyncio.sleep(0)\nprint(x)\n```\n```text\n2\n```\n\n"
        "```python\nraise KeyError(x)\n```\n"
    )
    results = Page(path).run()
    assert next(results)[1] == ""
    snippet, printed = next(results)
    assert snippet.output is not None
    assert (printed, snippet.output.text) == ("1\n", "2\n")
    with pytest.raises(KeyError):
        next(results)


def _anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = [line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
