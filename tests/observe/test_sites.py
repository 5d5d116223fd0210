"""Call sites: the first place outside the library, and its line without constants. No database."""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from psqlmodel.observe.sites import Site, caller, site_of


def from_library(function: object) -> object:
    """Return a function as if it were the library's own."""
    code = function.__code__  # type: ignore[attr-defined]
    names = {**function.__globals__, "__name__": "psqlmodel.core.somewhere"}  # type: ignore[attr-defined]
    return type(function)(code, names, "inner")  # type: ignore[call-overload]


def test_a_site_is_the_first_place_outside_the_library() -> None:
    inner = from_library(lambda: caller())
    site = inner()  # type: ignore[operator]
    line = sys._getframe().f_lineno - 1
    assert site is not None
    assert (site.file, site.line, site.function) == (
        __file__,
        line,
        "test_a_site_is_the_first_place_outside_the_library",
    )
    assert str(site).endswith(f"test_sites.py:{line}")


def test_what_stands_between_is_no_place_of_the_program() -> None:
    @contextlib.contextmanager
    def block() -> Iterator[Site | None]:
        yield from_library(lambda: site_of(sys._getframe(0)))()  # type: ignore[operator]

    with block() as site:
        assert site is not None
        assert site.function.endswith("block")
    assert site_of(None) is None


async def asked() -> Site | None:
    return caller()


async def test_who_runs_a_task_did_not_ask_for_what_it_does() -> None:
    of_the_library: Any = from_library(asked)
    handed_over, awaited = await asyncio.gather(of_the_library(), within_the_program(of_the_library))
    assert handed_over is None
    assert awaited is not None
    assert awaited.function == "within_the_program"


async def within_the_program(of_the_library: Any) -> Site | None:
    site: Site | None = await of_the_library()
    return site


def test_sites_are_equal_by_place() -> None:
    def twice() -> list[Site | None]:
        other = caller()  # on a line of its own: from Python 3.12 on the comprehension is no function
        return [*(caller() for _ in range(2)), other]

    one, same, other = twice()
    assert (one, hash(one)) == (same, hash(same))
    assert other != one


SOURCE = '''\
"""hunter2"""
def look(session, name):
    session.exec("SELECT 'hunter2'", [12345, 'hunter2', rb"hunter2"])  # hunter2
    session.exec("""
        hunter2 SELECT """ + name, ["hunter2"])
    session.exec(f"hunter2 {name!r:>7} hunter2")
    return name == """hunter2""" and session
'''


def lines_of(path: Path, source: str, count: int) -> list[str]:
    path.write_text(source)
    linecache.checkcache(str(path))
    code = compile(source, str(path), "exec")
    return [Site(code, number).source for number in range(1, count + 1)]


def test_lines_of_the_program_are_shown_without_constants_and_comments(tmp_path: Path) -> None:
    lines = lines_of(tmp_path / "program.py", SOURCE, 7)
    assert "hunter2" not in "".join(lines)
    assert "12345" not in "".join(lines)
    assert lines[2] == "session.exec(…, […, …, …])"
    assert lines[4] == "… + name, […])"  # its text began in the line above
    assert lines[6] == "return name == … and session"
    if sys.version_info >= (3, 12):
        assert "{name!r:" in lines[5]


@pytest.mark.parametrize("broken", ['x = """hunter2\n', "x = (hunter2\n", "  x\n y 'hunter2'\n"])
def test_what_is_no_python_is_not_shown(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(broken)
    code = compile("x", str(path), "exec")
    assert Site(code, 1).source == ""
    assert Site(compile("x", str(tmp_path / "gone.py"), "exec"), 1).source == ""


def test_no_frame_is_kept() -> None:
    def inner() -> Site | None:
        local = sys._getframe()
        site = site_of(local)
        assert not any(isinstance(getattr(site, name), FrameType) for name in Site.__slots__)
        return site

    assert inner() is not None
