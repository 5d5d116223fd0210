"""Write into the pages what their snippets print now; look at the difference before you commit it.

python -m tests.docs [page …]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from psqlmodel.embedded import Server

from .snippets import ROOT, Page, Snippet
from .snippets import pages as all_pages


def main(names: list[str]) -> None:
    """Run the pages that are named, or all of them."""
    pages = [Path(name).resolve() for name in names] or all_pages()
    with Server() as server:
        for number, page in enumerate(pages):
            os.environ["DATABASE_URL"] = server.create_database(f"page_{number}", template="template0")
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                _write(page, list(Page(page).run()))
                os.chdir(ROOT)


def _write(page: Path, results: list[tuple[Snippet, str]]) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    for snippet, printed in reversed(results):
        if snippet.output is not None:
            start = snippet.output.line - 1
            lines[start : start + len(snippet.output.text.splitlines())] = printed.splitlines()
        elif printed:
            print(f"{page.name}:{snippet.code.line} prints without a text block below it", file=sys.stderr)
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
