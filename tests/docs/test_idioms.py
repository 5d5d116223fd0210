"""The idioms of docs/coming-from.md: ours run on a real database, and the page is what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .idioms import IDIOMS, PAGE, SETUP, page


def test_ours_run(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(idiom.ours for idiom in IDIOMS)
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    program = f"{SETUP}\n{lines}\nsession.rollback(); session.close(); engine.dispose()\n"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SELECT")


def test_the_page_says_what_the_tests_run() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.docs.idioms writes it"
