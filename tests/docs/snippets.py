"""Snippets: the fenced Python blocks of a page, and what a page promises that they print.

A `python` block is a snippet. A `text` block that follows it directly is what it prints, to the letter. All other
languages are for the reader alone. Pure but for `Page.run`, which executes the snippets one after the other, as a
reader would type them: in one namespace, with top-level `await` in one event loop.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import linecache
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psqlmodel import AsyncEngine, Engine

ROOT: Final = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)$")


def pages() -> list[Path]:
    """Return the README and all pages of docs/, but for the reference: it is made from docstrings."""
    docs = ROOT / "docs"
    found = [path for path in docs.rglob("*.md") if docs / "reference" not in path.parents]
    return [ROOT / "README.md", *sorted(found)]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line where its text begins (from 1), its text."""

    language: str
    line: int
    text: str


@dataclass(frozen=True)
class Snippet:
    """A Python block and what it must print: None where the page does not say."""

    code: Block
    output: Block | None


def blocks(page: str) -> Iterator[Block | str]:
    """Give the fenced blocks of a page and the lines between them that are not empty.

    Raises `ValueError` for a block without an end.
    """
    lines = iter(enumerate(page.splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            if line.strip():
                yield line
            continue
        inside: list[str] = []
        for _, each in lines:
            if each.strip() == "```":
                break
            inside.append(each.removeprefix(fence["indent"]))
        else:
            raise ValueError(f"the block that begins in line {number} has no end")
        yield Block(fence["language"], number + 1, "".join(f"{each}\n" for each in inside))


def snippets(page: str) -> list[Snippet]:
    """Return the snippets of a page."""
    found: list[Snippet] = []
    before: Block | str = ""
    for each in blocks(page):
        if isinstance(each, Block) and each.language == "python":
            found.append(Snippet(each, None))
        elif isinstance(each, Block) and each.language == "text" and _is_snippet(before):
            found[-1] = Snippet(found[-1].code, each)
        before = each
    return found


def _is_snippet(block: Block | str) -> bool:
    return isinstance(block, Block) and block.language == "python"


class Page:
    """The snippets of one page, run in one namespace."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"docs_{path.parent.name}_{path.stem}".replace("-", "_").lower()
        self.snippets = snippets(path.read_text(encoding="utf-8"))

    def run(self) -> Iterator[tuple[Snippet, str]]:
        """Run all snippets in order; give each with what it printed.

        Raises what a snippet raises, with the page's line in its traceback.
        """
        module = types.ModuleType(self.name)
        sys.modules[self.name] = module  # classes are found by the name of their module, for pickle too
        _show_in_tracebacks(self.path)
        try:
            with asyncio.Runner() as runner:
                try:
                    for snippet in self.snippets:
                        yield snippet, self._printed(snippet.code, vars(module), runner)
                finally:
                    runner.run(_dispose(vars(module)))
        finally:
            del sys.modules[self.name]

    def _printed(self, code: Block, names: dict[str, Any], runner: asyncio.Runner) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = eval(self._compiled(code), names)
            if inspect.iscoroutine(result):
                runner.run(result)
        return printed.getvalue()

    def _compiled(self, code: Block) -> Any:
        source = "\n" * (code.line - 1) + code.text  # so that line numbers are those of the page
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        return compile(source, str(self.path), "exec", flags, dont_inherit=True)


def _show_in_tracebacks(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    linecache.cache[str(path)] = (0, None, lines, str(path))


async def _dispose(names: dict[str, Any]) -> None:
    """Close the engines that the page left open, as the end of the program does."""
    for value in list(names.values()):
        if isinstance(value, Engine):
            value.dispose()
        elif isinstance(value, AsyncEngine):
            await value.dispose()
