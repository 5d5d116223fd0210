"""What is made when it is first used: patterns, and the names of a package."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from psqlmodel.later import pattern

PACKAGE = """
from psqlmodel.later import later
__getattr__, __dir__ = later(__name__, {"late_sample.part": ["Thing"]}, "late_sample.whole")
own = 1
"""
PART = "class Thing: ..."
WHOLE = "__all__ = ['shown']\nshown = hidden = 2"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "late_sample"
    folder.mkdir()
    for name, text in (("__init__", PACKAGE), ("part", PART), ("whole", WHOLE)):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "late_sample"
    for name in [name for name in sys.modules if name.partition(".")[0] == "late_sample"]:
        del sys.modules[name]


def test_a_module_comes_with_the_first_of_its_names(package: str) -> None:
    late = __import__(package)
    assert "late_sample.part" not in sys.modules
    assert late.Thing is sys.modules["late_sample.part"].Thing
    assert "late_sample.whole" not in sys.modules
    assert vars(late)["Thing"] is late.Thing  # kept: not looked for again
    assert (late.shown, late.whole.hidden) == (2, 2)


def test_all_and_dir_name_everything(package: str) -> None:
    late = __import__(package)
    assert sorted(late.__all__) == ["Thing", "shown", "whole"]
    assert {"Thing", "own", "shown", "whole"} <= set(dir(late))


@pytest.mark.parametrize("name", ["hidden", "nothing", "__wrapped__"])
def test_other_names_are_not_there(package: str, name: str) -> None:
    late = __import__(package)
    with pytest.raises(AttributeError, match=f"module 'late_sample' has no attribute '{name}'"):
        getattr(late, name)


def test_a_pattern_is_compiled_at_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_now = re.compile
    monkeypatch.setattr(re, "compile", lambda text, flags=0: compiled.append(text) or compile_now(text, flags))
    number = pattern(r"(\d+) X", re.IGNORECASE)
    assert compiled == []
    assert [number.fullmatch(text) is not None for text in ("3 x", "x", "12 X")] == [True, False, True]
    assert number.sub("-", "1 x, 2 x") == "-, -"
    assert set(compiled) == {r"(\d+) X"}
    assert number.fullmatch == compile_now(r"(\d+) X", re.IGNORECASE).fullmatch
