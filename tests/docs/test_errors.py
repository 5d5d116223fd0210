"""The pages of errors: each class has its section, and a program there that it comes from, with its message."""

from __future__ import annotations

import re

import pytest

from psqlmodel import errors

from .snippets import ROOT

PAGES = sorted((ROOT / "docs" / "errors").glob("*.md"))
CLASSES = [found for name in errors.__all__ if isinstance(found := getattr(errors, name), type)]


def sections() -> dict[str, list[str]]:
    """Return the sections of all pages by their headings."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            heading, _, text = section.partition("\n")
            found.setdefault(heading, []).append(text)
    return found


def test_each_class_has_one_section() -> None:
    found = sections()
    assert sorted(found) == sorted(cls.__name__ for cls in CLASSES)
    assert [heading for heading, texts in found.items() if len(texts) > 1] == []


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if not cls.__subclasses__()], ids=lambda cls: cls.__name__)
def test_a_program_shows_its_message(cls: type[Exception]) -> None:
    """The snippets are run by test_snippets: what they print is what there is."""
    (text,) = sections()[cls.__name__]
    printed = "".join(re.findall(r"^```text\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
    assert re.search(rf"^{cls.__name__}: \w", printed, flags=re.MULTILINE)
